/* engine: see engine.h. A small store over src/volume: one disk or more, one open volume a disk. */
#include "tests/model/engine.h"

#include "base/assert.h"
#include "base/buf.h"
#include "rt/rt.h"
#include "volume/disk.h"
#include "volume/generation.h"
#include "volume/scan.h"
#include "volume/volume.h"
#include <stdio.h>
#include <string.h>

#define DISKS_MAX 4
struct engine {
    struct store_api api;
    struct engine_options opt;
    struct disk *disks[DISKS_MAX];
    int ndisks;
    vid_t next_vid;
    struct rt_mutex creating;
};

void engine_disk_path(int disk, char out[16])
{
    snprintf(out, 16, "/d%d", disk);
}

static struct volume *find(struct engine *e, vid_t vid)
{
    for (int i = 0; i < e->ndisks; i++) {
        for (uint32_t k = 0; k < disk_volume_count(e->disks[i]); k++) {
            struct volume *v = disk_volume_at(e->disks[i], k);
            if (volume_vid(v) == vid)
                return v;
        }
    }
    return NULL;
}

static int open_volume(struct engine *e, int tries, struct volume **ret)
{
    int rc = rt_mutex_lock(&e->creating, rt_after_ms(60000));
    if (rc < 0)
        return rc;
    rc = err_set(KT_ERR_NO_SPACE, "no disk takes writes");
    for (int i = 0; i < e->ndisks; i++) {
        struct disk *d = e->disks[(i + tries) % e->ndisks];
        if (!disk_writable(d))
            continue;
        struct volume *found = NULL;
        for (uint32_t k = 0; k < disk_volume_count(d); k++) {
            struct volume *v = disk_volume_at(d, k);
            if (volume_state_of(v) == VOLUME_OPEN)
                found = v;
        }
        if (found && tries < 4) {
            *ret = found;
            rc = 0;
            break;
        }
        struct volume_new n = {.vid = e->next_vid++, .limit_bytes = e->opt.volume_limit_bytes};
        rc = volume_create(d, &n, ret);
        if (rc == 0)
            break;
    }
    rt_mutex_unlock(&e->creating);
    return rc;
}

static int api_put(void *self, const struct store_put *put, int64_t deadline_ns,
                   struct store_put_result *ret)
{
    struct engine *e = self;
    struct append_data what = {
        .bucket = put->bucket,
        .kind = put->kind,
        .version = put->version,
        .meta = put->meta,
        .data = put->data,
        .ndata = put->ndata,
    };
    rt_random(&what.cookie, sizeof(what.cookie));
    struct append *a;
    int rc = append_new(&what, &a);
    if (rc < 0)
        return rc;
    for (int tries = 0; tries < 8; tries++) {
        struct volume *v;
        rc = open_volume(e, tries, &v);
        if (rc < 0)
            break;
        rc = volume_append(v, a);
        if (rc == 0)
            rc = append_wait(a, deadline_ns, &ret->id);
        if (rc != -KT_ERR_AGAIN && rc != -KT_ERR_FENCED && rc != -KT_ERR_NO_SPACE)
            break;
        if (rc == -KT_ERR_AGAIN)
            rt_yield();
    }
    append_unref(a);
    return rc;
}

static int api_put_many(void *self, const struct store_put *puts, int n, int64_t deadline_ns,
                        struct store_put_result *rets, int *rcs)
{
    int first = 0;
    for (int i = 0; i < n; i++) {
        rcs[i] = api_put(self, &puts[i], deadline_ns, &rets[i]);
        first = first ? first : rcs[i];
    }
    return first;
}

static int api_open(void *self, const struct blobid *id, unsigned flags, int64_t deadline_ns,
                    struct store_reader *ret)
{
    struct volume *v = find(self, id->vid);
    if (!v)
        return -KT_ERR_NOT_HERE;
    struct volume_reader *r = mem_zalloc(sizeof(*r));
    int rc = volume_read_open(v, id, flags & STORE_READ_DEAD ? VOLUME_READ_DEAD : 0, deadline_ns, r,
                              &ret->info);
    if (rc < 0) {
        mem_free(r);
        return rc;
    }
    ret->impl[0] = r;
    ret->meta_view = volume_read_meta(r);
    ret->dead = r->dead;
    return 0;
}

static int api_seek(struct store_reader *rd, uint64_t from, uint64_t len)
{
    volume_read_seek(rd->impl[0], (uint32_t)from, (uint32_t)len);
    return 0;
}

static int api_read(struct store_reader *rd, int64_t deadline_ns, struct slice *ret)
{
    (void)deadline_ns;
    return volume_read_next(rd->impl[0], ret);
}

static void api_close(struct store_reader *rd)
{
    volume_read_close(rd->impl[0]);
    mem_free(rd->impl[0]);
}

static int mutate(void *self, const struct blobid *id, int64_t deadline_ns, bool undelete)
{
    struct volume *v = find(self, id->vid);
    struct volume_reader r;
    struct needle_info info;
    if (!v)
        return -KT_ERR_NOT_HERE;
    int rc = volume_read_open(v, id, undelete ? VOLUME_READ_DEAD : 0, deadline_ns, &r, &info);
    if (rc < 0)
        return rc;
    volume_read_close(&r);
    return undelete ? volume_undelete(v, id, deadline_ns) : volume_delete(v, id, deadline_ns);
}

static int api_remove(void *self, const struct blobid *id, int64_t deadline_ns)
{
    return mutate(self, id, deadline_ns, false);
}

static int api_unremove(void *self, const struct blobid *id, int64_t deadline_ns)
{
    return mutate(self, id, deadline_ns, true);
}

static int scan_volume(struct volume *v, int64_t deadline_ns, store_scan_fn each, void *arg)
{
    struct scanner s;
    struct needle_info info;
    struct slice bytes;
    int rc = volume_need_index(v, deadline_ns);
    struct generation *g = volume_generation(v);
    if (rc < 0 || !g) {
        generation_unref(g);
        return rc < 0 ? rc : -KT_ERR_NOT_HERE;
    }
    rc = scan_open(&s, generation_file(g), generation_place(g), VOLUME_LOG_START,
                   generation_length(g), 0);
    while (rc >= 0 && (rc = scan_next(&s, &info, &bytes)) > 0) {
        if (info.kind == NEEDLE_MARK)
            continue;
        struct blobid id = {volume_vid(v), info.seq, info.cookie};
        struct volume_reader r;
        struct needle_info again;
        rc = volume_read_open(v, &id, 0, deadline_ns, &r, &again);
        if (rc == -KT_ERR_NOT_FOUND) {
            rc = 0;
            continue;
        }
        if (rc < 0)
            break;
        rc = each(arg, &id, &again, volume_read_meta(&r));
        volume_read_close(&r);
    }
    scan_done(&s);
    generation_unref(g);
    if (rc == 0 && volume_state_of(v) > VOLUME_FENCED)
        rc = -KT_ERR_NOT_HERE; /* damaged: not all of it was seen */
    return rc < 0 ? rc : 0;
}

static int api_scan_kind(void *self, uint8_t kind, int64_t deadline_ns, store_scan_fn each,
                         void *arg)
{
    (void)kind;
    struct engine *e = self;
    int first = 0;
    for (int i = 0; i < e->ndisks; i++) {
        for (uint32_t k = 0; k < disk_volume_count(e->disks[i]); k++) {
            int rc = scan_volume(disk_volume_at(e->disks[i], k), deadline_ns, each, arg);
            first = first ? first : rc;
        }
    }
    return first;
}

static void api_drop_bucket(void *self, uint32_t bucket)
{
    (void)self;
    (void)bucket;
}

static void api_walk(void *self, const struct store_walk *w)
{
    struct engine *e = self;
    for (int i = 0; i < e->ndisks; i++) {
        for (uint32_t k = 0; k < disk_volume_count(e->disks[i]); k++) {
            struct volume_stat st;
            volume_stat(disk_volume_at(e->disks[i], k), &st);
            struct store_volume_stat out = {
                .vid = st.vid, .state = st.state, .generation = st.generation};
            w->volume(w->arg, &out);
        }
    }
}

int engine_open(const struct engine_options *opt, struct engine **ret)
{
    struct engine *e = mem_zalloc(sizeof(*e));
    int rc = 0;
    e->opt = *opt;
    e->next_vid = 1;
    rt_mutex_init(&e->creating);
    e->api = (struct store_api){
        e,         api_put,    api_put_many, api_open,      api_seek,        api_read,
        api_close, api_remove, api_unremove, api_scan_kind, api_drop_bucket, api_walk};
    for (int i = 0; i < opt->disks && rc == 0; i++) {
        char path[16];
        engine_disk_path(i, path);
        struct disk_options o = {
            .index = (uint32_t)i,
            .volume_limit_bytes = opt->volume_limit_bytes,
            .dead_fold_bytes = opt->dead_fold_bytes,
            .undelete_window_s = opt->undelete_window_s,
            .idle_mark_ms = opt->idle_mark_ms,
        };
        if (i > 0)
            memcpy(o.cell, disk_label_of(e->disks[0])->cell, sizeof(o.cell));
        rc = disk_open(path, &o, &e->disks[i]);
        if (rc == 0)
            e->ndisks++;
    }
    for (int i = 0; i < e->ndisks; i++) {
        for (uint32_t k = 0; k < disk_volume_count(e->disks[i]); k++)
            e->next_vid = KT_MAX(e->next_vid, volume_vid(disk_volume_at(e->disks[i], k)) + 1);
    }
    if (rc < 0) {
        engine_close(e);
        return rc;
    }
    *ret = e;
    return 0;
}

void engine_close(struct engine *e)
{
    for (int i = 0; i < e->ndisks; i++)
        disk_close(e->disks[i]);
    mem_free(e);
}

const struct store_api *engine_api(struct engine *e)
{
    return &e->api;
}

static struct volume *pick_volume(struct engine *e, uint64_t pick, uint8_t state)
{
    struct volume *found = NULL;
    uint64_t n = 0;
    for (int i = 0; i < e->ndisks; i++) {
        for (uint32_t k = 0; k < disk_volume_count(e->disks[i]); k++) {
            struct volume *v = disk_volume_at(e->disks[i], k);
            if (volume_state_of(v) == state && pick % ++n == 0)
                found = v;
        }
    }
    return found;
}

int engine_seal(struct engine *e, uint64_t pick)
{
    struct volume *v = pick_volume(e, pick, VOLUME_OPEN);
    if (v)
        volume_seal_soon(v);
    return 0;
}

int engine_compact(struct engine *e, uint64_t pick)
{
    (void)e;
    (void)pick;
    return 0;
}

int engine_scrub(struct engine *e, uint64_t pick)
{
    (void)e;
    (void)pick;
    return 0;
}

int engine_fold(struct engine *e, uint64_t pick)
{
    (void)e;
    (void)pick;
    return 0;
}
