/* engine: see engine.h. Opens src/store, and reaches through it to seal, compact and scrub on
 * demand. */
#include "tests/model/engine.h"

#include "base/buf.h"
#include "rt/rt.h"
#include "store/store_priv.h"
#include "volume/compact.h"
#include "volume/scrub.h"
#include <stdio.h>

#define DISKS_MAX 4

struct engine {
    struct engine_options opt;
    struct store *store;
    bool compacting, scrubbing;
    uint64_t jobs;
};

void engine_disk_path(int disk, char out[16])
{
    snprintf(out, 16, "/d%d", disk);
}

static void resume_jobs(struct engine *e);

int engine_open(const struct engine_options *opt, struct engine **ret)
{
    char paths[DISKS_MAX][16];
    const char *dirs[DISKS_MAX];
    struct engine *e = mem_zalloc(sizeof(*e));
    e->opt = *opt;
    for (int i = 0; i < opt->disks; i++) {
        engine_disk_path(i, paths[i]);
        dirs[i] = paths[i];
    }
    struct store_options o = {
        .dirs = dirs,
        .ndirs = opt->disks,
        .volume_limit_bytes = opt->volume_limit_bytes,
        .reserve_bytes = opt->reserve_bytes,
        .dead_fold_bytes = opt->dead_fold_bytes,
        .undelete_window_s = opt->undelete_window_s,
        .idle_mark_ms = opt->idle_mark_ms,
        .zero_fill_bytes = opt->zero_fill_bytes,
        .open_volumes_max = opt->open_volumes_max,
        .garbage_percent = 10,
        .scrub_period_s = 40,
        .no_jobs = !opt->background,
    };
    int rc = store_open(&o, &e->store);
    if (rc < 0) {
        mem_free(e);
        return rc;
    }
    if (!opt->background)
        resume_jobs(e);
    *ret = e;
    return 0;
}

void engine_close(struct engine *e)
{
    if (e == NULL)
        return;
    store_close(e->store);
    mem_free(e);
}

const struct store_api *engine_api(struct engine *e)
{
    return store_api_of(e->store);
}

typedef bool (*match_fn)(const struct volume *v);

static bool is_open(const struct volume *v)
{
    return volume_state_of(v) == VOLUME_OPEN;
}

static bool is_sealed(const struct volume *v)
{
    return volume_state_of(v) == VOLUME_SEALED;
}

static bool is_served(const struct volume *v)
{
    return volume_state_of(v) != VOLUME_REFUSED && volume_state_of(v) != VOLUME_DROPPED;
}

/* One of the matching volumes, NULL when there is none. */
static struct volume *pick_volume(struct engine *e, uint64_t pick, match_fn match)
{
    uint64_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint64_t left = n > 0 ? pick % n : 0;
        for (int i = 0; i < e->store->ndisks; i++) {
            struct disk *d = e->store->disks[i].disk;
            for (uint32_t k = 0; k < disk_volume_count(d); k++) {
                struct volume *v = disk_volume_at(d, k);
                if (!match(v))
                    continue;
                if (pass == 0)
                    n++;
                else if (left-- == 0)
                    return v;
            }
        }
    }
    return NULL;
}

int engine_seal(struct engine *e, uint64_t pick)
{
    struct volume *v = pick_volume(e, pick, is_open);
    if (v)
        volume_seal_soon(v);
    return 0;
}

static bool removed(void *arg, uint32_t bucket)
{
    return bucket_dropped(arg, bucket);
}

int engine_compact(struct engine *e, uint64_t pick)
{
    struct volume *v = pick_volume(e, pick, is_sealed);
    if (!v || e->compacting || e->opt.background)
        return 0;
    struct work w = {0};
    struct compact_result res;
    struct compact_options o = {
        .job_id = ++e->jobs,
        .undelete_window_s = e->opt.undelete_window_s,
        .bucket_removed = removed,
        .bucket_arg = e->store,
    };
    e->compacting = true;
    int rc = compact_run(v, &o, &w, &res);
    e->compacting = false;
    return rc;
}

/* What a crash interrupted; a failure leaves the volume as it was. */
static void resume_jobs(struct engine *e)
{
    for (int i = 0; i < e->store->ndisks; i++) {
        struct disk *d = e->store->disks[i].disk;
        for (uint32_t k = 0; k < disk_volume_count(d); k++) {
            struct work w = {0};
            struct compact_result res;
            (void)!compact_resume(disk_volume_at(d, k), &w, &res);
        }
    }
}

static void found(void *arg, const struct scrub_finding *f)
{
    struct engine_findings *r = arg;
    if (r->n++ == 0)
        snprintf(r->first, sizeof(r->first), "%s", f->text);
}

int engine_scrub(struct engine *e, uint64_t pick, struct engine_findings *ret)
{
    struct volume *v = pick_volume(e, pick, is_served);
    *ret = (struct engine_findings){0};
    if (!v || e->scrubbing || e->opt.background)
        return 0;
    struct work w = {0};
    struct scrub_result res;
    e->scrubbing = true;
    int rc = scrub_run(v, &w, found, ret, &res);
    e->scrubbing = false;
    return rc;
}
