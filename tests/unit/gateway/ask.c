/* ask: see ask.h. */
#include "ask.h"

#include "base/enc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG_MS 20000

static void start(struct world *w)
{
    struct gateway_options go = {
        .store = &w->store.api, .dir = w->dir, .first_bucket = "photos", .blob_max = MIB(1)};
    EXPECT(gateway_open(&go, &w->gw, &w->new_key) == 0);
    EXPECT(keys_first(gateway_keys(w->gw), &w->key));
    struct http_server_options so = {.limits = http_limits_default,
                                     .handler = gateway_handle,
                                     .done = gateway_done,
                                     .error = gateway_error,
                                     .arg = w->gw};
    EXPECT(rt_addr_parse(SLICE_LIT("127.0.0.1:0"), &w->addr) == 0);
    EXPECT(http_server_start(&so, &w->addr, 1, &w->server) == 0);
    EXPECT(http_server_addr(w->server, 0, &w->addr) == 0);
    gateway_set_server(w->gw, w->server);
}

static void stop(struct world *w)
{
    http_server_stop(w->server, rt_after_ms(LONG_MS));
    gateway_close(w->gw);
}

void world_open(struct world *w)
{
    memset(w, 0, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "/tmp/kitten-gateway-XXXXXX");
    EXPECT(mkdtemp(w->dir) != NULL);
    mem_store_init(&w->store);
    w->last.all = BUF_INIT(MIB(16));
    start(w);
}

void world_unlink(struct world *w, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    unlink(path);
}

void world_close(struct world *w)
{
    stop(w);
    mem_store_done(&w->store);
    buf_done(&w->last.all);
    world_unlink(w, KEYS_FILE);
    world_unlink(w, BUCKETS_FILE);
    EXPECT(rmdir(w->dir) == 0);
}

void world_restart(struct world *w)
{
    stop(w);
    start(w);
}

/* ---- one exchange ---- */

static void send_all(struct rt_sock *s, struct slice b)
{
    struct iovec v = {(void *)(uintptr_t)b.p, b.len};
    EXPECT(rt_sendv(s, &v, 1, rt_after_ms(LONG_MS)) == 0);
}

/* Moves the chunks of a body together, in place. */
static struct slice unchunk(uint8_t *p, size_t len)
{
    struct h1_chunked c;
    struct slice in = slice_of(p, len), data;
    size_t used, n = 0;
    h1_chunked_init(&c);
    for (int rc = 0; rc == 0;) {
        rc = h1_chunked_feed(&c, in, &used, &data);
        EXPECT(rc >= 0 && (rc == 1 || used > 0));
        if (data.len)
            memmove(p + n, data.p, data.len);
        n += data.len;
        in = slice_sub(in, used, in.len);
    }
    return slice_of(p, n);
}

struct slice answer_field(const struct answer *a, const char *name)
{
    struct slice rest = a->head, want = slice_str(name);
    while (rest.len) {
        ptrdiff_t nl = slice_find(rest, '\n');
        struct slice line = slice_sub(rest, 0, nl < 0 ? rest.len : (size_t)nl);
        rest = slice_sub(rest, line.len + 1, rest.len);
        if (line.len > want.len + 2 && line.p[want.len] == ':' &&
            slice_eq_nocase(slice_sub(line, 0, want.len), want))
            return slice_sub(line, want.len + 2, line.len - want.len - 3);
    }
    return slice_of(NULL, 0);
}

static void parse(struct answer *a)
{
    uint64_t status;
    uint8_t *end = memmem(a->all.p, a->all.len, "\r\n\r\n", 4);
    EXPECT(end && a->all.len > 12 && dec_to_u64(slice_of(a->all.p + 9, 3), &status));
    a->status = (int)status;
    a->head = slice_of(a->all.p, (size_t)(end - a->all.p) + 2);
    a->body = slice_of(end + 4, a->all.len - a->head.len - 2);
    if (answer_field(a, "transfer-encoding").len)
        a->body = unchunk(end + 4, a->body.len);
}

struct answer *ask(struct world *w, const char *line, const char *fields, struct slice body)
{
    struct rt_sock s;
    struct buf head = BUF_INIT(65536);
    struct answer *a = &w->last;
    EXPECT(buf_addf(&head, "%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s", line, fields) == 0);
    if (body.p)
        EXPECT(buf_addf(&head, "Content-Length: %zu\r\n", body.len) == 0);
    EXPECT(buf_add_str(&head, "\r\n") == 0);
    EXPECT(rt_connect(&w->addr, &s, rt_after_ms(LONG_MS)) == 0);
    send_all(&s, buf_slice(&head));
    if (body.len)
        send_all(&s, body);
    a->all.len = 0;
    for (;;) {
        EXPECT(buf_reserve(&a->all, 65536) == 0);
        ssize_t n = rt_recv(&s, a->all.p + a->all.len, 65536, rt_after_ms(LONG_MS));
        EXPECT(n >= 0);
        if (n == 0)
            break;
        a->all.len += (size_t)n;
    }
    rt_close(&s);
    buf_done(&head);
    parse(a);
    return a;
}

struct answer *ask_key(struct world *w, const char *line, struct slice body)
{
    char fields[256];
    snprintf(fields, sizeof(fields), "Authorization: Bearer %s:%s\r\n", w->key.access,
             w->key.secret);
    return ask(w, line, fields, body);
}

bool body_has(const struct answer *a, const char *text)
{
    return memmem(a->body.p, a->body.len, text, strlen(text)) != NULL;
}

void body_text(const struct answer *a, const char *name, char *out, size_t cap)
{
    char want[64];
    int n = snprintf(want, sizeof(want), "\"%s\":\"", name);
    const char *at = memmem(a->body.p, a->body.len, want, (size_t)n);
    EXPECT(at != NULL);
    at += n;
    const char *end = memchr(at, '"', a->body.len - (size_t)(at - (const char *)a->body.p));
    EXPECT(end && (size_t)(end - at) < cap);
    memcpy(out, at, (size_t)(end - at));
    out[end - at] = 0;
}
