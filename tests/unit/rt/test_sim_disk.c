/* sim_disk: the simulated disk behaves as measured on ext4 and xfs. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "rt/backend.h"
#include "rt/rt.h"
#include "rt/sim.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define D "/d"

struct box {
    struct sim *s;
    const struct rt_backend *b;
    int dir;
};

static struct box box_new(uint64_t seed, const struct sim_options *opt)
{
    struct box x = {.s = sim_new(seed, opt)};
    x.b = sim_backend(x.s);
    x.dir = x.b->dir_open(x.b->self, D, true);
    assert_true(x.dir > 0);
    return x;
}

static int box_open(struct box *x, const char *name, unsigned flags)
{
    return x->b->file_open(x->b->self, x->dir, name, flags, 0600);
}

static ssize_t put(struct box *x, int file, const void *p, size_t len, uint64_t off)
{
    struct iovec v = {.iov_len = len};
    memcpy(&v.iov_base, &p, sizeof(p));
    return x->b->file_pwritev(x->b->self, file, &v, 1, off);
}

static ssize_t get(struct box *x, int file, void *p, size_t len, uint64_t off)
{
    struct iovec v = {p, len};
    return x->b->file_preadv(x->b->self, file, &v, 1, off);
}

static void restart(struct box *x, enum sim_state how)
{
    sim_cut(x->s, how);
    sim_restart(x->s);
    x->dir = x->b->dir_open(x->b->self, D, false);
    assert_true(x->dir > 0);
}

/* A file of `len` bytes of `c`, synced with its directory entry; returns its handle. */
static int durable_file(struct box *x, const char *name, int c, size_t len)
{
    uint8_t *p = malloc(len);
    memset(p, c, len);
    int f = box_open(x, name, RT_O_READ | RT_O_WRITE | RT_O_CREATE | RT_O_EXCL);
    assert_true(f > 0);
    assert_int_equal(put(x, f, p, len, 0), (ssize_t)len);
    assert_int_equal(x->b->file_datasync(x->b->self, f), 0);
    assert_int_equal(x->b->dir_sync(x->b->self, x->dir), 0);
    free(p);
    return f;
}

static void synced_bytes_survive_a_power_cut(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct box x = box_new(seed, NULL);
        durable_file(&x, "a", 'a', 5000);
        restart(&x, SIM_POWER_CUT);
        uint8_t got[5001];
        int f = box_open(&x, "a", RT_O_READ);
        assert_int_equal(get(&x, f, got, sizeof(got), 0), 5000);
        for (size_t i = 0; i < 5000; i++)
            assert_int_equal(got[i], 'a');
        sim_free(x.s);
    }
}

/* Over many seeds every fate of an unsynced overwrite is seen: kept, lost, torn, garbage. */
static void unsynced_sectors_meet_every_fate(void **state)
{
    (void)state;
    int kept = 0, lost = 0, torn = 0, garbage = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct box x = box_new(seed, NULL);
        int f = durable_file(&x, "a", 'a', 8192);
        static uint8_t p[8192];
        memset(p, 'b', sizeof(p));
        assert_int_equal(put(&x, f, p, sizeof(p), 0), sizeof(p));
        restart(&x, SIM_POWER_CUT);
        f = box_open(&x, "a", RT_O_READ);
        assert_int_equal(get(&x, f, p, sizeof(p), 0), sizeof(p));
        for (size_t i = 0; i < sizeof(p); i += 512) {
            size_t a = 0, b = 0;
            for (size_t j = 0; j < 512; j++) {
                a += p[i + j] == 'a';
                b += p[i + j] == 'b';
            }
            kept += b == 512;
            lost += a == 512;
            torn += a > 0 && b > 0 && a + b == 512;
            garbage += a + b < 512;
        }
        sim_free(x.s);
    }
    assert_true(kept > 100 && lost > 100 && torn > 20 && garbage > 10);
}

static void size_of_an_unsynced_append_is_old_new_or_between(void **state)
{
    (void)state;
    int old = 0, new = 0, between = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct box x = box_new(seed, NULL);
        int f = durable_file(&x, "a", 'a', 1000);
        uint8_t p[3000] = {1};
        assert_int_equal(put(&x, f, p, sizeof(p), 1000), sizeof(p));
        restart(&x, SIM_POWER_CUT);
        int64_t size = sim_file_size(x.s, D, "a");
        assert_in_range(size, 1000, 4000);
        old += size == 1000;
        new += size == 4000;
        between += size > 1000 && size < 4000;
        sim_free(x.s);
    }
    assert_true(old > 5 && new > 5 && between > 5);
}

static void a_kill_keeps_the_page_cache(void **state)
{
    (void)state;
    struct box x = box_new(1, NULL);
    int f = durable_file(&x, "a", 'a', 1000);
    assert_int_equal(put(&x, f, "bcd", 3, 0), 3);
    assert_true(box_open(&x, "new", RT_O_WRITE | RT_O_CREATE) > 0);
    restart(&x, SIM_KILLED);
    uint8_t got[4];
    f = box_open(&x, "a", RT_O_READ);
    assert_int_equal(get(&x, f, got, 4, 0), 4);
    assert_memory_equal(got, "bcda", 4);
    assert_int_equal(sim_file_size(x.s, D, "new"), 0);
    sim_free(x.s);
}

/* The lie behind "never retry an fsync". */
static void a_failed_sync_loses_bytes_and_the_next_one_lies(void **state)
{
    (void)state;
    struct box x = box_new(3, NULL);
    int f = durable_file(&x, "a", 'a', 4096);
    int direct = box_open(&x, "a", RT_O_READ | RT_O_DIRECT);
    uint8_t p[4096];
    memset(p, 'b', sizeof(p));
    assert_int_equal(put(&x, f, p, sizeof(p), 0), sizeof(p));
    sim_fail_at(x.s, 1, SIM_FAULT_EIO);
    assert_int_equal(x.b->file_datasync(x.b->self, f), -EIO);
    assert_true(sim_fired(x.s));
    assert_int_equal(x.b->file_datasync(x.b->self, f), 0);
    assert_int_equal(get(&x, f, p, sizeof(p), 0), sizeof(p));
    for (size_t i = 0; i < sizeof(p); i++)
        assert_int_equal(p[i], 'b');
    uint8_t *page = aligned_alloc(4096, 4096);
    assert_int_equal(get(&x, direct, page, 4096, 0), 4096);
    assert_non_null(memchr(page, 'a', 4096));
    memcpy(p, page, sizeof(p));
    restart(&x, SIM_POWER_CUT);
    f = box_open(&x, "a", RT_O_READ);
    assert_int_equal(get(&x, f, page, 4096, 0), 4096);
    assert_memory_equal(page, p, 4096); /* direct reads had told the truth */
    free(page);
    sim_free(x.s);
}

static void a_direct_read_sees_dirty_pages_and_wants_alignment(void **state)
{
    (void)state;
    struct box x = box_new(3, NULL);
    int f = durable_file(&x, "a", 'a', 5000);
    int direct = box_open(&x, "a", RT_O_READ | RT_O_DIRECT);
    assert_int_equal(put(&x, f, "zz", 2, 4096), 2);
    uint8_t *page = aligned_alloc(4096, 8192);
    assert_int_equal(get(&x, direct, page, 4096, 4096), 5000 - 4096);
    assert_memory_equal(page, "zza", 3);
    assert_int_equal(get(&x, direct, page, 4096, 512), -EINVAL);
    assert_int_equal(get(&x, direct, page, 100, 0), -EINVAL);
    assert_int_equal(get(&x, direct, page + 1, 4096, 0), -EINVAL);
    free(page);
    sim_free(x.s);
}

static void names_need_a_dir_sync(void **state)
{
    (void)state;
    int missing = 0, there = 0, renamed = 0, back = 0;
    struct sim_options opt = {.dir_reorder = true};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct box x = box_new(seed, &opt);
        durable_file(&x, "old", 'o', 10);
        durable_file(&x, "victim", 'v', 10);
        int f = box_open(&x, "made", RT_O_WRITE | RT_O_CREATE);
        assert_int_equal(put(&x, f, "x", 1, 0), 1);
        assert_int_equal(x.b->file_datasync(x.b->self, f), 0); /* content only */
        assert_int_equal(x.b->file_rename(x.b->self, x.dir, "old", "new"), 0);
        assert_int_equal(x.b->file_unlink(x.b->self, x.dir, "victim"), 0);
        restart(&x, SIM_POWER_CUT);
        missing += sim_file_size(x.s, D, "made") < 0;
        there += sim_file_size(x.s, D, "made") == 1;
        renamed += sim_file_size(x.s, D, "new") == 10;
        back += sim_file_size(x.s, D, "victim") == 10;
        /* a rename is atomic: one of both names, always */
        assert_true((sim_file_size(x.s, D, "new") == 10) != (sim_file_size(x.s, D, "old") == 10));
        sim_free(x.s);
    }
    assert_true(missing > 5 && there > 5 && renamed > 5 && back > 5);
}

static void a_rename_over_a_file_is_atomic(void **state)
{
    (void)state;
    int old = 0, new = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct box x = box_new(seed, NULL);
        durable_file(&x, "a", 'a', 100);
        durable_file(&x, "a.tmp", 'n', 200);
        assert_int_equal(x.b->file_rename(x.b->self, x.dir, "a.tmp", "a"), 0);
        restart(&x, SIM_POWER_CUT);
        int64_t size = sim_file_size(x.s, D, "a");
        assert_true(size == 100 || size == 200);
        old += size == 100;
        new += size == 200;
        sim_free(x.s);
    }
    assert_true(old > 5 && new > 5);
}

static void an_unsynced_truncation_happened_or_not(void **state)
{
    (void)state;
    int cut = 0, whole = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct box x = box_new(seed, NULL);
        int f = durable_file(&x, "a", 'a', 3000);
        assert_int_equal(x.b->file_truncate(x.b->self, f, 1000), 0);
        restart(&x, SIM_POWER_CUT);
        uint8_t p[3000];
        int64_t size = sim_file_size(x.s, D, "a");
        assert_true(size == 1000 || size == 3000);
        assert_true(sim_file_read(x.s, D, "a", 0, p, (size_t)size));
        cut += size == 1000;
        whole += size == 3000;
        for (int64_t i = 1024; i < size; i++)
            assert_int_equal(p[i], 'a');
        sim_free(x.s);
    }
    assert_true(cut > 5 && whole > 5);
}

static void a_synced_truncation_stays_and_growing_shows_zeros(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct box x = box_new(seed, NULL);
        int f = durable_file(&x, "a", 'a', 3000);
        assert_int_equal(x.b->file_truncate(x.b->self, f, 1000), 0);
        assert_int_equal(put(&x, f, "z", 1, 2999), 1);
        assert_int_equal(x.b->file_datasync(x.b->self, f), 0);
        restart(&x, SIM_POWER_CUT);
        uint8_t p[3000];
        assert_true(sim_file_read(x.s, D, "a", 0, p, 3000));
        assert_int_equal(p[999], 'a');
        for (size_t i = 1000; i < 2999; i++)
            assert_int_equal(p[i], 0);
        assert_int_equal(p[2999], 'z');
        sim_free(x.s);
    }
}

static void a_full_disk_takes_what_fits_and_recovers(void **state)
{
    (void)state;
    struct sim_options opt = {.capacity_bytes = 16384};
    struct box x = box_new(1, &opt);
    static uint8_t p[20000];
    int f = box_open(&x, "a", RT_O_WRITE | RT_O_CREATE);
    assert_int_equal(put(&x, f, p, sizeof(p), 0), 16384);
    assert_int_equal(put(&x, f, p, 1, 16384), -ENOSPC);
    assert_int_equal(put(&x, f, p, 100, 0), 100); /* an overwrite needs no space */
    assert_int_equal(box_open(&x, "b", RT_O_WRITE | RT_O_CREATE), -ENOSPC);
    uint64_t total, left;
    assert_int_equal(x.b->dir_space(x.b->self, x.dir, &total, &left), 0);
    assert_int_equal(left, 0);
    assert_int_equal(x.b->file_unlink(x.b->self, x.dir, "a"), 0);
    assert_int_equal(x.b->dir_space(x.b->self, x.dir, &total, &left), 0);
    assert_int_equal(left, 0); /* still open */
    x.b->file_close(x.b->self, f);
    assert_int_equal(x.b->dir_space(x.b->self, x.dir, &total, &left), 0);
    assert_int_equal(left, 16384);
    sim_free(x.s);
}

static void the_nth_call_fails_as_told(void **state)
{
    (void)state;
    struct box x = box_new(1, NULL);
    int f = durable_file(&x, "a", 'a', 100);
    uint8_t p[100] = {0};
    sim_fail_at(x.s, 2, SIM_FAULT_SHORT);
    assert_int_equal(put(&x, f, p, 100, 0), 100);
    assert_in_range(put(&x, f, p, 100, 0), 1, 99);
    assert_int_equal(put(&x, f, p, 100, 0), 100);
    assert_int_equal(sim_calls(x.s), 3);
    sim_fail_at(x.s, 1, SIM_FAULT_ENOSPC);
    assert_int_equal(put(&x, f, p, 100, 0), -ENOSPC);
    sim_fail_read_at(x.s, 2);
    assert_int_equal(get(&x, f, p, 100, 0), 100);
    assert_int_equal(get(&x, f, p, 100, 0), -EIO);
    assert_int_equal(get(&x, f, p, 100, 0), 100);
    sim_fail_at(x.s, 2, SIM_FAULT_CUT_BEFORE);
    assert_int_equal(put(&x, f, "1", 1, 0), 1);
    assert_int_equal(sim_state(x.s), SIM_RUNNING);
    assert_int_equal(x.b->file_datasync(x.b->self, f), -EIO);
    assert_int_equal(sim_state(x.s), SIM_POWER_CUT);
    assert_int_equal(get(&x, f, p, 100, 0), -EIO);
    sim_free(x.s);
}

static void the_last_call_before_a_cut_is_done(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct box x = box_new(seed, NULL);
        int f = durable_file(&x, "a", 'a', 100);
        assert_int_equal(put(&x, f, "b", 1, 0), 1);
        sim_fail_at(x.s, 1, SIM_FAULT_CUT_AFTER);
        assert_int_equal(x.b->file_datasync(x.b->self, f), -EIO); /* the answer never arrives */
        sim_restart(x.s);
        uint8_t c;
        assert_true(sim_file_read(x.s, D, "a", 0, &c, 1));
        assert_int_equal(c, 'b');
        sim_free(x.s);
    }
}

static void locks_and_handles_end_with_the_process(void **state)
{
    (void)state;
    struct box x = box_new(1, NULL);
    int f = durable_file(&x, "a", 'a', 100);
    int g = box_open(&x, "a", RT_O_READ);
    assert_int_equal(x.b->file_lock(x.b->self, f), 0);
    assert_int_equal(x.b->file_lock(x.b->self, g), -EWOULDBLOCK);
    assert_int_equal(sim_open_handles(x.s), 3);
    restart(&x, SIM_KILLED);
    assert_int_equal(sim_open_handles(x.s), 1);
    g = box_open(&x, "a", RT_O_READ);
    assert_int_equal(x.b->file_lock(x.b->self, g), 0);
    sim_free(x.s);
}

static void damage_helpers_damage_disk_and_cache(void **state)
{
    (void)state;
    struct box x = box_new(1, NULL);
    int f = durable_file(&x, "a", 'a', 100);
    uint8_t p[100];
    assert_true(sim_file_flip_bit(x.s, D, "a", 7, 0));
    assert_int_equal(get(&x, f, p, 100, 0), 100);
    assert_int_equal(p[7], 'a' ^ 1);
    assert_false(sim_file_flip_bit(x.s, D, "a", 100, 0));
    assert_true(sim_file_bad_range(x.s, D, "a", 50, 1));
    assert_int_equal(get(&x, f, p, 50, 0), 50);
    assert_int_equal(get(&x, f, p, 51, 0), -EIO);
    assert_true(sim_file_copy(x.s, D, "a", D, "copy"));
    assert_int_equal(sim_file_size(x.s, D, "copy"), 100);
    sim_disk_break(x.s, D, true);
    assert_int_equal(get(&x, f, p, 1, 0), -EIO);
    assert_int_equal(put(&x, f, p, 1, 0), -EIO);
    sim_disk_break(x.s, D, false);
    assert_true(sim_file_remove(x.s, D, "copy"));
    assert_int_equal(sim_file_size(x.s, D, "copy"), -1);
    sim_free(x.s);
}

static uint64_t traced_run(uint64_t seed)
{
    struct sim_options opt = {
        .write_eio_ppm = 50000, .short_read_ppm = 100000, .sync_eio_ppm = 50000};
    struct box x = box_new(seed, &opt);
    uint8_t p[3000];
    for (int i = 0; i < 200; i++) {
        int f = box_open(&x, i % 3 ? "a" : "b", RT_O_READ | RT_O_WRITE | RT_O_CREATE);
        if (f < 0)
            continue;
        x.b->random(x.b->self, p, sizeof(p));
        (void)put(&x, f, p, 1 + sim_rand_below(x.s, sizeof(p)), sim_rand_below(x.s, 10000));
        if (sim_chance(x.s, 300000))
            (void)x.b->file_datasync(x.b->self, f);
        sim_note(x.s, (uint64_t)get(&x, f, p, sizeof(p), 100));
        x.b->file_close(x.b->self, f);
        if (sim_chance(x.s, 50000))
            restart(&x, SIM_POWER_CUT);
    }
    uint64_t h = sim_trace(x.s);
    sim_free(x.s);
    return h;
}

static void the_same_seed_gives_the_same_trace(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        assert_int_equal(traced_run(seed), traced_run(seed));
        assert_int_not_equal(traced_run(seed), traced_run(seed + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synced_bytes_survive_a_power_cut),
        cmocka_unit_test(unsynced_sectors_meet_every_fate),
        cmocka_unit_test(size_of_an_unsynced_append_is_old_new_or_between),
        cmocka_unit_test(a_kill_keeps_the_page_cache),
        cmocka_unit_test(a_failed_sync_loses_bytes_and_the_next_one_lies),
        cmocka_unit_test(a_direct_read_sees_dirty_pages_and_wants_alignment),
        cmocka_unit_test(names_need_a_dir_sync),
        cmocka_unit_test(a_rename_over_a_file_is_atomic),
        cmocka_unit_test(an_unsynced_truncation_happened_or_not),
        cmocka_unit_test(a_synced_truncation_stays_and_growing_shows_zeros),
        cmocka_unit_test(a_full_disk_takes_what_fits_and_recovers),
        cmocka_unit_test(the_nth_call_fails_as_told),
        cmocka_unit_test(the_last_call_before_a_cut_is_done),
        cmocka_unit_test(locks_and_handles_end_with_the_process),
        cmocka_unit_test(damage_helpers_damage_disk_and_cache),
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
