/* rebuild: one pass over the headers of each sealed log into a builder, then one file.
 *
 * Failure modes: a log that doesn't verify to its sealed length gets no index (the server serves
 * what comes before the damage by itself); a file that can't be written leaves the old one. */
#include "volume/rebuild.h"

#include "volume/index.h"
#include "volume/scan.h"
#include <stdio.h>

struct rebuilder {
    const struct rebuild_options *opt;
    struct offline dir;
    struct rebuild_result res;
    uint64_t done, total;
};

/* All headers of a sealed log into an open index, which the seal makes compact. */
static int read_log(struct rebuilder *r, const struct offline_volume *v, struct index *ix,
                    uint32_t *ret_needles)
{
    struct scanner s;
    struct needle_info n;
    seq_t next = 0;
    int rc = scan_open(&s, v->file, &v->place, VOLUME_LOG_START, v->end, 0);
    *ret_needles = 0;
    for (uint64_t from = s.at; rc >= 0 && (rc = scan_next(&s, &n, NULL)) > 0; from = s.at) {
        if (r->opt->progress)
            r->opt->progress(r->opt->arg, r->done += s.at - from, r->total);
        rt_yield();
        if (n.kind == NEEDLE_MARK)
            continue;
        if (n.seq < next) {
            rc = err_set(KT_ERR_CORRUPT, "needle %x comes after %x", n.seq, next - 1);
            break;
        }
        rc = index_add(ix, n.seq, n.offset, s.at - n.offset);
        next = n.seq + 1;
        ++*ret_needles;
    }
    scan_done(&s);
    index_publish(ix, next);
    return rc;
}

static int write_index(struct rebuilder *r, const struct offline_volume *v, const struct index *ix)
{
    char name[OFFLINE_NAME_MAX];
    uint8_t head[INDEX_HEAD];
    struct index_head h;
    offline_index_head(v, &h);
    struct slice body = index_body(ix, &h.count, &h.exceptions);
    index_sealed_encode(&h, body.p, head);
    struct iovec iov[2] = {{.iov_base = head, .iov_len = sizeof(head)},
                           {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.len}};
    offline_name(v->vid, "idx", name);
    return offline_write(&r->dir, name, iov, body.len ? 2 : 1);
}

static int rebuild_sealed(struct rebuilder *r, const struct offline_volume *v,
                          uint32_t *ret_needles)
{
    struct index *open = NULL, *sealed = NULL;
    if (v->size < v->slot.sealed_length)
        return err_set(KT_ERR_CORRUPT,
                       "the log is shorter than its sealed length: run kitten fsck");
    int rc = index_new_open(v->super.limit_bytes, &open);
    if (rc == 0)
        rc = read_log(r, v, open, ret_needles);
    if (rc == 0)
        rc = index_seal(open, &sealed);
    if (rc == 0)
        rc = write_index(r, v, sealed);
    index_free(open);
    index_free(sealed);
    return rc;
}

static int remove_index(struct rebuilder *r, vid_t vid)
{
    char name[OFFLINE_NAME_MAX];
    offline_name(vid, "idx", name);
    int rc = rt_file_unlink(r->dir.dir, name);
    if (rc == 0)
        rc = rt_dir_sync(r->dir.dir);
    return rc == -KT_ERR_NOT_FOUND ? 0 : rc;
}

static void rebuild_volume(struct rebuilder *r, vid_t vid)
{
    struct offline_volume v;
    uint32_t needles = 0;
    int rc = offline_volume_open(&r->dir, vid, &v);
    bool sealed = rc == 0 && v.slot.state == VOLUME_SEALED;
    if (rc == 0) {
        rc = sealed ? rebuild_sealed(r, &v, &needles) : remove_index(r, vid);
        struct diag kept = *diag_get();
        offline_volume_close(&v);
        *diag_get() = kept;
    }
    if (rc < 0)
        r->res.failed++;
    else if (sealed)
        r->res.rebuilt++;
    else
        r->res.removed++;
    r->opt->done(r->opt->arg, vid, needles, rc, rc < 0 ? err_text(rc) : "");
}

static void add_sizes(struct rebuilder *r)
{
    for (uint32_t i = 0; i < r->dir.nnames; i++) {
        struct offline_volume v;
        vid_t vid = offline_vid(r->dir.names[i], "vol");
        if (!vid || offline_volume_open(&r->dir, vid, &v) < 0)
            continue;
        if (v.slot.state == VOLUME_SEALED)
            r->total += v.end - VOLUME_LOG_START;
        offline_volume_close(&v);
    }
}

int rebuild_indexes(const char *path, const struct rebuild_options *opt, struct rebuild_result *ret)
{
    struct rebuilder r = {.opt = opt};
    int rc = offline_open(path, true, &r.dir);
    if (rc < 0)
        return rc;
    add_sizes(&r);
    for (uint32_t i = 0; i < r.dir.nnames; i++) {
        vid_t vid = offline_vid(r.dir.names[i], "vol");
        if (vid)
            rebuild_volume(&r, vid);
    }
    offline_close(&r.dir);
    *ret = r.res;
    return 0;
}
