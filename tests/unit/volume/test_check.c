/* check, rebuild: what an offline look finds in directories that were damaged in known ways, and
 * how bad it calls it. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "rt/sim.h"
#include "volume/check.h"
#include "volume/disk.h"
#include "volume/rebuild.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define D "/disk"
#define SEALED "00000007.vol"
#define OPEN "00000008.vol"
#define NEEDLES 10u
#define SIZE 1000u

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #expr, diag_get()->text);      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct scene {
    struct sim *s;
    bool fast, hold; /* hold: a disk stays open meanwhile */
    int rc;
    struct check_result res;
    struct rebuild_result rebuilt;
    uint32_t nfound;
    struct check_finding found[16];
};

static void fill_volume(struct disk *d, vid_t vid, bool seal)
{
    struct volume *v;
    static uint8_t data[SIZE];
    const struct volume_new n = {.vid = vid, .limit_bytes = MIB(8)};
    CHECK(volume_create(d, &n, &v) == 0);
    for (uint32_t seq = 0; seq < NEEDLES; seq++) {
        struct blobid id;
        struct append *a = NULL;
        memset(data, (int)(seq + vid), sizeof(data));
        struct slice piece = slice_of(data, sizeof(data));
        struct append_data what = {.kind = NEEDLE_DATA, .cookie = seq, .data = &piece, .ndata = 1};
        CHECK(append_new(&what, &a) == 0);
        CHECK(volume_append(v, a) == 0);
        CHECK(append_wait(a, rt_after_ms(60000), &id) == 0);
        append_unref(a);
        if (seq == 3)
            CHECK(volume_delete(v, &id, rt_after_ms(60000)) == 0);
    }
    if (seal)
        volume_seal_soon(v);
    while (seal && volume_state_of(v) != VOLUME_SEALED)
        CHECK(rt_sleep_until(rt_after_ms(10)) == 0);
}

static int setup(void *arg)
{
    struct disk *d;
    const struct disk_options opt = {.volume_limit_bytes = MIB(8), .reserve_bytes = 4096};
    (void)arg;
    CHECK(disk_open(D, &opt, &d) == 0);
    fill_volume(d, 7, true);
    fill_volume(d, 8, false);
    disk_close(d);
    return 0;
}

static void keep(void *arg, const struct check_finding *f)
{
    struct scene *x = arg;
    CHECK(x->nfound < 16);
    x->found[x->nfound++] = *f;
}

static int check(void *arg)
{
    struct scene *x = arg;
    struct disk *d = NULL;
    const struct disk_options dopt = {.volume_limit_bytes = MIB(8), .reserve_bytes = 4096};
    const struct check_options opt = {.fast = x->fast, .finding = keep, .arg = x};
    x->nfound = 0;
    x->res = (struct check_result){0};
    if (x->hold)
        CHECK(disk_open(D, &dopt, &d) == 0);
    x->rc = check_directory(D, &opt, &x->res);
    disk_close(d);
    return 0;
}

static void on_rebuilt(void *arg, vid_t vid, uint32_t needles, int rc, const char *why)
{
    (void)arg;
    (void)vid;
    (void)why;
    CHECK(rc < 0 || needles == NEEDLES || needles == 0);
}

static int rebuild(void *arg)
{
    struct scene *x = arg;
    const struct rebuild_options opt = {.done = on_rebuilt, .arg = x};
    x->rc = rebuild_indexes(D, &opt, &x->rebuilt);
    return 0;
}

static void run(struct scene *x, int (*body)(void *))
{
    const struct rt_options o = {.backend = sim_backend(x->s), .loops = 1};
    assert_int_equal(rt_run(&o, body, x), 0);
    assert_int_equal(sim_open_handles(x->s), 0);
}

static void start(struct scene *x)
{
    *x = (struct scene){.s = sim_new(31, NULL)};
    run(x, setup);
    sim_restart(x->s);
}

static uint64_t place_of(uint32_t seq)
{
    return VOLUME_LOG_START + seq * needle_size(SIZE, 0);
}

/* One finding of this severity, about this file. */
static void expect(struct scene *x, enum check_severity severity, const char *file)
{
    run(x, check);
    assert_int_equal(x->rc, 0);
    if (x->nfound != 1 || x->found[0].severity != severity || strcmp(x->found[0].file, file) != 0)
        fail_msg("%u findings, first %d about %s: %s", x->nfound, (int)x->found[0].severity,
                 x->found[0].file, x->found[0].text);
}

static void flip(struct scene *x, const char *name, uint64_t off)
{
    assert_true(sim_file_flip_bit(x->s, D, name, off, 4));
}

static void a_sound_directory_is_clean(void **state)
{
    (void)state;
    struct scene x;
    start(&x);
    for (int fast = 0; fast < 2; fast++) {
        x.fast = fast != 0;
        run(&x, check);
        assert_int_equal(x.rc, 0);
        assert_int_equal(x.nfound, 0);
        assert_int_equal(x.res.volumes, 2);
        assert_int_equal(x.res.needles, 2 * NEEDLES);
        assert_int_equal(x.res.dead, 2);
    }
    sim_free(x.s);
}

static void damage_in_a_sealed_log_is_damage(void **state)
{
    (void)state;
    struct scene x;
    start(&x);
    for (uint32_t seq = 0; seq < NEEDLES; seq++) {
        uint64_t at = place_of(seq), steps[] = {0, 10, 47, 48, 500, 1047};
        for (size_t i = 0; i < KT_ARRAY_LEN(steps); i++) {
            flip(&x, SEALED, at + steps[i]);
            expect(&x, CHECK_DAMAGE, SEALED);
            assert_int_equal(x.found[0].offset, at);
            flip(&x, SEALED, at + steps[i]);
        }
    }
    x.fast = true; /* headers are still looked at */
    flip(&x, SEALED, place_of(2) + 8);
    expect(&x, CHECK_DAMAGE, SEALED);
    sim_free(x.s);
}

static void an_open_log_has_damage_below_its_mark_and_a_torn_tail_above(void **state)
{
    (void)state;
    struct scene x;
    start(&x);
    flip(&x, OPEN, place_of(4) + 100);
    expect(&x, CHECK_DAMAGE, OPEN);
    flip(&x, OPEN, place_of(4) + 100);
    flip(&x, OPEN, place_of(4) + 2); /* the header: what follows knows that it was synced */
    expect(&x, CHECK_DAMAGE, OPEN);
    flip(&x, OPEN, place_of(4) + 2);
    int64_t size = sim_file_size(x.s, D, OPEN);
    assert_true(sim_file_resize(x.s, D, OPEN, (uint64_t)size + 4096)); /* zeros written ahead */
    run(&x, check);
    assert_int_equal(x.nfound, 0);
    const uint8_t torn[64] = {1, 2, 3};
    assert_true(sim_file_poke(x.s, D, OPEN, (uint64_t)size, torn, sizeof(torn)));
    expect(&x, CHECK_STALE, OPEN);
    sim_free(x.s);
}

static void heads_and_slots(void **state)
{
    (void)state;
    struct scene x;
    start(&x);
    flip(&x, SEALED, 60);
    expect(&x, CHECK_DAMAGE, SEALED);
    flip(&x, SEALED, 60);
    flip(&x, SEALED, VOLUME_SLOT_A + 100); /* the older slot */
    expect(&x, CHECK_STALE, SEALED);
    flip(&x, SEALED, VOLUME_SLOT_B + 100); /* both */
    expect(&x, CHECK_DAMAGE, SEALED);
    flip(&x, SEALED, VOLUME_SLOT_A + 100);
    flip(&x, SEALED, VOLUME_SLOT_B + 100);
    int64_t size = sim_file_size(x.s, D, SEALED);
    assert_true(sim_file_resize(x.s, D, SEALED, place_of(5)));
    run(&x, check);
    assert_true(x.res.found[CHECK_DAMAGE] >= 1);
    assert_true(size > (int64_t)place_of(5));
    assert_true(sim_file_copy(x.s, D, OPEN, D, "00000009.vol")); /* misplaced */
    run(&x, check);
    assert_string_equal(x.found[x.nfound - 1].file, "00000009.vol");
    assert_int_equal(x.found[x.nfound - 1].severity, CHECK_DAMAGE);
    sim_free(x.s);
}

static void a_bad_index_is_stale_until_it_is_rebuilt(void **state)
{
    (void)state;
    struct scene x;
    start(&x);
    for (int how = 0; how < 2; how++) {
        if (how == 0)
            flip(&x, "00000007.idx", 80);
        else
            assert_true(sim_file_remove(x.s, D, "00000007.idx"));
        expect(&x, CHECK_STALE, "00000007.idx");
        run(&x, rebuild);
        assert_int_equal(x.rc, 0);
        assert_int_equal(x.rebuilt.rebuilt, 1);
        assert_int_equal(x.rebuilt.removed, 1);
        assert_int_equal(x.rebuilt.failed, 0);
        run(&x, check);
        assert_int_equal(x.nfound, 0);
    }
    flip(&x, SEALED, place_of(3) + 4);
    run(&x, rebuild);
    assert_int_equal(x.rebuilt.failed, 1);
    sim_free(x.s);
}

static void dead_marks(void **state)
{
    (void)state;
    struct scene x;
    start(&x);
    flip(&x, "dead.log", 4096 + 5);
    expect(&x, CHECK_DAMAGE, "dead.log");
    flip(&x, "dead.log", 4096 + 5);
    flip(&x, "dead.log", 20);
    expect(&x, CHECK_DAMAGE, "dead.log");
    flip(&x, "dead.log", 20);
    int64_t size = sim_file_size(x.s, D, "dead.log");
    flip(&x, "dead.log", (uint64_t)size - 8); /* in the space kept behind the records */
    expect(&x, CHECK_STALE, "dead.log");
    assert_true(sim_file_remove(x.s, D, "dead.log"));
    expect(&x, CHECK_DAMAGE, "dead.log");
    sim_free(x.s);
}

static void leftovers_are_notes(void **state)
{
    (void)state;
    struct scene x;
    start(&x);
    assert_true(sim_file_copy(x.s, D, "00000007.idx", D, "00000007.vol.tmp"));
    expect(&x, CHECK_NOTE, "00000007.vol.tmp");
    assert_true(sim_file_remove(x.s, D, "00000007.vol.tmp"));
    assert_true(sim_file_copy(x.s, D, "00000007.idx", D, "0000000a.idx"));
    expect(&x, CHECK_NOTE, "0000000a.idx");
    assert_true(sim_file_remove(x.s, D, "0000000a.idx"));
    assert_true(sim_file_copy(x.s, D, "00000007.idx", D, "00000007.job"));
    expect(&x, CHECK_STALE, "00000007.job");
    sim_free(x.s);
}

static void refuses_what_it_may_not_check(void **state)
{
    (void)state;
    struct scene x;
    start(&x);
    x.hold = true;
    run(&x, check);
    assert_int_equal(x.rc, -KT_ERR_LOCKED);
    x.hold = false;
    flip(&x, "disk", 50);
    run(&x, check);
    assert_int_equal(x.rc, -KT_ERR_CORRUPT);
    assert_true(sim_file_remove(x.s, D, "disk"));
    run(&x, check);
    assert_int_equal(x.rc, -KT_ERR_NOT_FOUND);
    sim_free(x.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_directory_is_clean),
        cmocka_unit_test(damage_in_a_sealed_log_is_damage),
        cmocka_unit_test(an_open_log_has_damage_below_its_mark_and_a_torn_tail_above),
        cmocka_unit_test(heads_and_slots),
        cmocka_unit_test(a_bad_index_is_stale_until_it_is_rebuilt),
        cmocka_unit_test(dead_marks),
        cmocka_unit_test(leftovers_are_notes),
        cmocka_unit_test(refuses_what_it_may_not_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
