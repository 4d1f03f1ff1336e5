/* compact: decide, copy, switch.
 *
 * Happy path (compact_run). The index is loaded; the drop list is made from the dead marks (and,
 * where expiry or removed buckets may matter, from a pass over all headers) and written to VID.job;
 * every needle of the log is read and verified in order, and copied unless it is on the list; head
 * and index follow; files are synced; the rename switches; the volume's generation is swapped in
 * memory and the job record goes.
 *
 * Failure modes. Whatever fails before the rename leaves the old generation as it was: the tmp
 * files and the job record are removed (or, after a crash, found again and restarted from scratch).
 * A needle that doesn't verify, a dropped one that is not dead, expired or of a removed bucket, and
 * a count that differs from the index's end the job: better garbage than loss. A directory sync
 * that fails after the rename fails the disk; memory stays with the old generation, whose file
 * lives as long as it is open.
 */
#include "volume/compact.h"

#include "base/enc.h"
#include "format/job_file.h"
#include "volume/index.h"
#include "volume/scan.h"
#include "volume/volume_priv.h"
#include <inttypes.h>
#include <stdio.h>

#define OUT_BYTES (1u << 20)
#define YIELD_EVERY 4096u
#define SYNC_BYTES (64u << 20) /* copied between syncs, so that the last one doesn't take long */
#define JOB_FILE_MAX (JOB_FILE_HEAD + (UINT64_C(1) << 29))

struct compaction {
    struct volume *v;
    const struct compact_options *opt;
    struct work *work;
    struct generation *gen; /* a reference to the old one */
    const struct index *ix; /* its index */
    struct job_file job;
    uint8_t *list;             /* the bytes of VID.job, owned */
    struct needle_place place; /* of the new generation */
    struct state_slot slot;    /* of the new generation */
    uint32_t epochs;           /* history entries already placed */
    int tmp;                   /* VID.vol.tmp, becomes the generation's file */
    uint8_t *out;              /* OUT_BYTES */
    size_t out_len;
    uint64_t end, unsynced; /* of the new log, out included; bytes since the last sync */
    struct index_builder *builder;
    struct index *built; /* what it made, with the header of its file */
    uint8_t index_head[INDEX_HEAD];
    uint32_t kept, dropped;
};

static struct slice list_bytes(const struct compaction *c)
{
    return slice_of(c->list, job_file_size(c->job.count));
}

/* ---- deciding ---- */

static uint32_t expires_s(struct slice meta)
{
    struct slice v;
    return needle_meta_find(meta, TAG_EXPIRES, &v) && v.len == 4 ? load_u32le(v.p) : 0;
}

/* Whether a needle may go although it isn't dead. */
static bool outlived(const struct compaction *c, const struct needle_info *n, struct slice bytes)
{
    uint32_t at = expires_s(slice_sub(bytes, NEEDLE_HEADER, n->meta_len));
    if (at != 0 && at <= c->job.created_ms / 1000)
        return true;
    return n->kind != NEEDLE_BUCKET && n->bucket != 0 && c->opt->bucket_removed &&
           c->opt->bucket_removed(c->opt->bucket_arg, n->bucket);
}

static void drop(struct compaction *c, seq_t seq)
{
    struct index_hit hit;
    if (seq >= c->job.count || job_file_drops(list_bytes(c), seq) || !index_find(c->ix, seq, &hit))
        return;
    job_file_set_drop(c->list, seq);
    c->job.drops++;
    c->job.live_bytes -= hit.size;
}

static int drop_dead(struct compaction *c)
{
    struct dead_mark *marks;
    uint32_t n;
    int rc = volume_dead_marks(c->v, &marks, &n);
    if (rc < 0)
        return rc;
    uint64_t now_s = c->job.created_ms / 1000;
    for (uint32_t i = 0; i < n; i++) {
        if (marks[i].counter % 2 != 0 &&
            (uint64_t)marks[i].time_s + c->opt->undelete_window_s + COMPACT_GRACE_S < now_s)
            drop(c, marks[i].seq);
        if (i % YIELD_EVERY == 0)
            rt_yield();
    }
    mem_free(marks);
    return 0;
}

/* A pass over all headers, for what only they tell. */
static int drop_outlived(struct compaction *c)
{
    struct scanner s;
    struct needle_info n;
    struct slice bytes;
    if (c->v->super.expiry_class == 0 && !c->opt->bucket_removed)
        return 0;
    int rc = scan_open(&s, generation_file(c->gen), generation_place(c->gen), VOLUME_LOG_START,
                       c->job.source_length, 0);
    while (rc >= 0 && (rc = scan_next(&s, &n, &bytes)) > 0) {
        if (n.kind != NEEDLE_MARK && outlived(c, &n, bytes))
            drop(c, n.seq);
        rc = work_step(c->work, needle_size(n.data_len, n.meta_len));
    }
    scan_done(&s);
    return rc < 0 ? rc : 0;
}

/* Refuses an undelete of what is on the list, from now until the job has ended. */
static void freeze(struct compaction *c, bool on)
{
    section_begin(&c->v->mu);
    c->v->frozen = on ? list_bytes(c) : slice_of(NULL, 0);
    section_end(&c->v->mu);
}

static int decide(struct compaction *c)
{
    char name[VOLUME_NAME_MAX];
    struct index_totals totals;
    index_totals(c->ix, &totals);
    uint64_t all = totals.bytes;
    c->job = (struct job_file){
        .vid = c->v->vid,
        .job_id = c->opt->job_id,
        .from_generation = c->slot.generation,
        .to_generation = c->slot.generation + 1,
        .source_length = generation_length(c->gen),
        .created_ms = c->opt->now_ms ? c->opt->now_ms : (uint64_t)(rt_wall_ns() / NS_PER_MS),
        .count = index_count(c->ix),
        .live_bytes = all,
    };
    memcpy(c->job.uuid, c->v->super.uuid, UUID_BYTES);
    size_t len = job_file_size(c->job.count);
    c->list = mem_try_alloc(len);
    if (!c->list)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a drop list of %zu bytes", len);
    memset(c->list, 0, len);
    job_file_encode(&(struct job_file){.vid = c->v->vid, .count = c->job.count}, c->list);
    int rc = drop_dead(c);
    if (rc == 0)
        rc = drop_outlived(c);
    if (rc < 0)
        return rc;
    uint64_t dropped = all - c->job.live_bytes;
    if (c->job.drops == 0 || dropped * 100 < all * c->opt->garbage_percent)
        return err_set(KT_ERR_AGAIN, "volume %08x has too little to drop yet", c->v->vid);
    job_file_encode(&c->job, c->list);
    freeze(c, true);
    struct iovec iov = {.iov_base = c->list, .iov_len = len};
    volume_file_name(c->v->vid, "job", name);
    return disk_put_file(c->v->disk, name, &iov, 1);
}

/* ---- copying ---- */

static int flush(struct compaction *c)
{
    struct iovec iov = {.iov_base = c->out, .iov_len = c->out_len};
    if (c->out_len == 0)
        return 0;
    int rc = rt_file_pwritev(c->tmp, &iov, 1, c->end - c->out_len);
    c->unsynced += c->out_len;
    c->out_len = 0;
    if (rc == 0 && c->unsynced >= SYNC_BYTES) {
        c->unsynced = 0;
        rc = rt_file_datasync(c->tmp);
    }
    return rc;
}

/* Puts the needle's header and meta for its new place at `to`. */
static void reseal(const struct compaction *c, const struct needle_info *n, struct slice bytes,
                   uint8_t *to)
{
    struct needle_info moved = *n;
    moved.offset = c->end;
    moved.durable = VOLUME_LOG_START;
    needle_encode(&moved, &c->place, slice_sub(bytes, NEEDLE_HEADER, n->meta_len), to);
}

/* Writes a needle that is larger than the buffer. */
static int emit_large(struct compaction *c, const struct needle_info *n, struct slice bytes)
{
    size_t head = NEEDLE_HEADER + (size_t)n->meta_len;
    int rc = flush(c);
    if (rc < 0)
        return rc;
    reseal(c, n, bytes, c->out);
    struct iovec iov[2] = {
        {.iov_base = c->out, .iov_len = head},
        {.iov_base = (void *)(uintptr_t)(bytes.p + head), .iov_len = bytes.len - head}};
    rc = rt_file_pwritev(c->tmp, iov, 2, c->end);
    c->unsynced += bytes.len;
    return rc;
}

/* The history's epochs begin at the first copied needle that lies in them. */
static void place_epochs(struct compaction *c, const struct state_slot *old, uint64_t offset)
{
    while (c->epochs < old->nhistory && old->history[c->epochs].start <= offset)
        c->slot.history[c->epochs++].start = c->end;
}

static int emit(struct compaction *c, const struct needle_info *n, struct slice bytes)
{
    int rc = 0;
    if (bytes.len > OUT_BYTES) {
        rc = emit_large(c, n, bytes);
    } else {
        if (bytes.len > OUT_BYTES - c->out_len)
            rc = flush(c);
        if (rc < 0)
            return rc;
        uint8_t *to = c->out + c->out_len;
        memcpy(to, bytes.p, bytes.len);
        reseal(c, n, bytes, to);
        c->out_len += bytes.len;
    }
    if (rc == 0)
        rc = index_builder_add(c->builder, n->seq, c->end, bytes.len);
    c->end += bytes.len;
    c->kept++;
    return rc;
}

/* A dropped needle must be dead, or have outlived its time. */
static int check_drop(struct compaction *c, const struct needle_info *n, struct slice bytes)
{
    struct index_hit hit;
    c->dropped++;
    if ((index_find(c->ix, n->seq, &hit) && hit.dead) || outlived(c, n, bytes))
        return 0;
    return err_set(KT_ERR_CONFLICT, "volume %08x: needle %x is on the drop list and alive",
                   c->v->vid, n->seq);
}

/* Steps over a needle that doesn't verify, if its header is sound and it is to be dropped anyway.
 */
static int skip_damaged(struct compaction *c, struct scanner *s, int rc)
{
    struct scanner head;
    struct needle_info n = {0};
    struct slice bytes;
    char text[160];
    snprintf(text, sizeof(text), "%s", err_text(rc));
    int got = scan_open(&head, s->file, &s->place, s->at, s->to, 0);
    if (got == 0)
        got = scan_next(&head, &n, &bytes);
    if (got == 1 && n.kind != NEEDLE_MARK && job_file_drops(list_bytes(c), n.seq)) {
        s->at += needle_size(n.data_len, n.meta_len);
        got = check_drop(c, &n, bytes);
    } else {
        got = err_set(KT_ERR_CORRUPT, "volume %08x can't be compacted: %s", c->v->vid, text);
    }
    scan_done(&head);
    return got;
}

static int copy_one(struct compaction *c, const struct state_slot *old, const struct needle_info *n,
                    struct slice bytes)
{
    if (n->kind == NEEDLE_MARK)
        return 0;
    if (job_file_drops(list_bytes(c), n->seq))
        return check_drop(c, n, bytes);
    place_epochs(c, old, n->offset);
    return emit(c, n, bytes);
}

static int copy_all(struct compaction *c, const struct state_slot *old)
{
    struct scanner s;
    struct needle_info n;
    struct slice bytes;
    int rc = scan_open(&s, generation_file(c->gen), generation_place(c->gen), VOLUME_LOG_START,
                       c->job.source_length, SCAN_VERIFY);
    for (uint64_t from = s.at; rc >= 0; from = s.at) {
        rc = scan_next(&s, &n, &bytes);
        if (rc == 0)
            break;
        rc = rc == -KT_ERR_CORRUPT ? skip_damaged(c, &s, rc)
             : rc < 0              ? rc
                                   : copy_one(c, old, &n, bytes);
        if (rc == 0)
            rc = work_step(c->work, s.at - from);
    }
    scan_done(&s);
    if (rc == 0)
        rc = flush(c);
    return rc;
}

/* The counts must add up: what the index knows was either copied or dropped. */
static int check_counts(struct compaction *c)
{
    struct index_totals totals;
    index_totals(c->ix, &totals);
    if (c->kept + c->dropped != totals.needles || c->dropped != c->job.drops)
        return err_set(KT_ERR_CORRUPT,
                       "volume %08x can't be compacted: its log has %u needles, its index %u",
                       c->v->vid, c->kept + c->dropped, totals.needles);
    return 0;
}

/* ---- writing what goes with the log ---- */

static int write_head(struct compaction *c)
{
    uint8_t *head = mem_zalloc(VOLUME_LOG_START);
    c->slot.sealed_length = c->end;
    c->slot.changed_ms = (uint64_t)(rt_wall_ns() / NS_PER_MS);
    for (; c->epochs < c->slot.nhistory; c->epochs++)
        c->slot.history[c->epochs].start = c->end;
    superblock_encode(&c->v->super, head);
    slot_encode(&c->slot, head + VOLUME_SLOT_A);
    struct iovec iov = {.iov_base = head, .iov_len = VOLUME_LOG_START};
    int rc = rt_file_pwritev(c->tmp, &iov, 1, 0);
    mem_free(head);
    return rc == 0 ? rt_file_sync(c->tmp) : rc;
}

static int tmp_create(struct compaction *c, const char *ext)
{
    char name[VOLUME_NAME_MAX];
    volume_file_name(c->v->vid, ext, name);
    unsigned flags = RT_O_READ | RT_O_WRITE | RT_O_CREATE;
    int file = rt_file_open(c->v->disk->dir, name, flags, 0600);
    if (file < 0)
        return file;
    int rc = rt_file_truncate(file, 0); /* what an attempt that failed may have left */
    if (rc < 0) {
        rt_file_close(file);
        return rc;
    }
    return file;
}

static int new_builder(void *arg)
{
    struct compaction *c = arg;
    return index_builder_new(c->job.count, &c->builder);
}

static int finish_index(void *arg)
{
    struct compaction *c = arg;
    struct index_head h = {.vid = c->v->vid, .generation = c->slot.generation, .log_end = c->end};
    memcpy(h.uuid, c->v->super.uuid, UUID_BYTES);
    int rc = index_builder_finish(TAKE(c->builder), &c->built);
    if (rc < 0)
        return rc;
    struct slice body = index_body(c->built, &h.count, &h.exceptions);
    index_sealed_encode(&h, body.p, c->index_head);
    return 0;
}

static int write_index_tmp(struct compaction *c)
{
    uint32_t count, exceptions;
    struct slice body = index_body(c->built, &count, &exceptions);
    int file = tmp_create(c, "idx.tmp");
    if (file < 0)
        return file;
    struct iovec iov[2] = {{.iov_base = c->index_head, .iov_len = sizeof(c->index_head)},
                           {.iov_base = (void *)(uintptr_t)body.p, .iov_len = body.len}};
    int rc = rt_file_pwritev(file, iov, body.len ? 2 : 1, 0);
    if (rc == 0)
        rc = rt_file_sync(file);
    rt_file_close(file);
    return rc;
}

/* ---- switching ---- */

static int rename_tmp(struct compaction *c, const char *tmp_ext, const char *ext)
{
    char from[VOLUME_NAME_MAX], to[VOLUME_NAME_MAX];
    volume_file_name(c->v->vid, tmp_ext, from);
    volume_file_name(c->v->vid, ext, to);
    return rt_file_rename(c->v->disk->dir, from, to);
}

static void remove_file(struct volume *v, const char *ext)
{
    char name[VOLUME_NAME_MAX];
    volume_file_name(v->vid, ext, name);
    struct diag kept = *diag_get();
    if (rt_file_unlink(v->disk->dir, name) <
        0) /* the next start removes it, or finds it harmless */
        *diag_get() = kept;
}

static int take_file(struct compaction *c)
{
    int file = c->tmp;
    c->tmp = -1;
    return file;
}

/* Renames, syncs, and hands file and index over to the volume. Takes `ix`. Under the load gate. */
static int switch_files(struct compaction *c, struct index *ix)
{
    int rc = rename_tmp(c, "vol.tmp", "vol");
    if (rc < 0) {
        index_free(ix);
        return rc;
    }
    if (rename_tmp(c, "idx.tmp", "idx") < 0)
        remove_file(c->v, "idx.tmp"); /* a cache: rebuilt when it doesn't fit */
    rc = disk_sync_dir(c->v->disk);
    if (rc < 0) {
        disk_fault(c->v->disk, "the directory can't be synced after a compaction: %s",
                   err_text(rc));
        index_free(ix);
        return rc;
    }
    (void)rt_file_advise(c->tmp, 0, 0, RT_ADVISE_RANDOM);
    return volume_swap_generation(c->v, take_file(c), ix, &c->slot);
}

/* The gate holds off those who open the file by its name: name and generation change as one. */
static int switch_over(struct compaction *c, struct index *ix)
{
    int rc = gate_enter(&c->v->load_gate, RT_NEVER);
    if (rc < 0) {
        index_free(ix);
        return rc;
    }
    rc = switch_files(c, ix);
    gate_leave(&c->v->load_gate);
    return rc;
}

/* The new generation, from the decided job to the switch. */
static int carry_out(struct compaction *c)
{
    struct state_slot old = c->slot;
    c->slot.generation = c->job.to_generation;
    c->slot.counter++;
    superblock_place(&c->v->super, c->slot.generation, &c->place);
    c->end = VOLUME_LOG_START;
    work_phase(c->work, "copy");
    int rc = c->tmp = tmp_create(c, "vol.tmp");
    if (rc < 0)
        return rc;
    rc = volume_compute(new_builder, c);
    if (rc == 0)
        rc = copy_all(c, &old);
    if (rc == 0)
        rc = check_counts(c);
    work_phase(c->work, "sync");
    if (rc == 0)
        rc = write_head(c);
    if (rc == 0)
        rc = volume_compute(finish_index, c);
    if (rc == 0)
        rc = write_index_tmp(c);
    if (rc < 0)
        return rc;
    work_phase(c->work, "switch");
    return switch_over(c, TAKE(c->built));
}

/* ---- the whole ---- */

static void compaction_done(struct compaction *c, int rc)
{
    struct diag kept = *diag_get();
    freeze(c, false);
    if (rc < 0) {
        remove_file(c->v, "vol.tmp");
        remove_file(c->v, "idx.tmp");
    }
    if (rc != -KT_ERR_CANCELED) { /* a stop: the next start carries the job on */
        remove_file(c->v, "job");
        /* when this sync fails the job may come back: compact_resume finds it done and removes it
         */
        if (rc == 0 && disk_sync_dir(c->v->disk) < 0)
            diag_get()->code = 0;
    }
    rt_file_close(c->tmp);
    index_builder_free(c->builder);
    index_free(c->built);
    generation_unref(c->gen);
    mem_free(c->out);
    mem_free(c->list);
    *diag_get() = kept;
}

static int compaction_begin(struct compaction *c)
{
    if (volume_state_of(c->v) != VOLUME_SEALED)
        return err_set(KT_ERR_CONFLICT, "volume %08x is not sealed", c->v->vid);
    int rc = volume_may_serve(c->v); /* without the dead log an undelete may be overlooked */
    if (rc == 0)
        rc = volume_need_index(c->v, RT_NEVER);
    if (rc < 0)
        return rc;
    c->gen = volume_generation(c->v);
    c->ix = c->gen ? generation_index(c->gen) : NULL;
    if (!c->ix || volume_state_of(c->v) != VOLUME_SEALED)
        return err_set(KT_ERR_CONFLICT, "volume %08x is not whole", c->v->vid);
    volume_slot(c->v, &c->slot);
    c->out = mem_try_alloc(OUT_BYTES);
    if (!c->out)
        return err_set(KT_ERR_NO_MEMORY, "no memory to compact volume %08x", c->v->vid);
    return 0;
}

static int check_space(const struct compaction *c)
{
    uint64_t need = c->job.live_bytes + MIB(1);
    if (disk_free_bytes(c->v->disk) < need)
        return err_set(KT_ERR_NO_SPACE,
                       "volume %08x needs %" PRIu64 " bytes of free space to be compacted",
                       c->v->vid, need);
    return 0;
}

static int finish(struct compaction *c, int rc, struct compact_result *ret)
{
    if (rc == 0)
        *ret = (struct compact_result){
            .kept = c->kept,
            .dropped = c->dropped,
            .old_bytes = c->job.source_length,
            .new_bytes = c->end,
        };
    compaction_done(c, rc);
    return rc;
}

int compact_run(struct volume *v, const struct compact_options *opt, struct work *w,
                struct compact_result *ret)
{
    struct compaction c = {.v = v, .opt = opt, .work = w, .tmp = -1};
    work_begin(w, "decide", 0);
    int rc = compaction_begin(&c);
    if (rc == 0) {
        work_begin(w, "decide", generation_length(c.gen) - VOLUME_LOG_START);
        rc = decide(&c);
    }
    if (rc == 0)
        rc = check_space(&c);
    if (rc == 0) {
        work_begin(w, "copy", c.job.source_length - VOLUME_LOG_START);
        rc = carry_out(&c);
    }
    return finish(&c, rc, ret);
}

/* Reads VID.job. Errors: NOT_FOUND, CORRUPT, FORMAT, IO. */
static int read_job(struct compaction *c)
{
    char name[VOLUME_NAME_MAX];
    size_t len;
    struct job_file expect = {.vid = c->v->vid};
    memcpy(expect.uuid, c->v->super.uuid, UUID_BYTES);
    volume_file_name(c->v->vid, "job", name);
    int rc = disk_get_file(c->v->disk, name, JOB_FILE_MAX, &c->list, &len);
    return rc < 0 ? rc : job_file_decode(slice_of(c->list, len), &expect, &c->job);
}

int compact_resume(struct volume *v, struct work *w, struct compact_result *ret)
{
    const struct compact_options none = {0};
    struct compaction c = {.v = v, .opt = &none, .work = w, .tmp = -1};
    int rc = read_job(&c);
    if (rc == -KT_ERR_NOT_FOUND || rc == -KT_ERR_IO || rc == -KT_ERR_NO_MEMORY) {
        mem_free(c.list);
        return rc == -KT_ERR_NOT_FOUND ? 0 : rc;
    }
    struct state_slot slot;
    volume_slot(v, &slot);
    bool fits = rc == 0 && slot.state == VOLUME_SEALED &&
                slot.generation == c.job.from_generation &&
                slot.sealed_length == c.job.source_length;
    if (!fits) { /* done, or of no use: without it the volume is chosen again when it has garbage */
        remove_file(v, "job");
        mem_free(c.list);
        return 0;
    }
    c.opt = &(struct compact_options){.job_id = c.job.job_id};
    work_begin(w, "copy", c.job.source_length - VOLUME_LOG_START);
    rc = compaction_begin(&c);
    if (rc == 0 && index_count(c.ix) != c.job.count)
        rc = err_set(KT_ERR_CONFLICT, "volume %08x has changed since the job was decided", v->vid);
    freeze(&c, true);
    if (rc == 0)
        rc = check_space(&c);
    if (rc == 0)
        rc = carry_out(&c);
    rc = finish(&c, rc, ret);
    return rc < 0 ? rc : 1;
}

/* ---- expiry ---- */

int compact_last_expiry(struct volume *v, struct work *w, uint32_t *ret_last_s)
{
    struct scanner s;
    struct needle_info n;
    struct slice bytes;
    struct index_hit hit;
    uint32_t last = 0;
    bool forever = false;
    int rc = volume_need_index(v, RT_NEVER);
    if (rc < 0)
        return rc;
    struct generation *g = volume_generation(v);
    const struct index *ix = g ? generation_index(g) : NULL;
    if (!ix) {
        generation_unref(g);
        return err_set(KT_ERR_CONFLICT, "volume %08x is not whole", v->vid);
    }
    work_begin(w, "expiry", generation_length(g) - VOLUME_LOG_START);
    rc = scan_open(&s, generation_file(g), generation_place(g), VOLUME_LOG_START,
                   generation_length(g), 0);
    while (rc >= 0 && !forever && (rc = scan_next(&s, &n, &bytes)) > 0) {
        uint32_t at = expires_s(slice_sub(bytes, NEEDLE_HEADER, n.meta_len));
        /* dead ones count: they may be undeleted yet */
        bool counts = n.kind != NEEDLE_MARK && index_find(ix, n.seq, &hit);
        forever = counts && at == 0;
        last = counts ? KT_MAX(last, at) : last;
        rc = work_step(w, needle_size(n.data_len, n.meta_len));
    }
    scan_done(&s);
    generation_unref(g);
    if (rc >= 0)
        *ret_last_s = forever ? 0 : last;
    return rc < 0 ? rc : 0;
}
