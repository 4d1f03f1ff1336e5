/* jobs: a store compacts, scrubs and drops by itself, shows what it does, and stops in the middle
 * of it. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "obs/metric.h"
#include "rt/sim.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOBS 120u
#define SIZE 8000u
#define WINDOW_S 3600u

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #expr, diag_get()->text);      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct scene {
    struct sim *s;
    uint32_t expires_in_s, scrub_period_s;
    uint64_t compact_bytes_per_s;
    struct blobid ids[BLOBS];
    struct store *store;
    const struct store_api *api;
    uint64_t used; /* bytes of all volumes */
    uint32_t volumes, jobs_seen;
    struct store_job_stat job;
    struct jobs_totals totals;
};

static int64_t soon(void)
{
    return rt_after_ms(100000);
}

static void open_store(struct scene *x)
{
    static const char *const dirs[] = {"/d0"};
    const struct store_options opt = {.dirs = dirs,
                                      .ndirs = 1,
                                      .volume_limit_bytes = 256u << 10,
                                      .reserve_bytes = 65536,
                                      .undelete_window_s = WINDOW_S,
                                      .scrub_period_s = x->scrub_period_s,
                                      .compact_bytes_per_s = x->compact_bytes_per_s,
                                      .check_ms = 50};
    CHECK(store_open(&opt, &x->store) == 0);
    x->api = store_api_of(x->store);
}

static bool is_dead(uint32_t i)
{
    return i % 2 == 0;
}

static int setup(void *arg)
{
    struct scene *x = arg;
    static uint8_t data[SIZE];
    uint8_t meta[8];
    open_store(x);
    for (uint32_t i = 0; i < BLOBS; i++) {
        memset(data, (int)i, sizeof(data));
        struct slice piece = slice_of(data, sizeof(data));
        struct store_put p = {.kind = NEEDLE_DATA, .data = &piece, .ndata = 1};
        size_t meta_len = 0;
        if (x->expires_in_s) {
            p.expires_s = (uint32_t)(rt_wall_ns() / NS_PER_SEC) + x->expires_in_s;
            CHECK(needle_meta_add(meta, sizeof(meta), &meta_len, TAG_EXPIRES,
                                  slice_of(&p.expires_s, 4)) == 0);
            p.meta = slice_of(meta, meta_len);
        }
        struct store_put_result res;
        CHECK(x->api->put(x->api->self, &p, soon(), &res) == 0);
        x->ids[i] = res.id;
    }
    for (uint32_t i = 0; !x->expires_in_s && i < BLOBS; i++)
        if (is_dead(i))
            CHECK(x->api->remove(x->api->self, &x->ids[i], soon()) == 0);
    store_close(x->store);
    return 0;
}

static void on_volume(void *arg, const struct store_volume_stat *st)
{
    struct scene *x = arg;
    if (st->state == 18) /* dropped */
        return;
    x->used += st->length;
    x->volumes++;
}

static void on_job(void *arg, const struct store_job_stat *st)
{
    struct scene *x = arg;
    x->jobs_seen++;
    x->job = *st;
}

static void look(struct scene *x)
{
    struct store_totals t;
    const struct store_walk w = {.arg = x, .volume = on_volume, .job = on_job};
    x->used = x->volumes = 0;
    x->api->walk(x->api->self, &w);
    store_totals(x->store, &t);
    x->totals = t.jobs;
}

static void check_blobs(struct scene *x)
{
    for (uint32_t i = 0; i < BLOBS; i++) {
        struct store_reader r;
        int rc = x->api->open(x->api->self, &x->ids[i], 0, soon(), &r);
        if (is_dead(i)) {
            CHECK(rc == -KT_ERR_NOT_FOUND);
            continue;
        }
        struct slice piece;
        CHECK(rc == 0 && r.info.data_len == SIZE);
        CHECK(x->api->read(&r, soon(), &piece) == 0 && piece.len > 0 && piece.p[0] == (uint8_t)i);
        x->api->close(&r);
    }
}

static uint64_t job_bytes(const char *kind)
{
    return metric_value(METRIC_JOB_BYTES, METRIC_L(metric_label(DIM_JOB, slice_str(kind))));
}

static uint64_t crc_errors(const char *where)
{
    return metric_value(METRIC_CRC_ERRORS, METRIC_L(metric_label(DIM_WHERE, slice_str(where))));
}

static int let_it_work(void *arg)
{
    struct scene *x = arg;
    open_store(x);
    look(x);
    uint64_t before = x->used;
    for (int i = 0; i < 400; i++) {
        CHECK(rt_sleep_until(rt_after_ms(20)) == 0);
        check_blobs(x);
        look(x);
    }
    CHECK(x->totals.compactions >= 3 && x->totals.reclaimed_bytes > 0 && x->totals.failures == 0);
    CHECK(x->used < before * 2 / 3);
    CHECK(x->totals.scrubs > 0 && x->totals.findings == 0 && x->totals.scrubbed_bytes > 0);
    CHECK(x->totals.scrub_oldest_s < x->scrub_period_s);
    CHECK(job_bytes("compact") >= x->totals.compacted_bytes && job_bytes("compact") > 0);
    CHECK(job_bytes("scrub") >= x->totals.scrubbed_bytes && job_bytes("scrub") > 0);
    CHECK(x->jobs_seen > 0 && x->job.id > 0 && x->job.kind[0] && x->job.phase[0]);
    store_close(x->store);
    return 0;
}

static int reopen(void *arg)
{
    struct scene *x = arg;
    open_store(x);
    check_blobs(x);
    look(x);
    CHECK(x->totals.scrub_oldest_s < x->scrub_period_s); /* remembered */
    CHECK(metric_value(METRIC_SCRUB_OLDEST, METRIC_NO_LABELS) < x->scrub_period_s);
    store_close(x->store);
    return 0;
}

static void run(struct scene *x, int (*body)(void *))
{
    const struct rt_options o = {.backend = sim_backend(x->s), .loops = 1};
    assert_int_equal(rt_run(&o, body, x), 0);
    sim_restart(x->s);
    assert_int_equal(sim_open_handles(x->s), 0);
}

static void compacts_and_scrubs_by_itself(void **state)
{
    (void)state;
    struct scene x = {.s = sim_new(99, NULL), .scrub_period_s = 2 * WINDOW_S};
    run(&x, setup);
    sim_wall_jump(x.s, (int64_t)3 * WINDOW_S * NS_PER_SEC);
    run(&x, let_it_work);
    run(&x, reopen);
    sim_free(x.s);
}

static int stop_in_the_middle(void *arg)
{
    struct scene *x = arg;
    open_store(x);
    x->jobs_seen = 0;
    while (x->jobs_seen == 0 || x->job.done_bytes == 0 || strcmp(x->job.kind, "compact") != 0) {
        CHECK(rt_sleep_until(rt_after_ms(1)) == 0);
        look(x);
    }
    store_close(x->store);
    return 0;
}

static void a_stop_interrupts_and_the_next_start_goes_on(void **state)
{
    (void)state;
    struct scene x = {
        .s = sim_new(7, NULL), .scrub_period_s = 2 * WINDOW_S, .compact_bytes_per_s = 65536};
    run(&x, setup);
    sim_wall_jump(x.s, (int64_t)3 * WINDOW_S * NS_PER_SEC);
    for (int i = 0; i < 3; i++)
        run(&x, stop_in_the_middle);
    x.compact_bytes_per_s = 0;
    run(&x, let_it_work);
    sim_free(x.s);
}

static int wait_for_drops(void *arg)
{
    struct scene *x = arg;
    open_store(x);
    look(x);
    CHECK(x->volumes >= 4);
    for (int i = 0; i < 400 && (x->volumes > 1 || x->totals.dropped_volumes < 3); i++) {
        CHECK(rt_sleep_until(rt_after_ms(20)) == 0);
        look(x);
    }
    CHECK(x->volumes == 1); /* the open one */
    CHECK(x->totals.dropped_volumes >= 3);
    for (uint32_t i = 0; i < BLOBS; i++) {
        struct store_reader r;
        CHECK(x->api->open(x->api->self, &x->ids[i], 0, soon(), &r) == -KT_ERR_NOT_FOUND);
    }
    store_close(x->store);
    return 0;
}

static void break_first_volume(void *arg, const char *name)
{
    struct scene *x = arg;
    if (strstr(name, ".vol") && x->volumes++ == 0)
        assert_true(sim_file_bad_range(x->s, "/d0", name, 65536, 4096));
}

static int look_for_failures(void *arg)
{
    struct scene *x = arg;
    open_store(x);
    CHECK(rt_sleep_until(rt_after_ms(3000)) == 0);
    look(x);
    CHECK(x->totals.dropped_volumes >= 2);
    CHECK(x->totals.failures > 0 && x->totals.failures < 5);
    store_close(x->store);
    return 0;
}

/* Regression: a volume whose expiry couldn't be read was read again every 10 ms, and nothing else
 * was done on its disk. */
static void reads_an_unreadable_expiry_again_later(void **state)
{
    (void)state;
    struct scene x = {.s = sim_new(6, NULL), .scrub_period_s = 1000000, .expires_in_s = 600};
    run(&x, setup);
    sim_restart(x.s);
    sim_disk_each(x.s, "/d0", break_first_volume, &x);
    sim_wall_jump(x.s, 1000 * NS_PER_SEC);
    run(&x, look_for_failures);
    sim_free(x.s);
}

static void drops_volumes_whose_needles_have_all_expired(void **state)
{
    (void)state;
    struct scene x = {.s = sim_new(5, NULL), .scrub_period_s = 1000000, .expires_in_s = 600};
    run(&x, setup);
    sim_wall_jump(x.s, 1000 * NS_PER_SEC);
    run(&x, wait_for_drops);
    sim_free(x.s);
}

static void flip_in_volume(void *arg, const char *name)
{
    struct scene *x = arg;
    if (!strstr(name, ".vol"))
        return;
    int64_t size = sim_file_size(x->s, "/d0", name);
    for (int64_t at = 20000; at < size - 20000; at += 20000)
        CHECK(sim_file_flip_bit(x->s, "/d0", name, (uint64_t)at, 3));
}

static int find_damage(void *arg)
{
    struct scene *x = arg;
    uint64_t wrong = 0;
    open_store(x);
    for (uint32_t i = 1; i < BLOBS; i += 2) {
        struct store_reader r;
        struct slice piece;
        int rc = x->api->open(x->api->self, &x->ids[i], 0, soon(), &r);
        if (rc == 0) {
            rc = x->api->read(&r, soon(), &piece);
            x->api->close(&r);
        }
        CHECK(rc == 0 || rc == -KT_ERR_CORRUPT);
        wrong += rc < 0;
    }
    CHECK(wrong > 0 && crc_errors("get") == wrong);
    for (int i = 0; i < 400 && x->totals.findings == 0; i++) {
        CHECK(rt_sleep_until(rt_after_ms(20)) == 0);
        look(x);
    }
    CHECK(x->totals.findings > 0 && crc_errors("scrub") > 0);
    store_close(x->store);
    return 0;
}

static void counts_what_reads_and_scrubs_find_damaged(void **state)
{
    (void)state;
    struct scene x = {.s = sim_new(11, NULL), .scrub_period_s = 2 * WINDOW_S};
    run(&x, setup);
    sim_disk_each(x.s, "/d0", flip_in_volume, &x);
    sim_wall_jump(x.s, (int64_t)3 * WINDOW_S * NS_PER_SEC);
    metric_reset();
    run(&x, find_damage);
    sim_free(x.s);
}

static int put_on_broken_disk(void *arg)
{
    struct scene *x = arg;
    struct slice piece = SLICE_LIT("x");
    struct store_put p = {.kind = NEEDLE_DATA, .data = &piece, .ndata = 1};
    struct store_put_result res;
    open_store(x);
    sim_disk_break(x->s, "/d0", true);
    int rc = 0;
    for (int i = 0; i < 100 && rc != -KT_ERR_UNAVAILABLE; i++) {
        rc = x->api->put(x->api->self, &p, soon(), &res);
        CHECK(rc < 0);
    }
    CHECK(rc == -KT_ERR_UNAVAILABLE);
    store_close(x->store);
    sim_disk_break(x->s, "/d0", false);
    return 0;
}

static void refuses_when_no_disk_takes_writes(void **state)
{
    (void)state;
    struct scene x = {.s = sim_new(3, NULL), .scrub_period_s = 1000000};
    run(&x, setup);
    run(&x, put_on_broken_disk);
    sim_free(x.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compacts_and_scrubs_by_itself),
        cmocka_unit_test(a_stop_interrupts_and_the_next_start_goes_on),
        cmocka_unit_test(drops_volumes_whose_needles_have_all_expired),
        cmocka_unit_test(reads_an_unreadable_expiry_again_later),
        cmocka_unit_test(counts_what_reads_and_scrubs_find_damaged),
        cmocka_unit_test(refuses_when_no_disk_takes_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
