/* health: live (the process answers) and ready (it takes work: not draining, and some disk takes
 * writes or reads). */
#include "gateway/gateway_priv.h"

#include "base/macros.h"

static int answer(struct call *c, int status, struct slice text)
{
    struct http_field f[] = {{"content-type", SLICE_LIT("text/plain; charset=utf-8")},
                             {"cache-control", SLICE_LIT("no-store")}};
    struct http_reply rp = {.status = status, .fields = f, .nfields = 2, .body_len = text.len};
    return http_reply(c->rq, &rp, &text, 1);
}

static int not_ready(struct call *c, struct slice text, const char *why)
{
    c->note->rc = err_set(KT_ERR_UNAVAILABLE, "%s", why);
    return answer(c, err_http_status(c->note->rc), text);
}

int health_live(struct call *c)
{
    return answer(c, 200, SLICE_LIT("live\n"));
}

static void count_usable(void *arg, const struct store_disk_stat *st)
{
    int *usable = arg;
    *usable += st->state != STORE_DISK_FAILED;
}

int health_ready(struct call *c)
{
    int usable = 0;
    struct store_walk w = {.arg = &usable, .disk = count_usable};
    if (atomic_load(&c->gw->draining))
        return not_ready(c, SLICE_LIT("not ready: shutting down\n"), "shutting down");
    c->gw->store->walk(c->gw->store->self, &w);
    if (!usable)
        return not_ready(c, SLICE_LIT("not ready: no disk works\n"), "no disk works");
    return answer(c, 200, SLICE_LIT("ready\n"));
}
