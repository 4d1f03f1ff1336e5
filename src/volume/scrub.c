/* scrub: happy path: the head, then one scanner over the log with full verification, each needle
 * compared with the index.
 *
 * Failure modes. A needle with a sound header and damaged data is stepped over by its own size. A
 * place without a sound header, or one that the disk refuses to read, is left for the next offset
 * that the index knows; without one the pass ends there. The index is compared only by what it says
 * about needles that verify, and by number. */
#include "volume/scrub.h"

#include "base/buf.h"
#include "volume/generation.h"
#include "volume/index.h"
#include "volume/scan.h"
#include "volume/volume_priv.h"
#include <inttypes.h>
#include <stdio.h>

#define YIELD_EVERY 4096u

struct scrubber {
    struct volume *v;
    struct work *work;
    void (*report)(void *arg, const struct scrub_finding *f);
    void *arg;
    struct generation *gen;
    const struct index *ix;
    int file; /* of its own, past the page cache where that works */
    unsigned flags;
    struct scrub_result res;
    uint32_t matched; /* needles that lie where the index says, damaged ones included */
    seq_t count;      /* of the index when the pass began */
};

static int found(struct scrubber *s, struct scrub_finding *f)
{
    f->vid = s->v->vid;
    s->res.findings++;
    s->report(s->arg, f);
    if (s->res.findings == 1)
        volume_note_damage(s->v, f->text);
    if (s->res.findings >= SCRUB_FINDINGS_MAX)
        return err_set(KT_ERR_LIMIT, "volume %08x has more than %u findings", s->v->vid,
                       SCRUB_FINDINGS_MAX);
    return 0;
}

static int check_head(struct scrubber *s)
{
    struct superblock sb;
    struct state_slot slot = {0}, now;
    unsigned bad;
    uint8_t *head = mem_alloc(VOLUME_LOG_START);
    int rc = rt_file_pread(generation_file(s->gen), head, VOLUME_LOG_START, 0);
    if (rc == -KT_ERR_LIMIT) {
        mem_free(head);
        return rc;
    }
    if (rc == 0)
        rc = superblock_decode(slice_of(head, BLOCK_SIZE), &sb);
    if (rc == 0)
        rc = slot_choose(slice_of(head + VOLUME_SLOT_A, BLOCK_SIZE),
                         slice_of(head + VOLUME_SLOT_B, BLOCK_SIZE), &sb, &slot, &bad);
    mem_free(head);
    volume_slot(s->v, &now);
    if (rc >= 0 && slot.counter < now.counter)
        rc = err_set(KT_ERR_CORRUPT, "the current state slot is damaged");
    if (rc >= 0)
        return 0;
    struct scrub_finding f = {.bytes = VOLUME_LOG_START};
    snprintf(f.text, sizeof(f.text), "the head of volume %08x is damaged: %.120s", s->v->vid,
             err_text(rc));
    return found(s, &f);
}

/* The lowest offset above `at` where the index knows a needle, or `end`. Rare: only behind damage.
 */
static uint64_t next_known(const struct scrubber *s, uint64_t at, uint64_t end)
{
    struct index_hit hit;
    seq_t lo = 0, hi = s->count;
    while (lo < hi) { /* offsets rise with seqs; seqs without a needle are stepped over */
        seq_t mid = lo + (hi - lo) / 2, probe = mid;
        while (probe < hi && !index_find(s->ix, probe, &hit))
            probe++;
        if (probe < hi && hit.offset <= at)
            lo = probe + 1;
        else
            hi = mid;
    }
    for (; lo < s->count; lo++)
        if (index_find(s->ix, lo, &hit))
            return KT_MIN(hit.offset, end);
    return end;
}

/* What lies at scan->at doesn't verify (`rc` says why): report it and step behind it. */
static int handle_damage(struct scrubber *s, struct scanner *scan, int rc)
{
    struct scrub_finding f = {.offset = scan->at};
    struct scanner head;
    struct needle_info n = {0};
    struct index_hit hit;
    char why[120];
    snprintf(why, sizeof(why), "%.110s", err_text(rc));
    int got = -KT_ERR_CORRUPT;
    if (rc == -KT_ERR_CORRUPT) {
        got = scan_open(&head, s->file, &scan->place, scan->at, scan->to, s->flags & ~SCAN_VERIFY);
        if (got == 0)
            got = scan_next(&head, &n, NULL);
        scan_done(&head);
    }
    if (got == 1) {
        f.has_seq = n.kind != NEEDLE_MARK;
        f.seq = n.seq;
        f.bytes = needle_size(n.data_len, n.meta_len);
        if (f.has_seq && n.seq < s->count && index_find(s->ix, n.seq, &hit) &&
            hit.offset == n.offset)
            s->matched++;
    } else {
        f.bytes = next_known(s, scan->at, scan->to) - scan->at;
        for (seq_t seq = 0; seq < s->count && !f.has_seq; seq++) {
            if (index_find(s->ix, seq, &hit) && hit.offset == scan->at) {
                f.has_seq = true;
                f.seq = seq;
                s->matched++;
            }
            if (seq % YIELD_EVERY == 0)
                rt_yield();
        }
    }
    scan->at += f.bytes;
    snprintf(f.text, sizeof(f.text), "volume %08x is damaged at offset %" PRIu64 ": %s", s->v->vid,
             f.offset, why);
    return found(s, &f);
}

static int check_place(struct scrubber *s, const struct needle_info *n)
{
    struct index_hit hit;
    if (n->kind == NEEDLE_MARK)
        return 0;
    s->res.needles++;
    if (n->seq >= s->count && !index_is_sealed(s->ix))
        return 0; /* written since the pass began */
    if (n->seq < s->count && index_find(s->ix, n->seq, &hit) && hit.offset == n->offset &&
        hit.size >= needle_size(n->data_len, n->meta_len)) {
        s->matched++;
        return 0;
    }
    struct scrub_finding f = {.offset = n->offset, .has_seq = true, .seq = n->seq};
    snprintf(f.text, sizeof(f.text),
             "volume %08x: the index doesn't know needle %x at offset %" PRIu64
             ": run kitten rebuild index",
             s->v->vid, n->seq, n->offset);
    return found(s, &f);
}

static int check_log(struct scrubber *s, uint64_t end)
{
    struct scanner scan;
    struct needle_info n;
    int rc = scan_open(&scan, s->file, generation_place(s->gen), VOLUME_LOG_START, end, s->flags);
    while (rc >= 0) {
        uint64_t from = scan.at;
        rc = scan_next(&scan, &n, NULL);
        if (rc == 0)
            break;
        if (rc == -KT_ERR_CORRUPT || rc == -KT_ERR_IO || rc == -KT_ERR_EOF)
            rc = handle_damage(s, &scan, rc);
        else if (rc > 0)
            rc = check_place(s, &n);
        s->res.bytes += scan.at - from;
        if (rc == 0)
            rc = work_step(s->work, scan.at - from);
    }
    scan_done(&scan);
    return rc;
}

/* The index may know nothing that the log doesn't have. */
static int check_count(struct scrubber *s, uint64_t end)
{
    struct index_hit hit;
    uint32_t known = 0;
    for (seq_t seq = 0; seq < s->count; seq++) {
        known += index_find(s->ix, seq, &hit) && hit.offset < end;
        if (seq % YIELD_EVERY == 0)
            rt_yield();
    }
    if (known == s->matched || s->res.findings > 0)
        return 0;
    struct scrub_finding f = {.offset = 0};
    snprintf(f.text, sizeof(f.text),
             "volume %08x: the index knows %u needles, the log has %u: run kitten rebuild index",
             s->v->vid, known, s->matched);
    return found(s, &f);
}

/* A descriptor that reads from the medium, or a plain one. */
static int open_medium(struct scrubber *s)
{
    char name[VOLUME_NAME_MAX];
    volume_file_name(s->v->vid, "vol", name);
    s->flags = SCAN_VERIFY | SCAN_DIRECT;
    s->file = rt_file_open(s->v->disk->dir, name, RT_O_READ | RT_O_DIRECT, 0);
    if (s->file < 0) {
        s->flags = SCAN_VERIFY;
        s->file = rt_file_open(s->v->disk->dir, name, RT_O_READ, 0);
    }
    return s->file < 0 ? s->file : 0;
}

/* The name may have got a new generation behind our back. */
static bool same_generation(struct scrubber *s)
{
    struct generation *now = volume_generation(s->v);
    bool same = now == s->gen;
    generation_unref(now);
    return same;
}

/* The generation, and the file of its name: under the load gate a compaction can't switch them. */
static int take_generation(struct scrubber *s)
{
    s->gen = volume_generation(s->v);
    s->ix = s->gen ? generation_index(s->gen) : NULL;
    if (!s->ix)
        return err_set(KT_ERR_CONFLICT, "volume %08x serves nothing", s->v->vid);
    return open_medium(s);
}

static int scrub_begin(struct scrubber *s, uint64_t *ret_end)
{
    int rc = volume_need_index(s->v, RT_NEVER);
    if (rc == 0)
        rc = gate_enter(&s->v->load_gate, RT_NEVER);
    if (rc < 0)
        return rc;
    rc = take_generation(s);
    gate_leave(&s->v->load_gate);
    if (rc < 0)
        return rc;
    s->count = index_count(s->ix);
    *ret_end = generation_length(s->gen);
    return 0;
}

int scrub_run(struct volume *v, struct work *w,
              void (*report)(void *arg, const struct scrub_finding *f), void *arg,
              struct scrub_result *ret)
{
    struct scrubber s = {.v = v, .work = w, .report = report, .arg = arg, .file = -1};
    uint64_t end = 0;
    work_begin(w, "verify", 0);
    int rc = scrub_begin(&s, &end);
    if (rc == 0) {
        work_begin(w, "verify", end - VOLUME_LOG_START);
        rc = check_head(&s);
    }
    if (rc == 0)
        rc = check_log(&s, end);
    if (rc == 0)
        rc = check_count(&s, end);
    if (rc == -KT_ERR_LIMIT && s.res.findings < SCRUB_FINDINGS_MAX)
        rc = err_set(KT_ERR_BUSY, "volume %08x was not verified: too many disk calls wait", v->vid);
    if (rc >= 0 && !same_generation(&s))
        rc = err_set(KT_ERR_CONFLICT, "volume %08x was compacted meanwhile", v->vid);
    rt_file_close(s.file);
    generation_unref(s.gen);
    if (rc >= 0)
        *ret = s.res;
    return rc < 0 ? rc : 0;
}

/* ---- when ---- */

#define TIMES_NAME "scrub"
#define TIMES_FILE_MAX (16u << 20)

int scrub_times_read(struct disk *d, struct scrub_time **ret, uint32_t *ret_count)
{
    uint8_t *bytes;
    size_t len;
    *ret = NULL;
    *ret_count = 0;
    int rc = disk_get_file(d, TIMES_NAME, TIMES_FILE_MAX, &bytes, &len);
    if (rc < 0)
        return rc == -KT_ERR_NOT_FOUND || rc == -KT_ERR_TOO_LARGE ? 0 : rc;
    struct slice in = slice_of(bytes, len);
    int n = scrub_file_decode(in, d->label.uuid);
    if (n > 0) {
        *ret = mem_alloc((size_t)n * sizeof(**ret));
        for (int i = 0; i < n; i++)
            (*ret)[i] = scrub_file_time(in, (uint32_t)i);
        *ret_count = (uint32_t)n;
    }
    mem_free(bytes);
    return 0;
}

int scrub_times_write(struct disk *d, const struct scrub_time *times, uint32_t count)
{
    uint8_t *out = mem_alloc(scrub_file_size(count));
    scrub_file_encode(d->label.uuid, times, count, out);
    struct iovec iov = {.iov_base = out, .iov_len = scrub_file_size(count)};
    int rc = disk_put_file(d, TIMES_NAME, &iov, 1);
    mem_free(out);
    return rc;
}
