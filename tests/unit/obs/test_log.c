/* log: nothing that a client sends can forge a line, lines are bounded, a full ring drops and says
 * so. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "obs/log.h"
#include "obs/metric.h"
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char out[LOG_LINE_MAX + 1];

static const char *format(enum log_format f, const struct log_field *fields, int n)
{
    struct log_line line = {.wall_ns = INT64_C(1769860800123456789),
                            .level = LOG_WARN,
                            .module = "volume",
                            .msg = "volume sealed",
                            .request_id = 0x1f,
                            .fields = fields,
                            .n = n};
    memset(out, '#', sizeof(out));
    size_t len = log_format(f, &line, out);
    assert_in_range(len, 1, LOG_LINE_MAX);
    assert_int_equal(out[LOG_LINE_MAX], '#');
    out[len] = 0;
    return out;
}

#define HEAD "ts=2026-01-31T12:00:00.123456Z level=warn module=volume rid=1f msg=\"volume sealed\""

static void logfmt(void **state)
{
    (void)state;
    int rc = err_set(KT_ERR_IO, "read 'x'");
    const struct log_field fields[] = {LOG_U64("vid", UINT64_MAX), LOG_I64("d", -3),
                                       LOG_HEX("id", 255),         LOG_STR("path", "/a/b"),
                                       LOG_STR("empty", ""),       LOG_ERR(rc)};
    assert_string_equal(format(LOG_LOGFMT, fields, 6),
                        HEAD " vid=18446744073709551615 d=-3 id=ff path=/a/b empty=\"\" err=IO "
                             "why=\"read 'x'\"\n");
    assert_string_equal(format(LOG_LOGFMT, NULL, 0), HEAD "\n");
}

static void json(void **state)
{
    (void)state;
    const struct log_field fields[] = {LOG_U64("vid", 7),
                                       LOG_STR("key", "a\"b\\c\n\xff\xc3\xa4\xc2\x9b")};
    json_error_t why;
    json_t *o = json_loads(format(LOG_JSON, fields, 2), 0, &why);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "level")), "warn");
    assert_int_equal(json_integer_value(json_object_get(o, "vid")), 7);
    /* a byte that is no UTF-8 shows as the code point of its number */
    assert_string_equal(json_string_value(json_object_get(o, "key")),
                        "a\"b\\c\n\xc3\xbf\xc3\xa4\xc2\x9b");
    json_decref(o);
}

static void values_cannot_forge_fields_or_lines(void **state)
{
    (void)state;
    static const char *const evil[] = {"x level=error",
                                       "x\nts=1 level=info",
                                       "a\"b",
                                       "a\\",
                                       "a=b",
                                       "\x1b[2J",
                                       "\xc2\x9b[2J",
                                       "\xff\xfe",
                                       "\xe0\x80\xaf",
                                       "\xed\xa0\x80",
                                       "\xf4\x90\x80\x80",
                                       "\xc3"};
    for (size_t i = 0; i < KT_ARRAY_LEN(evil); i++) {
        const struct log_field fields[] = {LOG_STR("key", evil[i])};
        const char *line = format(LOG_LOGFMT, fields, 1);
        assert_int_equal(strncmp(line, HEAD " key=\"", strlen(HEAD) + 6), 0);
        const char *p = line + strlen(HEAD) + 6;
        for (; *p != '"'; p++) {
            assert_true(*p >= 0x20 && *p < 0x7f);
            if (*p == '\\')
                p++;
        }
        assert_string_equal(p, "\"\n");
    }
    const struct log_field nul[] = {LOG_BYTES("key", SLICE_LIT("a\0b"))};
    assert_string_equal(format(LOG_LOGFMT, nul, 1), HEAD " key=\"a\\u0000b\"\n");
}

static void secrets_are_hidden(void **state)
{
    (void)state;
    const struct log_field fields[] = {LOG_STR("secret_key", "hunter2"),
                                       LOG_STR("Authorization", "hunter2"),
                                       LOG_STR("x_token", "hunter2"), LOG_HEX("signature", 0x77)};
    static const enum log_format formats[] = {LOG_LOGFMT, LOG_JSON};
    for (int i = 0; i < 2; i++) {
        const char *line = format(formats[i], fields, 4);
        assert_null(strstr(line, "hunter2"));
        assert_null(strstr(line, "77"));
        assert_non_null(strstr(line, "[hidden]"));
    }
}

/* Whatever the length, the line is bounded, ends in a newline, and JSON stays JSON. */
static void long_values_are_cut_whole(void **state)
{
    (void)state;
    static char text[3000];
    for (size_t len = 800; len < 1100; len++) {
        for (int kind = 0; kind < 3; kind++) {
            memset(text, kind == 0 ? 'a' : kind == 1 ? '"' : '\n', len);
            const struct log_field fields[] = {LOG_BYTES("k", slice_of(text, len)),
                                               LOG_U64("after", 123456), LOG_STR("last", "word"),
                                               LOG_I64("neg", -1)};
            const char *line = format(LOG_LOGFMT, fields, 4);
            assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
            if (!strstr(line, " neg=-1\n"))
                assert_non_null(strstr(line, " cut=1\n"));
            line = format(LOG_JSON, fields, 4);
            assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
            json_t *o = json_loads(line, 0, NULL);
            if (!o)
                fail_msg("not JSON: %s", line);
            if (!json_object_get(o, "neg"))
                assert_non_null(json_object_get(o, "cut"));
            json_decref(o);
        }
    }
}

static int64_t fake_now_ns;

static int64_t fake_clock(void)
{
    return fake_now_ns;
}

static char path[64];
static char text[1 << 21];

static const char *file_text(void)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

static int count_of(const char *needle)
{
    int n = 0;
    for (const char *p = file_text(); (p = strstr(p, needle)); p++)
        n++;
    return n;
}

static int with_file(void **state)
{
    (void)state;
    int64_t (*system_clock)(void) = log_clock_ns;
    snprintf(path, sizeof(path), "/tmp/kitten-test-log.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    fake_now_ns = system_clock();
    return 0;
}

static int without_file(void **state)
{
    (void)state;
    log_stop();
    unlink(path);
    return 0;
}

static void start(enum log_format f)
{
    struct log_options opt = {.level = LOG_INFO, .format = f, .path = path};
    assert_int_equal(log_start(&opt), 0);
}

static void lines_reach_the_file_in_order(void **state)
{
    (void)state;
    start(LOG_LOGFMT);
    for (int i = 0; i < 3000; i++) {
        log_access("http", "get", LOG_I64("n", i));
        if (i % 500 == 0)
            usleep(2000);
    }
    log_debug("http", "too fine");
    log_stop();
    uint64_t lost = log_dropped();
    int last = -1, lines = 0;
    for (const char *p = file_text(); (p = strstr(p, " n=")); p++) {
        int n = (int)strtol(p + 3, NULL, 10);
        assert_true(n > last);
        last = n;
        lines++;
    }
    assert_int_equal(lines + (int)lost, 3000);
    assert_int_equal(count_of("too fine"), 0);
}

static void a_full_ring_drops_and_says_so(void **state)
{
    (void)state;
    uint64_t before = log_dropped(), counted = metric_value(METRIC_LOG_DROPPED, METRIC_NO_LABELS);
    uint64_t lines = metric_value(METRIC_LOG_LINES, METRIC_L(LOG_INFO));
    start(LOG_LOGFMT);
    log_hold(true);
    for (int i = 0; i < LOG_RING_LINES + 50; i++)
        log_access("http", "filler", LOG_I64("n", i));
    assert_true(log_dropped() - before == 50);
    assert_true(metric_value(METRIC_LOG_DROPPED, METRIC_NO_LABELS) - counted == 50);
    assert_true(metric_value(METRIC_LOG_LINES, METRIC_L(LOG_INFO)) - lines == LOG_RING_LINES + 50);
    log_hold(false);
    log_stop();
    assert_int_equal(count_of("msg=filler"), LOG_RING_LINES);
    assert_int_equal(count_of("lines=50"), 1);
}

static void bursts_are_limited_per_place(void **state)
{
    (void)state;
    int64_t (*system_clock)(void) = log_clock_ns;
    log_clock_ns = fake_clock;
    start(LOG_JSON);
    for (int second = 0; second < 2; second++) {
        for (int i = 0; i < 100; i++)
            log_error("disk", "write failed", LOG_STR("disk", "d1"));
        log_error("disk", "another place");
        fake_now_ns += NS_PER_SEC;
    }
    log_stop();
    log_clock_ns = system_clock;
    assert_int_equal(count_of("write failed"), 2 * LOG_BURST);
    assert_int_equal(count_of("another place"), 2);
    assert_int_equal(count_of("\"suppressed\":90"), 1);
}

static void reopen_follows_rotation(void **state)
{
    (void)state;
    char old[80];
    start(LOG_LOGFMT);
    log_info("log", "before");
    usleep(50000);
    snprintf(old, sizeof(old), "%s.1", path);
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(log_reopen(), 0);
    log_info("log", "after");
    log_stop();
    assert_int_equal(count_of("after"), 1);
    assert_int_equal(count_of("before"), 0);
    unlink(old);
}

static void a_file_that_cannot_be_opened(void **state)
{
    (void)state;
    struct log_options opt = {.path = "/nonexistent/kitten.log"};
    assert_int_equal(log_start(&opt), -KT_ERR_NOT_FOUND);
    assert_non_null(strstr(err_text(-KT_ERR_NOT_FOUND), "/nonexistent/kitten.log"));
    assert_int_equal(log_level_now, LOG_INFO);
}

static void a_full_disk_is_counted(void **state)
{
    (void)state;
    uint64_t before = log_dropped();
    struct log_options opt = {.level = LOG_INFO, .path = "/dev/full"};
    assert_int_equal(log_start(&opt), 0);
    log_info("log", "lost");
    log_stop();
    assert_true(log_dropped() - before == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt),
        cmocka_unit_test(json),
        cmocka_unit_test(values_cannot_forge_fields_or_lines),
        cmocka_unit_test(secrets_are_hidden),
        cmocka_unit_test(long_values_are_cut_whole),
        cmocka_unit_test_setup_teardown(lines_reach_the_file_in_order, with_file, without_file),
        cmocka_unit_test_setup_teardown(a_full_ring_drops_and_says_so, with_file, without_file),
        cmocka_unit_test_setup_teardown(bursts_are_limited_per_place, with_file, without_file),
        cmocka_unit_test_setup_teardown(reopen_follows_rotation, with_file, without_file),
        cmocka_unit_test(a_file_that_cannot_be_opened),
        cmocka_unit_test(a_full_disk_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
