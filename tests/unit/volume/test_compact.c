/* compact: contents before and after, and a power cut, kill or failure at every persisting call of
 * a compaction. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "rt/sim.h"
#include "volume/compact.h"
#include "volume/disk.h"
#include "volume/generation.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define D "/disk"
#define VID 7u
#define NEEDLES 60u
#define EXPIRING 5u /* needles with an expiry, behind the others */
#define WINDOW_S 3600u
#define SEED 20260101u

/* Bodies run on fibers, where cmocka's failed asserts may not jump. */
#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #expr, diag_get()->text);      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct scene {
    struct sim *s;
    uint32_t expiry_class;
    uint32_t wanted; /* readers' seq that stays open over the compaction */
    bool may_fail;   /* a fault is armed */
    int compact_rc;
    struct blobid ids[NEEDLES + EXPIRING];
    struct disk *disk;
    struct volume *vol;
};

static uint32_t size_of(uint32_t seq)
{
    return seq % 16 == 15 ? 70000 + seq : seq * 37 % 3000;
}

static void fill(uint8_t *p, uint32_t len, uint32_t seq)
{
    for (uint32_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 7 + i / 251 + seq);
}

static bool is_dead(uint32_t seq)
{
    return seq % 3 == 1;
}

static int64_t soon(void)
{
    return rt_after_ms(120000);
}

/* Appends one needle and waits. */
static int put(struct volume *v, uint32_t seq, uint32_t expires, struct blobid *ret)
{
    uint8_t meta[16];
    size_t meta_len = 0;
    uint32_t len = size_of(seq);
    uint8_t *data = malloc(len + 1);
    fill(data, len, seq);
    struct slice piece = slice_of(data, len);
    if (expires)
        CHECK(needle_meta_add(meta, sizeof(meta), &meta_len, TAG_EXPIRES, slice_of(&expires, 4)) ==
              0);
    struct append_data what = {.kind = NEEDLE_DATA,
                               .cookie = 1000 + seq,
                               .meta = slice_of(meta, meta_len),
                               .data = &piece,
                               .ndata = 1};
    struct append *a = NULL;
    int rc = append_new(&what, &a);
    if (rc == 0)
        rc = volume_append(v, a);
    if (rc == 0)
        rc = append_wait(a, soon(), ret);
    append_unref(a);
    free(data);
    return rc;
}

static int open_disk(struct scene *x)
{
    const struct disk_options opt = {.volume_limit_bytes = MIB(8),
                                     .reserve_bytes = 4096,
                                     .undelete_window_s = WINDOW_S,
                                     .dead_fold_bytes = MIB(1)};
    int rc = disk_open(D, &opt, &x->disk);
    if (rc == 0 && disk_volume_count(x->disk) > 0)
        x->vol = disk_volume_at(x->disk, 0);
    return rc;
}

static int setup(void *arg)
{
    struct scene *x = arg;
    const struct volume_new n = {
        .vid = VID, .limit_bytes = MIB(8), .expiry_class = x->expiry_class};
    CHECK(open_disk(x) == 0);
    CHECK(volume_create(x->disk, &n, &x->vol) == 0);
    for (uint32_t seq = 0; seq < NEEDLES; seq++)
        CHECK(put(x->vol, seq, 0, &x->ids[seq]) == 0);
    uint32_t expires = (uint32_t)(rt_wall_ns() / NS_PER_SEC) + 60;
    for (uint32_t seq = NEEDLES; x->expiry_class && seq < NEEDLES + EXPIRING; seq++)
        CHECK(put(x->vol, seq, expires, &x->ids[seq]) == 0);
    volume_seal_soon(x->vol);
    while (volume_state_of(x->vol) != VOLUME_SEALED)
        CHECK(rt_sleep_until(rt_after_ms(10)) == 0);
    for (uint32_t seq = 0; seq < NEEDLES; seq++)
        if (is_dead(seq))
            CHECK(volume_delete(x->vol, &x->ids[seq], soon()) == 0);
    disk_close(x->disk);
    return 0;
}

static int read_all(struct volume_reader *r, uint8_t *out, uint32_t len)
{
    struct slice piece;
    uint32_t at = 0;
    for (;;) {
        int rc = volume_read_next(r, &piece);
        if (rc < 0 || piece.len == 0)
            return rc < 0 ? rc : at == len ? 0 : -KT_ERR_INTERNAL;
        if (piece.len > len - at)
            return -KT_ERR_INTERNAL;
        memcpy(out + at, piece.p, piece.len);
        at += (uint32_t)piece.len;
    }
}

static void check_needle(struct scene *x, uint32_t seq, bool expect)
{
    struct volume_reader r;
    struct needle_info info;
    int rc = volume_read_open(x->vol, &x->ids[seq], 0, soon(), &r, &info);
    if (!expect) {
        CHECK(rc == -KT_ERR_NOT_FOUND);
        return;
    }
    CHECK(rc == 0);
    uint32_t len = size_of(seq);
    uint8_t *want = malloc(len + 1), *got = malloc(len + 1);
    fill(want, len, seq);
    CHECK(info.data_len == len && info.seq == seq);
    CHECK(read_all(&r, got, len) == 0);
    CHECK(memcmp(want, got, len) == 0);
    volume_read_close(&r);
    free(want);
    free(got);
}

/* Every live needle reads back, every dead one is gone. */
static void check_contents(struct scene *x)
{
    for (uint32_t seq = 0; seq < NEEDLES; seq++)
        check_needle(x, seq, !is_dead(seq));
}

static int compact(struct scene *x, struct compact_result *ret)
{
    const struct compact_options opt = {.job_id = 1, .undelete_window_s = WINDOW_S};
    struct work w = {0};
    int rc = compact_resume(x->vol, &w, ret);
    return rc == 0 ? compact_run(x->vol, &opt, &w, ret) : rc;
}

static int run(struct scene *x, int (*body)(void *))
{
    const struct rt_options o = {.backend = sim_backend(x->s), .loops = 1};
    return rt_run(&o, body, x);
}

static void scene_start(struct scene *x, uint64_t seed)
{
    x->s = sim_new(seed, &(struct sim_options){.capacity_bytes = MIB(64)});
    CHECK(run(x, setup) == 0);
    sim_restart(x->s);
    sim_wall_jump(x->s, (WINDOW_S + COMPACT_GRACE_S + 60) * NS_PER_SEC);
}

/* ---- without faults ---- */

static int compact_and_compare(void *arg)
{
    struct scene *x = arg;
    struct compact_result r;
    struct volume_stat before, after;
    struct volume_reader held;
    struct needle_info info;
    uint8_t *got = malloc(size_of(15));
    CHECK(open_disk(x) == 0);
    check_contents(x);
    volume_stat(x->vol, &before);
    CHECK(volume_read_open(x->vol, &x->ids[15], 0, soon(), &held, &info) == 0);
    CHECK(compact(x, &r) == 0);
    volume_stat(x->vol, &after);
    CHECK(r.dropped == NEEDLES / 3 && r.kept == NEEDLES - NEEDLES / 3);
    CHECK(r.new_bytes < r.old_bytes && after.length == r.new_bytes && before.length == r.old_bytes);
    CHECK(after.generation == before.generation + 1 && after.state == VOLUME_SEALED);
    CHECK(after.dead == 0 && after.dead_bytes == 0);
    check_contents(x);
    CHECK(read_all(&held, got, size_of(15)) == 0); /* from the old generation */
    volume_read_close(&held);
    CHECK(volume_undelete(x->vol, &x->ids[1], soon()) == -KT_ERR_NOT_FOUND);
    CHECK(volume_delete(x->vol, &x->ids[0], soon()) == 0);
    CHECK(compact(x, &r) == -KT_ERR_AGAIN); /* that one is too young */
    CHECK(volume_undelete(x->vol, &x->ids[0], soon()) == 0);
    disk_close(x->disk);
    free(got);
    return 0;
}

static int reopen_and_check(void *arg)
{
    struct scene *x = arg;
    struct volume_stat st;
    CHECK(open_disk(x) == 0);
    CHECK(volume_need_index(x->vol, soon()) == 0);
    volume_stat(x->vol, &st);
    CHECK(st.state == VOLUME_SEALED && st.generation == 1);
    check_contents(x);
    disk_close(x->disk);
    return 0;
}

static void drops_the_dead_and_keeps_the_rest(void **state)
{
    (void)state;
    struct scene x = {0};
    scene_start(&x, SEED);
    assert_int_equal(run(&x, compact_and_compare), 0);
    sim_restart(x.s);
    assert_int_equal(sim_file_size(x.s, D, "00000007.job"), -1);
    assert_int_equal(run(&x, reopen_and_check), 0);
    assert_int_equal(sim_open_handles(x.s), 0);
    sim_free(x.s);
}

/* Regression: the writer kept the open log's file and index until the close, so that a volume
 * sealed by the same process gave nothing back when it was compacted. */
static int seal_and_count(void *arg)
{
    struct scene *x = arg;
    const struct volume_new n = {.vid = VID, .limit_bytes = MIB(8)};
    CHECK(open_disk(x) == 0);
    uint32_t before = sim_open_handles(x->s);
    CHECK(volume_create(x->disk, &n, &x->vol) == 0);
    for (uint32_t seq = 0; seq < NEEDLES; seq++)
        CHECK(put(x->vol, seq, 0, &x->ids[seq]) == 0);
    volume_seal_soon(x->vol);
    while (volume_state_of(x->vol) != VOLUME_SEALED)
        CHECK(rt_sleep_until(rt_after_ms(10)) == 0);
    CHECK(rt_sleep_until(rt_after_ms(10)) == 0); /* its writer ends */
    CHECK(sim_open_handles(x->s) == before + 1);
    disk_close(x->disk);
    return 0;
}

static void a_sealed_volume_holds_one_file(void **state)
{
    (void)state;
    struct scene x = {.s = sim_new(SEED, &(struct sim_options){.capacity_bytes = MIB(64)})};
    assert_int_equal(run(&x, seal_and_count), 0);
    sim_free(x.s);
}

static int compact_expired(void *arg)
{
    struct scene *x = arg;
    struct compact_result r;
    struct work w = {0};
    uint32_t last;
    CHECK(open_disk(x) == 0);
    CHECK(compact_last_expiry(x->vol, &w, &last) == 0 && last == 0); /* most never expire */
    CHECK(compact(x, &r) == 0);
    CHECK(r.dropped == NEEDLES / 3 + EXPIRING);
    for (uint32_t seq = NEEDLES; seq < NEEDLES + EXPIRING; seq++)
        check_needle(x, seq, false);
    check_contents(x);
    disk_close(x->disk);
    return 0;
}

static void drops_what_has_expired(void **state)
{
    (void)state;
    struct scene x = {.expiry_class = 1};
    scene_start(&x, SEED);
    assert_int_equal(run(&x, compact_expired), 0);
    sim_free(x.s);
}

static int compact_damaged(void *arg)
{
    struct scene *x = arg;
    struct compact_result r;
    struct volume_stat st;
    CHECK(open_disk(x) == 0);
    x->compact_rc = compact(x, &r);
    volume_stat(x->vol, &st);
    CHECK(st.state == VOLUME_SEALED && st.generation == (x->compact_rc == 0 ? 1 : 0));
    disk_close(x->disk);
    return 0;
}

static int64_t offset_of_data(struct scene *x, uint32_t seq)
{
    static uint8_t log[1 << 20];
    int64_t size = sim_file_size(x->s, D, "00000007.vol");
    assert_true(size > 0 && size <= (int64_t)sizeof(log));
    assert_true(sim_file_read(x->s, D, "00000007.vol", 0, log, (size_t)size));
    uint8_t want[64];
    fill(want, sizeof(want), seq);
    for (int64_t i = VOLUME_LOG_START; i + 64 <= size; i += 8)
        if (memcmp(log + i, want, sizeof(want)) == 0)
            return i;
    fail();
    return 0;
}

static void damage_ends_it_unless_it_is_dropped_anyway(void **state)
{
    (void)state;
    for (uint32_t seq = 6; seq <= 7; seq++) { /* 6 lives, 7 is dead */
        struct scene x = {0};
        scene_start(&x, SEED);
        assert_true(
            sim_file_flip_bit(x.s, D, "00000007.vol", (uint64_t)offset_of_data(&x, seq) + 9, 3));
        assert_int_equal(run(&x, compact_damaged), 0);
        assert_int_equal(x.compact_rc, is_dead(seq) ? 0 : -KT_ERR_CORRUPT);
        sim_restart(x.s);
        assert_int_equal(sim_file_size(x.s, D, "00000007.job"), -1);
        assert_int_equal(sim_file_size(x.s, D, "00000007.vol.tmp"), -1);
        sim_free(x.s);
    }
}

/* ---- beside deletes and undeletes, and with pauses ---- */

struct beside {
    struct scene *x;
    struct work w;
    bool hold, done;
    int rc;
    uint32_t asked;
};

static const char *held(void *arg)
{
    struct beside *b = arg;
    b->asked++;
    return b->hold ? "a test holds it" : NULL;
}

static int compact_slowly(void *arg)
{
    struct beside *b = arg;
    struct compact_result r;
    /* Marks of this hour count as old. */
    const struct compact_options opt = {.undelete_window_s = WINDOW_S,
                                        .now_ms = (uint64_t)(rt_wall_ns() / NS_PER_MS) +
                                                  (uint64_t)(WINDOW_S + 300) * 1000};
    b->rc = compact_run(b->x->vol, &opt, &b->w, &r);
    b->done = true;
    return 0;
}

static int undelete_beside(void *arg)
{
    struct scene *x = arg;
    struct beside b = {.x = x, .w = {.pause = held, .arg = &b}, .hold = true};
    struct rt_group g;
    CHECK(open_disk(x) == 0);
    CHECK(volume_need_index(x->vol, soon()) == 0);
    CHECK(volume_delete(x->vol, &x->ids[0], soon()) == 0); /* young enough to be taken back */
    rt_group_open(&g);
    CHECK(rt_go(&g, compact_slowly, &b) == 0);
    while (!atomic_load(&b.w.paused))
        CHECK(rt_sleep_until(rt_after_ms(1)) == 0);
    CHECK(strcmp(atomic_load(&b.w.paused), "a test holds it") == 0);
    uint64_t done = atomic_load(&b.w.done);
    CHECK(rt_sleep_until(rt_after_ms(2000)) == 0);
    CHECK(atomic_load(&b.w.done) == done && !b.done); /* it stands still */
    check_needle(x, 2, true);                         /* readers don't */
    CHECK(volume_undelete(x->vol, &x->ids[0], soon()) == -KT_ERR_EXPIRED);
    CHECK(volume_delete(x->vol, &x->ids[2], soon()) == 0); /* not on the list */
    b.hold = false;
    CHECK(rt_group_wait(&g, 0) == 0);
    CHECK(b.rc == 0 && b.asked > 2 && work_eta_s(&b.w) == 0 && work_rate(&b.w) > 0);
    check_needle(x, 0, false);
    check_needle(x, 2, false); /* the mark was carried over */
    CHECK(volume_undelete(x->vol, &x->ids[2], soon()) == 0);
    check_needle(x, 2, true);
    disk_close(x->disk);
    return 0;
}

static void what_is_on_the_drop_list_is_not_undeleted(void **state)
{
    (void)state;
    struct scene x = {0};
    scene_start(&x, SEED);
    assert_int_equal(run(&x, undelete_beside), 0);
    sim_free(x.s);
}

/* ---- a fault at every persisting call ---- */

static int compact_under_fault(void *arg)
{
    struct scene *x = arg;
    struct compact_result r;
    x->compact_rc = open_disk(x);
    if (x->compact_rc == 0) {
        x->compact_rc = compact(x, &r);
        if (sim_state(x->s) == SIM_RUNNING && disk_state_of(x->disk) != DISK_FAILED)
            check_contents(x);
        disk_close(x->disk);
    }
    return 0;
}

static int check_and_finish(void *arg)
{
    struct scene *x = arg;
    struct compact_result r;
    struct work w = {0};
    struct volume_stat st;
    CHECK(open_disk(x) == 0);
    check_contents(x);
    volume_stat(x->vol, &st);
    CHECK(st.state == VOLUME_SEALED && st.generation <= 1);
    bool before = st.generation == 0;
    int rc = compact_resume(x->vol, &w, &r);
    CHECK(rc >= 0 && (rc == 0 || before));
    check_contents(x);
    if (before && rc == 0)
        CHECK(compact(x, &r) == 0);
    volume_stat(x->vol, &st);
    CHECK(st.generation == 1 && st.dead == 0);
    check_contents(x);
    disk_close(x->disk);
    return 0;
}

static uint32_t sweep(enum sim_fault what)
{
    for (uint32_t n = 1;; n++) {
        struct scene x = {0};
        scene_start(&x, SEED + n);
        sim_fail_at(x.s, n, what);
        assert_int_equal(run(&x, compact_under_fault), 0);
        bool fired = sim_fired(x.s);
        sim_restart(x.s);
        assert_int_equal(run(&x, check_and_finish), 0);
        sim_restart(x.s);
        assert_int_equal(run(&x, reopen_and_check), 0);
        assert_int_equal(sim_open_handles(x.s), 0);
        sim_free(x.s);
        if (!fired) {
            assert_int_equal(x.compact_rc, 0);
            return n - 1;
        }
    }
}

static void survives_a_fault_at_every_persisting_call(void **state)
{
    (void)state;
    for (enum sim_fault f = SIM_FAULT_EIO; f < SIM_FAULT_COUNT; f++) {
        uint32_t calls = sweep(f);
        print_message("# %s: %u calls\n", sim_fault_name(f), calls);
        assert_true(calls >= 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops_the_dead_and_keeps_the_rest),
        cmocka_unit_test(a_sealed_volume_holds_one_file),
        cmocka_unit_test(drops_what_has_expired),
        cmocka_unit_test(damage_ends_it_unless_it_is_dropped_anyway),
        cmocka_unit_test(what_is_on_the_drop_list_is_not_undeleted),
        cmocka_unit_test(survives_a_fault_at_every_persisting_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
