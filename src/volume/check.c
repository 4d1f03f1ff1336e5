/* check: one file after the other, in order of name.
 *
 * Happy path of a volume: head, one scanner over the log, comparison with the index. Places that
 * don't verify are kept until the end of the log is reached, because only what comes later tells
 * whether they were synced. */
#include "volume/check.h"

#include "base/buf.h"
#include "base/enc.h"
#include "format/deadlog.h"
#include "format/job_file.h"
#include "format/scrub_file.h"
#include "format/store_file.h"
#include "volume/index.h"
#include "volume/scan.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define BAD_PLACES_MAX 1024u
#define FILE_MAX_BYTES (UINT64_C(1) << 32)
#define PROGRESS_STEP (1u << 20)

struct bad_place {
    uint64_t offset, bytes; /* bytes 0: nothing valid follows */
    bool has_seq;
    seq_t seq;
    char why[120];
};

struct checker {
    const struct check_options *opt;
    struct check_result res;
    struct offline dir;
    uint64_t done, total, shown;
};

/* The check of one volume's log. */
struct log_check {
    struct checker *c;
    struct offline_volume vol;
    char name[OFFLINE_NAME_MAX];
    struct index *index;   /* of VID.idx, NULL when there is none to compare */
    struct bad_place *bad; /* BAD_PLACES_MAX */
    uint32_t nbad, needles, strangers;
    uint64_t mark; /* highest durable seen */
    seq_t next_seq;
    uint32_t epoch;
};

static void KT_PRINTF(4, 5)
    report(struct checker *c, enum check_severity severity, const char *file, const char *fmt, ...)
{
    struct check_finding f = {.severity = severity};
    va_list ap;
    snprintf(f.file, sizeof(f.file), "%s", file);
    va_start(ap, fmt);
    vsnprintf(f.text, sizeof(f.text), fmt, ap);
    va_end(ap);
    if (++c->res.found[severity] <= CHECK_FINDINGS_MAX)
        c->opt->finding(c->opt->arg, &f);
}

static void progress(struct checker *c, uint64_t bytes)
{
    c->done += bytes;
    c->res.bytes += bytes;
    if (!c->opt->progress || c->done - c->shown < PROGRESS_STEP)
        return;
    c->shown = c->done;
    c->opt->progress(c->opt->arg, c->done, c->total);
}

/* ---- the log of a volume ---- */

static bool keep_bad(struct log_check *l, uint64_t offset, const char *why,
                     const struct needle_info *n)
{
    if (l->nbad == BAD_PLACES_MAX)
        return false;
    struct bad_place *b = &l->bad[l->nbad++];
    *b = (struct bad_place){.offset = offset};
    if (n) {
        b->bytes = needle_size(n->data_len, n->meta_len);
        b->has_seq = n->kind != NEEDLE_MARK;
        b->seq = n->seq;
    }
    snprintf(b->why, sizeof(b->why), "%.118s", why);
    return true;
}

/* Only zeros from `at` to the end: space written ahead of the log. */
static bool all_zeros(const struct offline_volume *v, uint64_t at)
{
    uint8_t *buf = mem_alloc(65536);
    bool zero = true;
    for (; zero && at < v->size; at += 65536) {
        ssize_t got = rt_file_pread_some(v->file, buf, 65536, at);
        zero = got > 0;
        for (ssize_t i = 0; zero && i < got; i++)
            zero = buf[i] == 0;
    }
    mem_free(buf);
    return zero;
}

static void look_at(struct log_check *l, const struct needle_info *n)
{
    struct index_hit hit;
    bool dense = l->vol.slot.generation == 0;
    char why[100];
    l->mark = KT_MAX(l->mark, n->durable);
    if (n->epoch < l->epoch || (dense ? n->seq != l->next_seq : n->seq < l->next_seq)) {
        snprintf(why, sizeof(why), "needle %x of epoch %u comes after %x of epoch %u", n->seq,
                 n->epoch, l->next_seq - 1, l->epoch);
        keep_bad(l, n->offset, why, n);
    }
    l->epoch = n->epoch;
    if (n->kind == NEEDLE_MARK)
        return;
    l->next_seq = n->seq + 1;
    l->needles++;
    if (l->index && (!index_find(l->index, n->seq, &hit) || hit.offset != n->offset))
        l->strangers++;
}

/* Steps over a place that doesn't verify: by its own size if the header is sound, else to the next
 * valid header. Returns 1 when the scan may go on. */
static int step_over(struct log_check *l, struct scanner *s, int rc)
{
    struct scanner head;
    struct needle_info n = {0};
    uint64_t at = s->at;
    char why[120];
    snprintf(why, sizeof(why), "%.118s", err_text(rc));
    int got = scan_open(&head, s->file, &s->place, at, s->to, 0);
    if (got == 0)
        got = scan_next(&head, &n, NULL);
    scan_done(&head);
    if (got == 1) {
        s->at = at + needle_size(n.data_len, n.meta_len);
        look_at(l, &n);
        return keep_bad(l, at, why, &n);
    }
    if (l->vol.slot.state == VOLUME_OPEN && all_zeros(&l->vol, at))
        return 0;
    if (!keep_bad(l, at, why, NULL))
        return 0;
    struct bad_place *b = &l->bad[l->nbad - 1];
    got = scan_blind(s, &n);
    if (got == 1) {
        b->bytes = s->at - at;
        l->next_seq = n.seq; /* what lies between is part of this finding */
    }
    return got;
}

static int scan_log(struct log_check *l)
{
    struct scanner s;
    struct needle_info n;
    unsigned flags = l->c->opt->fast ? 0 : SCAN_VERIFY;
    int rc = scan_open(&s, l->vol.file, &l->vol.place, VOLUME_LOG_START, l->vol.end, flags);
    for (bool go = rc == 0; go;) {
        uint64_t from = s.at;
        rc = scan_next(&s, &n, NULL);
        if (rc == 1)
            look_at(l, &n);
        if (rc == -KT_ERR_CORRUPT)
            rc = step_over(l, &s, rc);
        go = rc == 1;
        progress(l->c, s.at - from);
        rt_yield();
    }
    progress(l->c, l->vol.end - s.at);
    scan_done(&s);
    return rc < 0 ? rc : 0;
}

/* Damage, or a torn tail that the next start cuts. */
static void judge_bad(struct log_check *l)
{
    bool open = l->vol.slot.state == VOLUME_OPEN;
    for (uint32_t i = 0; i < l->nbad; i++) {
        const struct bad_place *b = &l->bad[i];
        bool torn = open && b->offset >= l->mark;
        struct check_finding f = {.severity = torn ? CHECK_STALE : CHECK_DAMAGE,
                                  .offset = b->offset,
                                  .bytes = b->bytes ? b->bytes : l->vol.end - b->offset,
                                  .has_seq = b->has_seq,
                                  .seq = b->seq};
        snprintf(f.file, sizeof(f.file), "%s", l->name);
        snprintf(f.text, sizeof(f.text), "%s%s", b->why,
                 torn ? ": a write that was never acknowledged; the next start cuts it off"
                      : ": restore it from a copy; what else the volume holds stays readable");
        if (++l->c->res.found[f.severity] <= CHECK_FINDINGS_MAX)
            l->c->opt->finding(l->c->opt->arg, &f);
        if (torn)
            break; /* all behind it goes with it */
    }
    if (l->nbad == BAD_PLACES_MAX)
        report(l->c, CHECK_DAMAGE, l->name,
               "more than %u damaged places: the rest was not looked at", BAD_PLACES_MAX);
}

/* ---- the index ---- */

/* Reads the index of a sealed volume for comparison. */
static void load_index(struct log_check *l)
{
    char name[OFFLINE_NAME_MAX];
    uint8_t *bytes;
    size_t len;
    struct index_head expect, h;
    offline_index_head(&l->vol, &expect);
    offline_name(l->vol.vid, "idx", name);
    int rc = offline_read(&l->c->dir, name, FILE_MAX_BYTES, &bytes, &len);
    if (rc == -KT_ERR_NOT_FOUND)
        report(l->c, CHECK_STALE, name,
               "the index is missing: it is rebuilt at first use, or by kitten rebuild index");
    else if (rc < 0)
        report(l->c, rc == -KT_ERR_DENIED ? CHECK_DAMAGE : CHECK_STALE, name, "%s", err_text(rc));
    if (rc < 0)
        return;
    rc = index_sealed_decode(slice_of(bytes, len), &expect, &h);
    if (rc == 0)
        rc = index_new_sealed(&h, slice_of(bytes + INDEX_HEAD, len - INDEX_HEAD), &l->index);
    if (rc < 0)
        report(l->c, CHECK_STALE, name,
               "%s: it is rebuilt at first use, or by kitten rebuild index", err_text(rc));
    mem_free(bytes);
}

static void check_index(struct log_check *l)
{
    char name[OFFLINE_NAME_MAX];
    struct index_hit hit;
    uint32_t known = 0;
    if (!l->index || l->nbad > 0)
        return;
    for (seq_t seq = 0, n = index_count(l->index); seq < n; seq++)
        known += index_find(l->index, seq, &hit);
    offline_name(l->vol.vid, "idx", name);
    if (l->strangers > 0 || known != l->needles)
        report(l->c, CHECK_STALE, name,
               "the index knows %u needles, the log has %u, %u of them elsewhere: run kitten "
               "rebuild index",
               known, l->needles, l->strangers);
}

/* Records of an open volume: the valid ones must agree with the log. */
static void check_open_index(struct log_check *l)
{
    char name[OFFLINE_NAME_MAX];
    uint8_t *bytes;
    size_t len, at = 0;
    struct index_head expect, h;
    offline_index_head(&l->vol, &expect);
    offline_name(l->vol.vid, "idx", name);
    int rc = offline_read(&l->c->dir, name, FILE_MAX_BYTES, &bytes, &len);
    if (rc < 0) {
        if (rc != -KT_ERR_NOT_FOUND)
            report(l->c, rc == -KT_ERR_DENIED ? CHECK_DAMAGE : CHECK_STALE, name, "%s",
                   err_text(rc));
        return;
    }
    while (at < len && (rc = index_open_decode(slice_of(bytes + at, len - at), &expect, &h)) == 0) {
        at += index_open_size(h.count);
        expect.first_seq = h.first_seq + h.count;
    }
    if (rc < 0)
        report(l->c, CHECK_STALE, name,
               "the index is valid up to byte %zu of %zu: the rest is read from the log", at, len);
    mem_free(bytes);
}

/* ---- a volume ---- */

static void check_dead(struct log_check *l)
{
    char name[OFFLINE_NAME_MAX];
    struct dead_mark *marks = NULL;
    uint32_t n = 0;
    offline_name(l->vol.vid, "dead", name);
    int rc = offline_dead_marks(&l->c->dir, &l->vol, &marks, &n);
    if (rc < 0)
        report(l->c, CHECK_DAMAGE, name,
               "%s: deleted blobs of this volume could come back, so it serves nothing; restore "
               "the file from a copy",
               err_text(rc));
    for (uint32_t i = 0; i < n; i++)
        l->c->res.dead += marks[i].counter % 2;
    mem_free(marks);
}

static void check_job(struct log_check *l)
{
    char name[OFFLINE_NAME_MAX];
    uint8_t *bytes;
    size_t len;
    struct job_file expect = {.vid = l->vol.vid}, job;
    memcpy(expect.uuid, l->vol.super.uuid, UUID_BYTES);
    offline_name(l->vol.vid, "job", name);
    if (!offline_has(&l->c->dir, name))
        return;
    int rc = offline_read(&l->c->dir, name, FILE_MAX_BYTES, &bytes, &len);
    if (rc == 0) {
        rc = job_file_decode(slice_of(bytes, len), &expect, &job);
        mem_free(bytes);
    }
    if (rc < 0)
        report(l->c, CHECK_STALE, name, "%s: the next start removes it", err_text(rc));
    else
        report(l->c, CHECK_NOTE, name,
               "a compaction was interrupted: the next start carries it on");
}

static void check_slots(struct log_check *l)
{
    static const uint8_t zeros[BLOCK_SIZE];
    const struct offline_volume *v = &l->vol;
    uint8_t *block = mem_alloc(BLOCK_SIZE);
    int other = 1 - v->slot_index;
    if (v->bad_slots && rt_file_pread(v->file, block, BLOCK_SIZE, slot_offset(other)) == 0 &&
        memcmp(block, zeros, BLOCK_SIZE) != 0)
        report(l->c, CHECK_STALE, l->name,
               "state slot %c is not valid, slot %c is current: an interrupted change of state",
               'A' + other, 'A' + v->slot_index);
    mem_free(block);
    if (v->slot.state != VOLUME_OPEN && v->size < v->slot.sealed_length)
        report(l->c, CHECK_DAMAGE, l->name,
               "the file has %" PRIu64 " of its %" PRIu64 " bytes: restore it from a copy", v->size,
               v->slot.sealed_length);
    if (v->slot.state == VOLUME_FENCED)
        report(l->c, CHECK_NOTE, l->name,
               "the volume was fenced after a fault (%s): it takes no writes", v->slot.reason);
}

static void check_volume(struct checker *c, vid_t vid)
{
    struct log_check l = {.c = c, .mark = VOLUME_LOG_START};
    offline_name(vid, "vol", l.name);
    int rc = offline_volume_open(&c->dir, vid, &l.vol);
    if (rc < 0) {
        report(c, CHECK_DAMAGE, l.name, "%s", err_text(rc));
        return;
    }
    c->res.volumes++;
    check_slots(&l);
    bool sealed = l.vol.slot.state == VOLUME_SEALED;
    if (sealed)
        load_index(&l);
    l.bad = mem_alloc(BAD_PLACES_MAX * sizeof(*l.bad));
    rc = scan_log(&l);
    if (rc < 0)
        report(c, CHECK_DAMAGE, l.name, "the log can't be read: %s", err_text(rc));
    judge_bad(&l);
    if (sealed)
        check_index(&l);
    else
        check_open_index(&l);
    check_dead(&l);
    check_job(&l);
    c->res.needles += l.needles;
    mem_free(l.bad);
    index_free(l.index);
    offline_volume_close(&l.vol);
}

/* ---- the other files ---- */

static void check_dead_log(struct checker *c)
{
    uint8_t *bytes;
    size_t len;
    uint32_t chain;
    struct deadlog_head head;
    struct deadlog_scan scan;
    static const char *const advice =
        "no volume of this directory serves anything until it is restored from a copy";
    int rc = offline_read(&c->dir, "dead.log", FILE_MAX_BYTES, &bytes, &len);
    if (rc < 0) {
        report(c, CHECK_DAMAGE, "dead.log", "%s: %s", err_text(rc), advice);
        return;
    }
    rc = deadlog_head_decode(slice_of(bytes, len), &head, &chain);
    if (rc == 0 && memcmp(head.uuid, c->dir.label.uuid, UUID_BYTES) != 0)
        rc = err_set(KT_ERR_CORRUPT, "the dead log belongs to another directory");
    if (rc < 0) {
        report(c, CHECK_DAMAGE, "dead.log", "%s: %s", err_text(rc), advice);
        mem_free(bytes);
        return;
    }
    deadlog_scan(slice_of(bytes + DEADLOG_START, len - DEADLOG_START), chain, &scan);
    if (scan.verdict == DEADLOG_DAMAGED)
        report(c, CHECK_DAMAGE, "dead.log", "record %u is damaged, but was synced: %s",
               scan.records, advice);
    if (scan.verdict == DEADLOG_TORN)
        report(c, CHECK_STALE, "dead.log",
               "behind %u records lies a write that was never acknowledged: the next start cuts it "
               "off",
               scan.records);
    mem_free(bytes);
}

static void check_small_file(struct checker *c, const char *name)
{
    uint8_t *bytes;
    size_t len;
    struct store_file file;
    if (!offline_has(&c->dir, name))
        return;
    int rc = offline_read(&c->dir, name, FILE_MAX_BYTES, &bytes, &len);
    if (rc < 0) {
        report(c, rc == -KT_ERR_DENIED ? CHECK_DAMAGE : CHECK_STALE, name, "%s", err_text(rc));
        return;
    }
    if (strcmp(name, "store") == 0)
        rc = store_file_decode(slice_of(bytes, len), &file);
    else
        rc = scrub_file_decode(slice_of(bytes, len), c->dir.label.uuid);
    if (rc < 0)
        report(c, CHECK_STALE, name, "%s: it is written again in use", err_text(rc));
    mem_free(bytes);
}

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);
    return n >= t && strcmp(name + n - t, tail) == 0;
}

static void check_names(struct checker *c)
{
    static const char *const ext[] = {"idx", "dead", "job"};
    char vol[OFFLINE_NAME_MAX];
    for (uint32_t i = 0; i < c->dir.nnames; i++) {
        const char *name = c->dir.names[i];
        if (ends_with(name, ".tmp"))
            report(c, CHECK_NOTE, name, "an unfinished file: the next start removes it");
        for (size_t k = 0; k < KT_ARRAY_LEN(ext); k++) {
            vid_t vid = offline_vid(name, ext[k]);
            offline_name(vid, "vol", vol);
            if (vid && !offline_has(&c->dir, vol))
                report(c, CHECK_NOTE, name, "its volume is not here");
        }
    }
}

static void add_sizes(struct checker *c)
{
    for (uint32_t i = 0; i < c->dir.nnames; i++) {
        struct rt_stat st;
        if (!offline_vid(c->dir.names[i], "vol"))
            continue;
        int file = rt_file_open(c->dir.dir, c->dir.names[i], RT_O_READ, 0);
        if (file >= 0 && rt_file_stat(file, &st) == 0 && st.size > VOLUME_LOG_START)
            c->total += st.size - VOLUME_LOG_START;
        rt_file_close(file);
    }
}

int check_directory(const char *path, const struct check_options *opt, struct check_result *ret)
{
    struct checker c = {.opt = opt};
    int rc = offline_open(path, true, &c.dir);
    if (rc < 0)
        return rc;
    add_sizes(&c);
    check_names(&c);
    check_dead_log(&c);
    check_small_file(&c, "store");
    check_small_file(&c, "scrub");
    for (uint32_t i = 0; i < c.dir.nnames; i++) {
        vid_t vid = offline_vid(c.dir.names[i], "vol");
        if (vid)
            check_volume(&c, vid);
    }
    if (opt->progress)
        opt->progress(opt->arg, c.total, c.total);
    offline_close(&c.dir);
    *ret = c.res;
    return 0;
}
