/* run: see run.h.
 *
 * A plan is a row of lives. Each opens the store on what the one before left, audits everything
 * that the oracle knows, runs the operations on several fibers, and ends: by a clean close, a power
 * cut or a kill. A last life without faults demands that every acknowledged blob is there and that
 * new ones can be written. */
#include "tests/model/run.h"

#include "base/assert.h"
#include "base/buf.h"
#include "format/superblock.h"
#include "rt/rt.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP_DEADLINE_MS 60000
#define BLOB_MAX 150000u

struct run {
    const struct plan *p;
    struct sim *s;
    struct oracle o;
    struct engine *e;
    int life;
    bool quiet;  /* the last life: no faults, everything must answer */
    bool broken; /* a disk was broken in this life */
    bool closed; /* the store was closed, so nothing of it may be open */
    bool rotten, rotten_disk;
    bool bucket_dropped; /* bucket 3 */
    vid_t sealed_vid;    /* a volume that is sealed */
};
struct actor {
    struct run *r;
    int fiber;
    uint8_t *buf;
};

static bool alive(const struct run *r)
{
    return sim_state(r->s) == SIM_RUNNING;
}

static void note(struct run *r, const char *what, uint32_t number, int rc)
{
    sim_note(r->s, ((uint64_t)number << 32) ^ (uint64_t)rc);
    if (getenv("KITTEN_MODEL_VERBOSE") != NULL)
        printf("%10.6f %s %u: %s%s%s\n", (double)sim_now_ns(r->s) / 1e9, what, number,
               rc < 0 ? err_name(rc) : "ok", rc < 0 ? ": " : "", rc < 0 ? err_text(rc) : "");
}

/* ---- reading ---- */

static bool meta_right(const struct run *r, uint32_t number, struct slice meta)
{
    uint8_t want[256];
    size_t len = oracle_meta(&r->o, number, want);
    size_t at = 0, got_at = 0;
    uint8_t tag, got_tag;
    struct slice v, got;
    /* the store may add tags of its own behind */
    while (needle_meta_next(slice_of(want, len), &at, &tag, &v) == 1) {
        if (needle_meta_next(meta, &got_at, &got_tag, &got) != 1 || got_tag != tag ||
            !slice_eq(got, v))
            return false;
    }
    return true;
}

/* Reads [from, from + len) and compares; returns the store's result, -KT_ERR_COUNT for wrong bytes.
 */
static int read_and_compare(struct run *r, uint32_t number, struct store_reader *rd, uint64_t from,
                            uint64_t len)
{
    const struct store_api *api = engine_api(r->e);
    static uint8_t want[65536];
    uint64_t at = from;
    for (;;) {
        struct slice part;
        int rc = api->read(rd, rt_after_ms(OP_DEADLINE_MS), &part);
        if (rc < 0)
            return rc;
        if (part.len == 0)
            return at == from + len ? 0 : -KT_ERR_COUNT;
        if (part.len > from + len - at)
            return -KT_ERR_COUNT;
        for (size_t done = 0; done < part.len;) {
            size_t n = KT_MIN(part.len - done, sizeof(want));
            oracle_content(&r->o, number, at + done, want, n);
            if (memcmp(want, part.p + done, n) != 0)
                return -KT_ERR_COUNT;
            done += n;
        }
        at += part.len;
    }
}

static int get_blob(struct run *r, uint32_t number, unsigned flags, uint64_t dice, bool range)
{
    const struct store_api *api = engine_api(r->e);
    struct blobid id = r->o.blobs[number].id;
    uint64_t size = r->o.blobs[number].size, from = 0, len = size;
    struct store_reader rd;
    int rc = api->open(api->self, &id, flags, rt_after_ms(OP_DEADLINE_MS), &rd);
    if (rc < 0)
        return rc;
    const struct needle_info *n = &rd.info;
    if (n->data_len != size || n->version != number + 1 || n->kind != NEEDLE_DATA ||
        n->seq != id.seq || n->bucket != r->o.blobs[number].bucket || n->cookie != id.cookie ||
        !meta_right(r, number, rd.meta_view)) {
        oracle_wrong_bytes(&r->o, number, "header or meta");
    } else {
        if (range && size > 0) {
            from = dice % size;
            len = 1 + (dice >> 20) % (size - from);
            rc = api->seek(&rd, from, len);
            if (dice >> 61 == 0) /* meanwhile it may be deleted, its volume compacted */
                (void)!rt_sleep_until(rt_after_ms((int64_t)(dice % 150000)));
        }
        if (rc == 0)
            rc = read_and_compare(r, number, &rd, from, len);
        if (rc == -KT_ERR_COUNT) {
            oracle_wrong_bytes(&r->o, number, range ? "bytes in a range" : "bytes");
            rc = 0;
        }
    }
    api->close(&rd);
    return rc;
}

static void do_get(struct run *r, uint32_t number, uint64_t dice, bool range, bool settle)
{
    struct view v = oracle_view(&r->o, number, rt_wall_ns());
    int rc = get_blob(r, number, 0, dice, range);
    note(r, "get", number, rc);
    if (alive(r))
        oracle_read_done(&r->o, number, &v, rc, rt_wall_ns(), settle);
}

/* ---- operations ---- */

static uint32_t pick_size(uint64_t dice)
{
    uint64_t more = dice >> 16;
    switch (dice % 16) {
    case 0:
        return (uint32_t)(more % 3);
    case 1:
        return 8192 + (uint32_t)(more % 40000);
    case 2:
        return dice % 5 == 0 ? 65530 + (uint32_t)(more % 80000) : (uint32_t)(more % 600);
    case 3:
    case 4:
        return (uint32_t)(more % 5000);
    default:
        return (uint32_t)(more % 1500);
    }
}

struct put_buffers {
    uint8_t meta[256];
    struct slice pieces[2];
};

static void fill_put(struct run *r, uint64_t dice, uint8_t *data, struct put_buffers *pb,
                     struct store_put *put)
{
    struct blob *b = oracle_new(&r->o, pick_size(dice));
    b->bucket = (uint32_t)(dice >> 40) % 4;
    b->damaged = r->rotten_disk;
    b->droppable = r->bucket_dropped && b->bucket == 3;
    uint64_t wall_s = (uint64_t)(rt_wall_ns() / NS_PER_SEC);
    if (!r->p->plain && (dice >> 44) % 10 == 0)
        b->expires_s = (uint32_t)(wall_s + 1 + (dice >> 50) % 200);
    b->may = LIVE | ABSENT; /* from now on it may be found by a scan after a crash */
    size_t meta_len = oracle_meta(&r->o, b->number, pb->meta);
    oracle_content(&r->o, b->number, 0, data, b->size);
    size_t first = b->size ? (size_t)(dice >> 8) % b->size : 0;
    pb->pieces[0] = slice_of(data, first);
    pb->pieces[1] = slice_of(data + first, b->size - first);
    *put = (struct store_put){
        .bucket = b->bucket,
        .kind = NEEDLE_DATA,
        .version = b->number + 1,
        .expires_s = b->expires_s,
        .meta = slice_of(pb->meta, meta_len),
        .data = pb->pieces,
        .ndata = 2,
        .request_id = b->number + 1,
    };
    r->o.c.puts++;
}

static void put_ended(struct run *r, const struct store_put *put, int rc, const struct blobid *id)
{
    uint32_t number = (uint32_t)(put->version - 1);
    note(r, "put", number, rc);
    oracle_put_done(&r->o, number, rc, id, alive(r));
    if (rc < 0 && alive(r) && r->quiet && !r->rotten && rc != -KT_ERR_NO_SPACE)
        oracle_violation(&r->o, &r->o.c.other, "put %u fails without a fault: %s", number,
                         err_text(rc));
}

static void do_put(struct actor *a, uint64_t dice)
{
    struct run *r = a->r;
    const struct store_api *api = engine_api(r->e);
    struct put_buffers pb;
    struct store_put put;
    struct store_put_result res = {0};
    fill_put(r, dice, a->buf, &pb, &put);
    int rc = api->put(api->self, &put, rt_after_ms(OP_DEADLINE_MS), &res);
    put_ended(r, &put, rc, &res.id);
}

#define MANY 6
static void do_put_many(struct actor *a, uint64_t dice)
{
    struct run *r = a->r;
    const struct store_api *api = engine_api(r->e);
    struct put_buffers pb[MANY];
    struct store_put puts[MANY];
    struct store_put_result res[MANY] = {0};
    int rcs[MANY] = {0};
    int n = 2 + (int)(dice % (MANY - 1));
    for (int i = 0; i < n; i++)
        fill_put(r, (dice >> 3) * (2 * (uint64_t)i + 1), a->buf + (size_t)i * BLOB_MAX, &pb[i],
                 &puts[i]);
    (void)!api->put_many(api->self, puts, n, rt_after_ms(OP_DEADLINE_MS), res, rcs);
    for (int i = 0; i < n; i++)
        put_ended(r, &puts[i], rcs[i], &res[i].id);
}

static void do_delete(struct run *r, uint32_t number)
{
    const struct store_api *api = engine_api(r->e);
    struct blobid id = r->o.blobs[number].id;
    struct view v = oracle_view(&r->o, number, rt_wall_ns());
    oracle_mutate_begin(&r->o, number);
    int rc = api->remove(api->self, &id, rt_after_ms(OP_DEADLINE_MS));
    note(r, "delete", number, rc);
    oracle_delete_done(&r->o, number, &v, rc, rt_wall_ns(), alive(r));
}

static void do_undelete(struct run *r, uint32_t number)
{
    const struct store_api *api = engine_api(r->e);
    struct blobid id = r->o.blobs[number].id;
    struct view v = oracle_view(&r->o, number, rt_wall_ns());
    oracle_mutate_begin(&r->o, number);
    int rc = api->unremove(api->self, &id, rt_after_ms(OP_DEADLINE_MS));
    note(r, "undelete", number, rc);
    oracle_undelete_done(&r->o, number, &v, rc, rt_wall_ns(), alive(r));
}

/* A deleted blob stays readable with STORE_READ_DEAD within the window. */
static void do_get_dead(struct run *r, uint32_t number)
{
    struct blob *b = &r->o.blobs[number];
    if (b->may != DEAD || b->mutating > 0 || b->droppable || b->expires_s != 0)
        return;
    struct view v = oracle_view(&r->o, number, rt_wall_ns());
    int64_t until = b->dead_since_ns + (int64_t)r->o.undelete_window_s * NS_PER_SEC - NS_PER_SEC;
    int rc = get_blob(r, number, STORE_READ_DEAD, 0, false);
    b = &r->o.blobs[number];
    note(r, "get-dead", number, rc);
    if (rc == -KT_ERR_NOT_FOUND && alive(r) && !b->droppable && rt_wall_ns() < until &&
        b->mutations == v.mutations)
        oracle_violation(&r->o, &r->o.c.lost,
                         "deleted blob %u was reclaimed within the undelete window", number);
}

/* Ids that nobody was given: the same NOT_FOUND for each. */
static void do_wrong(struct run *r, uint32_t number, uint64_t dice)
{
    const struct store_api *api = engine_api(r->e);
    struct blobid id = r->o.blobs[number].id;
    struct store_reader rd;
    uint64_t how = dice % 4;
    if (how == 0)
        id.seq += 100000;
    else
        id.cookie ^= UINT64_C(1) << (dice >> 8) % 64;
    int rc = how == 3   ? api->unremove(api->self, &id, rt_after_ms(OP_DEADLINE_MS))
             : how == 2 ? api->remove(api->self, &id, rt_after_ms(OP_DEADLINE_MS))
                        : api->open(api->self, &id, 0, rt_after_ms(OP_DEADLINE_MS), &rd);
    note(r, "wrong", number, rc);
    if (how <= 1 && rc == 0)
        api->close(&rd);
    if (!alive(r) || rc == -KT_ERR_NOT_FOUND)
        return;
    bool damaged = r->o.blobs[number].damaged;
    if (rc == 0 || (r->quiet && !damaged))
        oracle_violation(&r->o, &r->o.c.other,
                         "a wrong id (kind %d) near blob %u is answered %s: %s", (int)how, number,
                         rc == 0 ? "OK" : err_name(rc), rc == 0 ? "" : err_text(rc));
}

static void do_drop_bucket(struct run *r, uint64_t dice)
{
    const struct store_api *api = engine_api(r->e);
    if (dice % 4 != 0)
        return;
    api->drop_bucket(api->self, 3);
    r->bucket_dropped = true;
    for (uint32_t i = 0; i < r->o.n; i++)
        r->o.blobs[i].droppable |= r->o.blobs[i].bucket == 3;
}

/* A blob whose id is known, or UINT32_MAX. Recent ones are likelier, and mostly those that the
 * operation suits: live ones to delete, deleted ones to undelete. */
static uint32_t pick_blob(const struct run *r, enum op_kind kind, uint64_t dice)
{
    uint32_t n = r->o.n;
    if (n == 0)
        return UINT32_MAX;
    uint8_t want = kind == OP_DELETE ? LIVE : kind == OP_UNDELETE || kind == OP_GET_DEAD ? DEAD : 0;
    if ((dice >> 56) % 8 == 0)
        want = 0;
    uint32_t start = (uint32_t)(dice % n), any = UINT32_MAX;
    if (dice >> 63)
        start = n - 1 - (uint32_t)(dice % KT_MIN(n, 8u));
    for (uint32_t i = 0; i < n; i++) {
        const struct blob *b = &r->o.blobs[(start + i) % n];
        if (!b->has_id)
            continue;
        if (want == 0 || (b->may == want && b->mutating == 0))
            return b->number;
        any = any == UINT32_MAX ? b->number : any;
    }
    return any;
}

static void do_maintenance(struct run *r, const struct op *op)
{
    int rc = 0;
    struct engine_findings findings = {0};
    char path[16];
    switch (op->kind) {
    case OP_SLEEP:
        rc = rt_sleep_until(
            rt_after_ms((int64_t)(op->dice % (op->dice & (1u << 30) ? 3000 : 100000))));
        break;
    case OP_SEAL:
        rc = engine_seal(r->e, op->dice);
        break;
    case OP_COMPACT:
        rc = engine_compact(r->e, op->dice);
        break;
    case OP_SCRUB:
        rc = engine_scrub(r->e, op->dice, &findings);
        if (findings.n > 0 && alive(r) && !r->rotten && !r->broken && r->p->classes == 0)
            oracle_violation(&r->o, &r->o.c.corrupt, "scrub finds damage: %s", findings.first);
        break;
    case OP_BREAK:
        engine_disk_path((int)(op->dice % (uint64_t)r->p->engine.disks), path);
        sim_disk_break(r->s, path, true);
        r->broken = true;
        break;
    default:
        break;
    }
    note(r, op_name(op->kind), 0, rc);
}

static void do_op(struct actor *a, const struct op *op)
{
    struct run *r = a->r;
    uint32_t number = pick_blob(r, op->kind, op->dice);
    r->o.c.ops++;
    if (op->kind == OP_PUT)
        do_put(a, op->dice);
    else if (op->kind == OP_PUT_MANY)
        do_put_many(a, op->dice);
    else if (op->kind == OP_DROP_BUCKET)
        do_drop_bucket(r, op->dice);
    else if (op->kind >= OP_SLEEP)
        do_maintenance(r, op);
    else if (number == UINT32_MAX)
        return;
    else if (op->kind == OP_GET || op->kind == OP_RANGE)
        do_get(r, number, op->dice >> 8, op->kind == OP_RANGE, false);
    else if (op->kind == OP_DELETE)
        do_delete(r, number);
    else if (op->kind == OP_UNDELETE)
        do_undelete(r, number);
    else if (op->kind == OP_GET_DEAD)
        do_get_dead(r, number);
    else if (op->kind == OP_WRONG)
        do_wrong(r, number, op->dice >> 8);
}

static int actor_main(void *arg)
{
    struct actor *a = arg;
    struct run *r = a->r;
    a->buf = mem_alloc((size_t)MANY * BLOB_MAX);
    for (uint32_t i = 0; i < r->p->nops && alive(r); i++) {
        const struct op *op = &r->p->ops[i];
        if (!op->off && op->life == r->life && op->fiber == a->fiber)
            do_op(a, op);
    }
    mem_free(a->buf);
    return 0;
}

/* ---- the audit ---- */

struct scan {
    struct run *r;
    uint8_t *seen;
};

static int scan_each(void *arg, const struct blobid *id, const struct needle_info *info,
                     struct slice meta)
{
    struct scan *sc = arg;
    uint32_t number = oracle_scan_needle(&sc->r->o, id, info, sc->seen);
    if (number != UINT32_MAX && !meta_right(sc->r, number, meta))
        oracle_wrong_bytes(&sc->r->o, number, "meta in a scan");
    return 0;
}

/* Everything the oracle knows; only at the start of a life, when nothing else runs. */
static void audit(struct run *r, bool settle)
{
    const struct store_api *api = engine_api(r->e);
    if (settle) {
        struct scan sc = {r, mem_zalloc(r->o.n + 1)};
        oracle_scan_begin(&r->o, sc.seen);
        int rc = api->scan_kind(api->self, 0, rt_after_ms(10 * OP_DEADLINE_MS), scan_each, &sc);
        note(r, "scan", r->o.n, rc);
        if (rc < 0 && r->quiet && !r->rotten)
            oracle_violation(&r->o, &r->o.c.other, "scan fails without a fault: %s", err_text(rc));
        bool all = r->life == r->p->nlives || !r->p->lives[r->life].one_disk;
        oracle_scan_end(&r->o, sc.seen, rc == 0 && all && alive(r) && !r->rotten);
        mem_free(sc.seen);
    }
    for (uint32_t i = 0; i < r->o.n && alive(r); i++) {
        if (r->o.blobs[i].has_id)
            do_get(r, i, 0, false, settle);
    }
}

/* ---- lives ---- */

static void count_store(void *arg, const struct store_volume_stat *st)
{
    struct run *r = arg;
    if (st->state == VOLUME_SEALED)
        r->sealed_vid = st->vid;
    if (!r->quiet)
        return;
    r->o.c.compactions += st->generation;
    r->o.c.rollovers += st->state != VOLUME_OPEN;
}

/* A store that survived must work. */
static void probe_writes(struct run *r)
{
    struct actor a = {.r = r, .buf = mem_alloc((size_t)MANY * BLOB_MAX)};
    for (uint64_t i = 0; i < 8; i++) {
        do_put(&a, sim_rand(r->s));
        uint32_t number = r->o.n - 1;
        if (!r->o.blobs[number].has_id)
            continue;
        do_get(r, number, 0, false, false);
        if (i % 2 == 0) {
            do_delete(r, number);
            do_get(r, number, 0, false, false);
        }
    }
    mem_free(a.buf);
}

static int life_main(void *arg)
{
    struct run *r = arg;
    struct engine_options opt = r->p->engine;
    const struct life *life = r->life < r->p->nlives ? &r->p->lives[r->life] : NULL;
    if (life && life->one_disk)
        opt.disks = 1;
    int rc = engine_open(&opt, &r->e);
    note(r, "open", 0, rc);
    if (rc < 0) {
        if (r->quiet && !r->rotten)
            oracle_violation(&r->o, &r->o.c.other, "the store does not open: %s", err_text(rc));
        return 0;
    }
    if (r->bucket_dropped)
        engine_api(r->e)->drop_bucket(engine_api(r->e)->self, 3);
    if (alive(r))
        audit(r, true);
    if (life && life->arm_late)
        sim_fail_at(r->s, life->nth, life->fault);
    if (r->quiet)
        probe_writes(r);
    struct actor actors[PLAN_FIBERS_MAX];
    struct rt_group g;
    rt_group_open(&g);
    for (int i = 0; i < r->p->fibers && rc == 0; i++) {
        actors[i] = (struct actor){.r = r, .fiber = i};
        rc = rt_go(&g, actor_main, &actors[i]);
    }
    rc = rt_group_wait(&g, rc);
    kt_assert(rc == 0);
    if (alive(r))
        audit(r, false);
    const struct store_walk walk = {.arg = r, .volume = count_store};
    if (alive(r))
        engine_api(r->e)->walk(engine_api(r->e)->self, &walk);
    r->closed = alive(r);
    engine_close(r->e);
    r->e = NULL;
    return 0;
}

static void restart(struct run *r)
{
    if (sim_state(r->s) == SIM_POWER_CUT)
        r->o.c.cuts++;
    else if (sim_state(r->s) == SIM_KILLED)
        r->o.c.kills++;
    r->o.c.restarts++;
    if (r->closed && sim_open_handles(r->s) > 0)
        oracle_violation(&r->o, &r->o.c.other, "a clean close leaves %u handles open",
                         sim_open_handles(r->s));
    sim_restart(r->s);
    char path[16];
    for (int d = 0; d < r->p->engine.disks; d++) {
        engine_disk_path(d, path);
        sim_disk_break(r->s, path, false);
    }
    r->broken = r->closed = false;
    oracle_crashed(&r->o);
}

struct victims {
    char names[64][64];
    int n;
};

static void collect_name(void *arg, const char *name)
{
    struct victims *v = arg;
    if (v->n < 64)
        snprintf(v->names[v->n++], 64, "%s", name);
}

static void mark_damaged(struct run *r, const char *name)
{
    vid_t vid = (vid_t)strtoul(name, NULL, 16);
    bool of_volume = strchr(name, '.') == name + 8;
    r->rotten = true;
    r->rotten_disk = !of_volume; /* the store may stay unsure what it once held */
    r->o.forgiving = true;
    for (uint32_t i = 0; i < r->o.n; i++)
        r->o.blobs[i].damaged |= !of_volume || r->o.blobs[i].id.vid == vid;
}

/* Damage after a clean close. One bit anywhere; or several bits in one log, its last needle (a
 * mark, which vouches for all before it) left alone; or the end of a sealed log and its index gone.
 */
static void rot(struct run *r)
{
    char path[16];
    static struct victims v;
    v.n = 0;
    engine_disk_path((int)sim_rand_below(r->s, (uint64_t)r->p->engine.disks), path);
    sim_disk_each(r->s, path, collect_name, &v);
    if (v.n == 0)
        return;
    const char *name = v.names[sim_rand_below(r->s, (uint64_t)v.n)];
    int64_t size = sim_file_size(r->s, path, name);
    bool log = strcmp(name + strlen(name) - 3, "vol") == 0 && size > 12288 + 100;
    if (size <= 0)
        return;
    mark_damaged(r, name);
    vid_t vid = (vid_t)strtoul(name, NULL, 16);
    if (log && vid == r->sealed_vid && sim_rand_below(r->s, 3) == 0) {
        char idx[32];
        snprintf(idx, sizeof(idx), "%08x.idx", vid);
        sim_file_remove(r->s, path, idx);
        sim_file_resize(r->s, path, name, 12288 + sim_rand_below(r->s, (uint64_t)size - 12288));
        return;
    }
    const char *other = v.names[sim_rand_below(r->s, (uint64_t)v.n)];
    if (log && sim_rand_below(r->s, 4) == 0 && strcmp(other + strlen(other) - 3, "vol") == 0) {
        sim_file_copy(r->s, path, other, path, name); /* another volume's bytes in its place */
        return;
    }
    uint64_t from = log ? 12288 : 0, to = log ? (uint64_t)size - 48 : (uint64_t)size;
    for (uint64_t n = log ? 1 + sim_rand_below(r->s, 12) : 1; n > 0; n--) {
        uint64_t off = from + sim_rand_below(r->s, to - from);
        sim_file_flip_bit(r->s, path, name, off, (unsigned)sim_rand_below(r->s, 8));
        if (getenv("KITTEN_MODEL_VERBOSE") != NULL)
            printf("rot: %s/%s at %llu\n", path, name, (unsigned long long)off);
    }
}

static void quiet_options(struct sim_options *o)
{
    o->read_eio_ppm = o->write_eio_ppm = o->sync_eio_ppm = o->stall_ppm = o->no_space_ppm = 0;
}

static void finish(struct run *r, struct run_result *ret)
{
    r->o.c.seeds = 1;
    const struct sim_counts *n = sim_counts(r->s);
    r->o.c.sectors_lost = n->sectors_lost;
    r->o.c.sectors_torn = n->sectors_torn;
    r->o.c.failed_reads = n->failed_reads;
    r->o.c.failed_writes = n->failed_writes;
    r->o.c.failed_syncs = n->failed_syncs;
    r->o.c.no_space = n->no_space;
    r->o.c.short_calls = n->short_reads + n->short_writes;
    r->o.c.stalls = n->stalls;
    r->o.c.dir_ops_lost = n->dir_ops_lost;
    r->o.c.rots = r->rotten;
    ret->c = r->o.c;
    ret->trace = sim_trace(r->s);
    snprintf(ret->first, sizeof(ret->first), "%s", r->o.first);
    oracle_done(&r->o);
    sim_free(r->s);
}

struct remover {
    struct run *r;
    char path[16];
};

static void remove_index(void *arg, const char *name)
{
    struct remover *rm = arg;
    size_t len = strlen(name);
    if (len > 4 && strcmp(name + len - 4, ".idx") == 0)
        sim_file_remove(rm->r->s, rm->path, name);
}

static void before_life(struct run *r, const struct life *l)
{
    sim_wall_jump(r->s, l->jump_s * NS_PER_SEC);
    for (int d = 0; d < r->p->engine.disks && l->no_index; d++) {
        struct remover rm = {.r = r};
        engine_disk_path(d, rm.path);
        sim_disk_each(r->s, rm.path, remove_index, &rm);
    }
}

static void run_life(struct run *r, int (*fn)(void *arg))
{
    struct rt_options opt = {.backend = sim_backend(r->s), .loops = 1, .workers = 8};
    int rc = rt_run(&opt, fn, r);
    if (rc < 0)
        oracle_violation(&r->o, &r->o.c.other, "rt_run: %s", err_text(rc));
}

void run_plan(const struct plan *p, struct run_result *ret)
{
    struct run r = {.p = p, .s = sim_new(p->seed, &p->sim)};
    *ret = (struct run_result){0};
    oracle_init(&r.o, p->seed);
    r.o.undelete_window_s = p->engine.undelete_window_s;
    for (int i = 0; i < p->nlives; i++) {
        const struct life *l = &p->lives[i];
        if (l->off)
            continue;
        r.life = i;
        before_life(&r, l);
        sim_fail_at(r.s, l->nth,
                    l->end == END_NTH_CALL && !l->arm_late ? l->fault : SIM_FAULT_NONE);
        run_life(&r, life_main);
        ret->calls[i] = sim_calls(r.s);
        ret->fired[i] = sim_fired(r.s);
        bool clean = sim_state(r.s) == SIM_RUNNING;
        if (clean && l->power_off)
            sim_cut(r.s, SIM_POWER_CUT); /* all that was acknowledged is synced */
        restart(&r);
        if ((p->classes & CLASS_ROT) && clean && !r.rotten && i > 0)
            rot(&r);
    }
    quiet_options(sim_options(r.s));
    r.life = p->nlives;
    r.quiet = r.o.must_answer = true;
    run_life(&r, life_main);
    finish(&r, ret);
}

bool run_failed(const struct run_result *r)
{
    return r->first[0] != '\0';
}

void counters_add(struct counters *to, const struct counters *c)
{
    uint64_t *a = (uint64_t *)to;
    const uint64_t *b = (const uint64_t *)c;
    for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
        a[i] += b[i];
}
