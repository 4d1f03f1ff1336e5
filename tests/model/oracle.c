/* oracle: see oracle.h. */
#include "tests/model/oracle.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/rand.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void oracle_init(struct oracle *o, uint64_t seed)
{
    *o = (struct oracle){.seed = seed};
}

void oracle_done(struct oracle *o)
{
    mem_free(o->blobs);
    o->blobs = NULL;
}

uint64_t oracle_violations(const struct oracle *o)
{
    return o->c.lost + o->c.resurrected + o->c.corrupt + o->c.phantom + o->c.other;
}

void oracle_violation(struct oracle *o, uint64_t *which, const char *fmt, ...)
{
    ++*which;
    if (oracle_violations(o) != 1)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(o->first, sizeof(o->first), fmt, ap);
    va_end(ap);
}

struct blob *oracle_new(struct oracle *o, uint32_t size)
{
    if (o->n == o->cap) {
        o->cap = o->cap ? 2 * o->cap : 64;
        o->blobs = mem_realloc(o->blobs, o->cap * sizeof(*o->blobs));
    }
    struct blob *b = &o->blobs[o->n];
    *b = (struct blob){.number = o->n++, .size = size, .may = ABSENT};
    return b;
}

static uint64_t content_word(const struct oracle *o, uint32_t number, uint64_t i)
{
    uint64_t state = o->seed * 0x9e3779b97f4a7c15u + ((uint64_t)number << 32) + i;
    return rand_splitmix(&state);
}

void oracle_content(const struct oracle *o, uint32_t number, uint64_t off, uint8_t *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        uint64_t at = off + done;
        uint64_t word = content_word(o, number, at / 8);
        size_t part = KT_MIN(8 - (size_t)(at % 8), len - done);
        memcpy(p + done, (uint8_t *)&word + at % 8, part);
        done += part;
    }
}

size_t oracle_meta(const struct oracle *o, uint32_t number, uint8_t out[256])
{
    uint64_t dice = content_word(o, number, UINT32_MAX);
    uint32_t expires_s = o->blobs[number].expires_s;
    size_t len = 0;
    int rc = 0;
    if (expires_s != 0)
        rc = needle_meta_add(out, 256, &len, TAG_EXPIRES, slice_of(&expires_s, 4));
    kt_assert(rc == 0);
    if (dice % 3 == 0)
        return len;
    char name[64];
    int n = snprintf(name, sizeof(name), "blob-%u-of-%llu", number, (unsigned long long)o->seed);
    rc = needle_meta_add(out, 256, &len, TAG_NAME, slice_of(name, (size_t)n));
    kt_assert(rc == 0);
    if (dice % 3 == 1) {
        rc = needle_meta_add(out, 256, &len, TAG_CONTENT_TYPE, SLICE_LIT("image/svg+xml"));
        kt_assert(rc == 0);
    }
    return len;
}

void oracle_put_done(struct oracle *o, uint32_t number, int rc, const struct blobid *id, bool alive)
{
    struct blob *b = &o->blobs[number];
    if (rc == 0 && alive) {
        b->may = LIVE;
        b->has_id = true;
        b->id = *id;
        o->c.acked_puts++;
    } else {
        b->may = LIVE | ABSENT;
    }
}

static bool expired(const struct blob *b, int64_t wall_ns, int64_t slack_ns)
{
    return b->expires_s != 0 && wall_ns + slack_ns >= (int64_t)b->expires_s * NS_PER_SEC;
}

struct view oracle_view(const struct oracle *o, uint32_t number, int64_t wall_ns)
{
    const struct blob *b = &o->blobs[number];
    struct view v = {.may = b->may, .mutations = b->mutations, .wall_ns = wall_ns};
    if (b->mutating > 0)
        v.may |= LIVE | DEAD;
    return v;
}

/* The states a call may have met between `before` and now. */
static uint8_t met(const struct oracle *o, const struct blob *b, const struct view *before,
                   int64_t wall_ns)
{
    (void)o;
    uint8_t may = before->may | b->may;
    if (b->mutating > 0 || b->mutations != before->mutations)
        may |= LIVE | DEAD;
    if (b->droppable)
        may |= DEAD;
    if (expired(b, wall_ns, NS_PER_SEC))
        may |= DEAD;
    if (expired(b, before->wall_ns, -NS_PER_SEC))
        may = DEAD;
    return may;
}

static const char *name_of(const struct blob *b, char out[80])
{
    snprintf(out, 80, "blob %u (%x,%x, %u bytes)", b->number, b->id.vid, b->id.seq, b->size);
    return out;
}

/* Answers that say nothing about the blob: allowed while faults are about. */
static void note_unavailable(struct oracle *o, const struct blob *b, const char *what, int rc)
{
    char name[80];
    o->c.unavailable++;
    if (rc == -KT_ERR_CORRUPT && !(o->forgiving && b->damaged))
        oracle_violation(o, &o->c.corrupt, "%s %s: CORRUPT: %s", what, name_of(b, name),
                         err_text(rc));
    else if (o->must_answer && !b->damaged)
        oracle_violation(o, &o->c.lost, "%s %s: no answer: %s: %s", what, name_of(b, name),
                         err_name(rc), err_text(rc));
}

void oracle_read_done(struct oracle *o, uint32_t number, const struct view *before, int rc,
                      int64_t wall_ns, bool settle)
{
    struct blob *b = &o->blobs[number];
    uint8_t may = met(o, b, before, wall_ns);
    char name[80];
    o->c.gets++;
    if (rc == 0) {
        if (!(may & LIVE))
            oracle_violation(o, &o->c.resurrected, "get %s: served, but it was %s",
                             name_of(b, name), may & DEAD ? "deleted" : "never there");
        if (settle && (b->may & LIVE))
            b->may = LIVE;
    } else if (rc == -KT_ERR_NOT_FOUND) {
        if (!(may & (DEAD | ABSENT)))
            oracle_violation(o, &o->c.lost, "get %s: not found, but it was acknowledged: %s",
                             name_of(b, name), err_text(rc));
        if (settle && (b->may & (DEAD | ABSENT)) && !expired(b, wall_ns, NS_PER_SEC) &&
            !b->droppable)
            b->may &= DEAD | ABSENT;
    } else {
        note_unavailable(o, b, "get", rc);
    }
}

void oracle_wrong_bytes(struct oracle *o, uint32_t number, const char *what)
{
    char name[80];
    oracle_violation(o, &o->c.corrupt, "get %s: wrong %s", name_of(&o->blobs[number], name), what);
}

void oracle_mutate_begin(struct oracle *o, uint32_t number)
{
    struct blob *b = &o->blobs[number];
    if (b->mutating > 0)
        b->tangled = true;
    b->mutating++;
    b->mutations++;
}

/* Ends a mutation; true when it was alone, so that its result decides the state. */
static bool mutate_end(struct blob *b)
{
    bool alone = !b->tangled;
    if (--b->mutating == 0)
        b->tangled = false;
    if (!alone)
        b->may |= LIVE | DEAD;
    return alone;
}

void oracle_delete_done(struct oracle *o, uint32_t number, const struct view *before, int rc,
                        int64_t wall_ns, bool alive)
{
    struct blob *b = &o->blobs[number];
    char name[80];
    bool alone = mutate_end(b);
    bool gone = b->droppable || expired(b, wall_ns, NS_PER_SEC);
    if (!(before->may & DEAD))
        b->dead_since_ns = before->wall_ns;
    if (!alone || !alive) {
        b->may |= DEAD;
    } else if (rc == 0) {
        if (!(before->may & LIVE))
            oracle_violation(o, &o->c.other, "delete %s: done twice", name_of(b, name));
        b->may = DEAD;
        o->c.acked_deletes++;
    } else if (rc == -KT_ERR_NOT_FOUND) {
        if (!(before->may & (DEAD | ABSENT)) && !gone)
            oracle_violation(o, &o->c.lost, "delete %s: not found, but it is live",
                             name_of(b, name));
    } else {
        b->may |= DEAD;
        note_unavailable(o, b, "delete", rc);
    }
}

void oracle_undelete_done(struct oracle *o, uint32_t number, const struct view *before, int rc,
                          int64_t wall_ns, bool alive)
{
    struct blob *b = &o->blobs[number];
    char name[80];
    bool alone = mutate_end(b);
    int64_t window_ns = (int64_t)o->undelete_window_s * NS_PER_SEC;
    bool in_window = b->dead_since_ns + window_ns > wall_ns + NS_PER_SEC;
    bool gone = b->droppable || expired(b, wall_ns, NS_PER_SEC);
    if (!alone || !alive) {
        b->may |= LIVE;
    } else if (rc == 0) {
        if (!(before->may & DEAD))
            oracle_violation(o, &o->c.resurrected, "undelete %s: it was not deleted",
                             name_of(b, name));
        b->may = LIVE;
        o->c.acked_undeletes++;
    } else if (rc == -KT_ERR_CONFLICT) {
        if (!(before->may & LIVE))
            oracle_violation(o, &o->c.resurrected, "undelete %s: called live", name_of(b, name));
    } else if (rc == -KT_ERR_EXPIRED || rc == -KT_ERR_NOT_FOUND) {
        if (in_window && !gone && !(before->may & ABSENT) &&
            !(rc == -KT_ERR_NOT_FOUND && (before->may & LIVE)))
            oracle_violation(o, &o->c.lost, "undelete %s: %s within the window", name_of(b, name),
                             err_name(rc));
    } else {
        b->may |= LIVE;
        note_unavailable(o, b, "undelete", rc);
    }
}

void oracle_scan_begin(struct oracle *o, uint8_t *seen)
{
    memset(seen, 0, o->n);
}

uint32_t oracle_scan_needle(struct oracle *o, const struct blobid *id,
                            const struct needle_info *info, uint8_t *seen)
{
    uint64_t number = info->version - 1;
    if (info->version == 0 || number >= o->n || info->data_len != o->blobs[number].size ||
        info->bucket != o->blobs[number].bucket) {
        oracle_violation(o, &o->c.phantom,
                         "scan: %x,%x is no blob of ours (version %llu, %u bytes)", id->vid,
                         id->seq, (unsigned long long)info->version, info->data_len);
        return UINT32_MAX;
    }
    struct blob *b = &o->blobs[number];
    seen[number] = 1;
    if (b->has_id && (b->id.vid != id->vid || b->id.seq != id->seq)) {
        o->c.duplicates++; /* an unacknowledged copy in a fenced volume: nobody knows its id */
        return UINT32_MAX;
    }
    if (!b->has_id) {
        if (!(b->may & LIVE))
            oracle_violation(o, &o->c.phantom,
                             "scan: blob %u appears as %x,%x after it was seen absent", b->number,
                             id->vid, id->seq);
        b->id = *id;
        b->has_id = true;
        b->may = LIVE;
    } else if (!(b->may & LIVE)) {
        oracle_violation(o, &o->c.resurrected, "scan: deleted blob %u is live as %x,%x", b->number,
                         id->vid, id->seq);
    }
    return (uint32_t)number;
}

void oracle_scan_end(struct oracle *o, const uint8_t *seen, bool complete)
{
    if (!complete)
        return;
    for (uint32_t i = 0; i < o->n; i++) {
        if (!o->blobs[i].has_id && !seen[i])
            o->blobs[i].may = ABSENT;
    }
}

void oracle_crashed(struct oracle *o)
{
    for (uint32_t i = 0; i < o->n; i++) {
        o->blobs[i].mutating = 0;
        o->blobs[i].tangled = false;
    }
}
