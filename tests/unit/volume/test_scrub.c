/* scrub: a sound volume has no findings; every flipped byte of a log is found, with its place. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "rt/backend.h"
#include "rt/sim.h"
#include "volume/disk.h"
#include "volume/generation.h"
#include "volume/scrub.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define D "/disk"
#define NAME "00000007.vol"
#define NEEDLES 12u
#define FINDINGS 8u

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #expr, diag_get()->text);      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct scene {
    struct sim *s;
    bool seal;
    struct disk *disk;
    struct volume *vol;
    int rc;
    uint32_t nfound;
    struct scrub_finding found[FINDINGS];
    struct scrub_result res;
};

static uint32_t size_of(uint32_t seq)
{
    return seq == 5 ? 70000 : 100 + seq * 50;
}

static int put(struct volume *v, uint32_t seq)
{
    struct blobid id;
    struct append *a = NULL;
    uint8_t *data = calloc(1, size_of(seq));
    memset(data, (int)seq + 1, size_of(seq));
    struct slice piece = slice_of(data, size_of(seq));
    struct append_data what = {.kind = NEEDLE_DATA, .cookie = seq, .data = &piece, .ndata = 1};
    int rc = append_new(&what, &a);
    if (rc == 0)
        rc = volume_append(v, a);
    if (rc == 0)
        rc = append_wait(a, rt_after_ms(60000), &id);
    append_unref(a);
    free(data);
    return rc;
}

static int open_disk(struct scene *x)
{
    const struct disk_options opt = {.volume_limit_bytes = MIB(8), .reserve_bytes = 4096};
    int rc = disk_open(D, &opt, &x->disk);
    if (rc == 0 && disk_volume_count(x->disk) > 0)
        x->vol = disk_volume_at(x->disk, 0);
    return rc;
}

static int setup(void *arg)
{
    struct scene *x = arg;
    const struct volume_new n = {.vid = 7, .limit_bytes = MIB(8)};
    CHECK(open_disk(x) == 0);
    CHECK(volume_create(x->disk, &n, &x->vol) == 0);
    for (uint32_t seq = 0; seq < NEEDLES; seq++)
        CHECK(put(x->vol, seq) == 0);
    if (x->seal) {
        volume_seal_soon(x->vol);
        while (volume_state_of(x->vol) != VOLUME_SEALED)
            CHECK(rt_sleep_until(rt_after_ms(10)) == 0);
    }
    disk_close(x->disk);
    return 0;
}

static void keep(void *arg, const struct scrub_finding *f)
{
    struct scene *x = arg;
    CHECK(x->nfound < FINDINGS);
    x->found[x->nfound++] = *f;
}

static int scrub(void *arg)
{
    struct scene *x = arg;
    struct work w = {.bytes_per_s = MIB(100)};
    CHECK(open_disk(x) == 0);
    x->nfound = 0;
    x->rc = scrub_run(x->vol, &w, keep, x, &x->res);
    disk_close(x->disk);
    return 0;
}

static void run(struct scene *x, int (*body)(void *))
{
    const struct rt_options o = {.backend = sim_backend(x->s), .loops = 1};
    assert_int_equal(rt_run(&o, body, x), 0);
    sim_restart(x->s);
}

static void start(struct scene *x, bool seal)
{
    *x = (struct scene){.s = sim_new(4711, NULL), .seal = seal};
    run(x, setup);
}

static void finds_nothing_in_sound_volumes(void **state)
{
    (void)state;
    for (int seal = 0; seal < 2; seal++) {
        struct scene x;
        start(&x, seal != 0);
        run(&x, scrub);
        assert_int_equal(x.rc, 0);
        assert_int_equal(x.nfound, 0);
        assert_int_equal(x.res.needles, NEEDLES);
        assert_int_equal(x.res.bytes, sim_file_size(x.s, D, NAME) - VOLUME_LOG_START);
        sim_free(x.s);
    }
}

/* The offset of needle `seq` and of what follows it. */
static uint64_t place_of(uint32_t seq)
{
    uint64_t at = VOLUME_LOG_START;
    for (uint32_t i = 0; i < seq; i++)
        at += needle_size(size_of(i), 0);
    return at;
}

static void finds_damage_and_goes_on_behind_it(void **state)
{
    (void)state;
    for (uint32_t seq = 0; seq < NEEDLES; seq++) {
        struct scene x;
        start(&x, true);
        uint64_t at = place_of(seq), size = needle_size(size_of(seq), 0);
        uint64_t steps[] = {0, 5, 40, 48, size / 2, size - 8};
        for (size_t i = 0; i < KT_ARRAY_LEN(steps); i++) {
            assert_true(sim_file_flip_bit(x.s, D, NAME, at + steps[i], 2));
            run(&x, scrub);
            assert_int_equal(x.rc, 0);
            assert_int_equal(x.nfound, 1);
            assert_int_equal(x.found[0].offset, at);
            assert_true(x.found[0].bytes >= size && x.found[0].bytes <= size + NEEDLE_HEADER);
            assert_true(x.found[0].has_seq);
            assert_int_equal(x.found[0].seq, seq);
            assert_int_equal(x.res.needles, NEEDLES - 1);
            assert_true(sim_file_flip_bit(x.s, D, NAME, at + steps[i], 2));
        }
        sim_free(x.s);
    }
}

static void finds_a_damaged_head_and_unreadable_places(void **state)
{
    (void)state;
    struct scene x;
    start(&x, true);
    assert_true(sim_file_bad_range(x.s, D, NAME, place_of(5) + 8192, 4096));
    run(&x, scrub);
    assert_int_equal(x.rc, 0);
    assert_true(x.nfound >= 1);
    assert_int_equal(x.found[0].vid, 7);
    assert_true(x.found[0].offset <= place_of(5) + 8192);
    assert_true(x.res.findings == x.nfound);
    sim_free(x.s);
}

static struct rt_backend full; /* the simulator, with no worker free for reads */

static int (*real_offload)(void *self, struct rt_job *job);

static int offload_or_not(void *self, struct rt_job *job)
{
    return job->urgent ? real_offload(self, job) : -EAGAIN;
}

static int scrub_without_workers(void *arg)
{
    struct scene *x = arg;
    struct work w = {0};
    real_offload = full.offload;
    CHECK(open_disk(x) == 0);
    full.offload = offload_or_not;
    x->rc = scrub_run(x->vol, &w, keep, x, &x->res);
    full.offload = real_offload;
    disk_close(x->disk);
    return 0;
}

/* Regression: reads that no worker had room for counted as a whole pass. */
static void a_pass_that_could_not_read_is_none(void **state)
{
    (void)state;
    struct scene x;
    start(&x, false);
    full = *sim_backend(x.s);
    const struct rt_options o = {.backend = &full, .loops = 1};
    assert_int_equal(rt_run(&o, scrub_without_workers, &x), 0);
    assert_int_equal(x.rc, -KT_ERR_BUSY);
    assert_int_equal(x.nfound, 0);
    sim_free(x.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_nothing_in_sound_volumes),
        cmocka_unit_test(finds_damage_and_goes_on_behind_it),
        cmocka_unit_test(finds_a_damaged_head_and_unreadable_places),
        cmocka_unit_test(a_pass_that_could_not_read_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
