/* metric: labels stay bounded, buckets are exact at their bounds, the text is well formed. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "base/macros.h"
#include "obs/metric.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static int reset(void **state)
{
    (void)state;
    metric_reset();
    return 0;
}

static char *render(struct buf *out)
{
    *out = BUF_INIT(MIB(4));
    assert_int_equal(metric_render(out), 0);
    assert_int_equal(buf_add(out, "", 1), 0);
    return (char *)out->p;
}

static void counters_and_gauges(void **state)
{
    (void)state;
    uint8_t get = metric_label(DIM_API, SLICE_LIT("get"));
    uint8_t photos = metric_label(DIM_BUCKET, SLICE_LIT("photos"));
    struct metric_labels l = METRIC_L(get, metric_code(200), photos);
    struct buf out;
    metric_add(METRIC_HTTP_REQUESTS, l, 2);
    metric_add(METRIC_HTTP_REQUESTS, l, 3);
    metric_add(METRIC_LOG_DROPPED, METRIC_NO_LABELS, 1);
    metric_shift(METRIC_HTTP_INFLIGHT, METRIC_L(get), 2);
    metric_shift(METRIC_HTTP_INFLIGHT, METRIC_L(get), -3);
    metric_shift(METRIC_FIBERS, METRIC_NO_LABELS, 9);
    metric_set(METRIC_FIBERS, METRIC_NO_LABELS, 4);
    metric_total(METRIC_OFFLOADS, METRIC_NO_LABELS, 70);
    metric_total(METRIC_OFFLOADS, METRIC_NO_LABELS, 77);
    assert_int_equal(metric_value(METRIC_OFFLOADS, METRIC_NO_LABELS), 77);
    assert_int_equal(metric_value(METRIC_HTTP_REQUESTS, l), 5);
    char *text = render(&out);
    assert_non_null(
        strstr(text, "# TYPE kitten_http_requests_total counter\n"
                     "kitten_http_requests_total{api=\"get\",code=\"200\",bucket=\"photos\"} 5\n"));
    assert_non_null(strstr(text, "\nkitten_log_dropped_total 1\n"));
    assert_non_null(strstr(text, "\nkitten_http_inflight{api=\"get\"} -1\n"));
    assert_non_null(strstr(text, "\nkitten_fibers 4\n"));
    assert_null(strstr(text, "api=\"put\"")); /* series that nobody touched are not printed */
    buf_done(&out);
}

static void histogram_bounds_are_inclusive(void **state)
{
    (void)state;
    struct metric_labels l = METRIC_L(metric_label(DIM_API, SLICE_LIT("put")));
    struct buf out;
    static const int64_t ns[] = {
        -5,           0, 100000, 100001, 200000, 200001, INT64_C(13107200000), INT64_C(13107200001),
        INT64_MAX / 4};
    for (size_t i = 0; i < KT_ARRAY_LEN(ns); i++)
        metric_observe_ns(METRIC_HTTP_TTFB, l, ns[i]);
    char *text = render(&out);
    static const char *const want[] = {"_bucket{api=\"put\",le=\"0.0001\"} 3\n",
                                       "_bucket{api=\"put\",le=\"0.0002\"} 5\n",
                                       "_bucket{api=\"put\",le=\"0.0004\"} 6\n",
                                       "_bucket{api=\"put\",le=\"6.5536\"} 6\n",
                                       "_bucket{api=\"put\",le=\"13.1072\"} 7\n",
                                       "_bucket{api=\"put\",le=\"+Inf\"} 9\n",
                                       "_count{api=\"put\"} 9\n"};
    for (size_t i = 0; i < KT_ARRAY_LEN(want); i++)
        if (!strstr(text, want[i]))
            fail_msg("no line '%s' in:\n%s", want[i], strstr(text, "kitten_http_ttfb"));
    assert_int_equal(metric_value(METRIC_HTTP_TTFB, l), 9);
    buf_done(&out);
}

static void bounded_labels_end_in_other(void **state)
{
    (void)state;
    char name[16];
    uint8_t other = 32;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "bucket%d", i);
        assert_int_equal(metric_label(DIM_BUCKET, slice_str(name)), i < 32 ? i : other);
    }
    assert_int_equal(metric_label(DIM_BUCKET, SLICE_LIT("bucket7")), 7);
    uint8_t n = metric_label(DIM_API, SLICE_LIT("nonsense"));
    assert_int_equal(n, metric_label(DIM_API, SLICE_LIT("more nonsense")));
    assert_int_equal(metric_code(299), metric_code(7));
    assert_int_not_equal(metric_code(200), metric_code(404));
    struct buf out;
    metric_add(METRIC_HTTP_REQUESTS, METRIC_L(n, metric_code(299), other), 1);
    assert_non_null(strstr(render(&out), "{api=\"other\",code=\"other\",bucket=\"other\"} 1\n"));
    buf_done(&out);
}

static void label_values_are_escaped(void **state)
{
    (void)state;
    uint8_t d = metric_label(DIM_DISK, SLICE_LIT("a\"b\\c\nd"));
    struct buf out;
    metric_add(METRIC_STORE_GROUPS, METRIC_L(d), 1);
    assert_non_null(strstr(render(&out), "{disk=\"a\\\"b\\\\c\\nd\"} 1\n"));
    buf_done(&out);
}

/* Every row: HELP and TYPE once, counters end in _total, and recording in the last series of each
 * metric touches no other's. */
static void every_metric_has_cells_of_its_own(void **state)
{
    (void)state;
    struct buf out;
    uint8_t last_code = metric_code(0);
    metric_add(METRIC_HTTP_REQUESTS, METRIC_L(13, last_code, 32), 7);
    metric_observe_ns(METRIC_STORE_DISK_TIME, METRIC_L(3, 16), INT64_MAX / 2);
    metric_set(METRIC_DISK_BYTES, METRIC_L(16, 4), 5);
    assert_int_equal(metric_value(METRIC_HTTP_REQUESTS, METRIC_L(13, last_code, 32)), 7);
    char *text = render(&out);
    int samples = 0, help = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        samples += *line != '#';
        help += strncmp(line, "# HELP kitten_", 14) == 0;
        struct slice row = slice_of(line, (size_t)(strchr(line, '\n') - line));
        struct slice counter = SLICE_LIT(" counter"), total = SLICE_LIT("_total counter");
        if (slice_eq(slice_sub(row, row.len - counter.len, counter.len), counter))
            assert_slice_equal(slice_sub(row, row.len - total.len, total.len), total);
    }
    assert_int_equal(help, METRIC_COUNT);
    assert_int_equal(samples, 2 + METRIC_BUCKETS + 3);
    buf_done(&out);
}

static void *add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++)
        metric_add(METRIC_OFFLOADS, METRIC_NO_LABELS, 1);
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t t[12];
    for (int i = 0; i < 12; i++)
        assert_int_equal(pthread_create(&t[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 12; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(metric_value(METRIC_OFFLOADS, METRIC_NO_LABELS), 240000);
}

static void a_full_buffer_is_an_error(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(500);
    assert_int_equal(metric_render(&out), -KT_ERR_TOO_LARGE);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(counters_and_gauges, reset),
        cmocka_unit_test_setup(histogram_bounds_are_inclusive, reset),
        cmocka_unit_test_setup(bounded_labels_end_in_other, reset),
        cmocka_unit_test_setup(label_values_are_escaped, reset),
        cmocka_unit_test_setup(every_metric_has_cells_of_its_own, reset),
        cmocka_unit_test_setup(threads_lose_nothing, reset),
        cmocka_unit_test_setup(a_full_buffer_is_an_error, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
