/* conf: rank of sources, notations, messages that say what would be right, generated files up to
 * date. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "conf/conf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct conf c;

static int begin(void **state)
{
    (void)state;
    conf_init(&c);
    return 0;
}

static int end(void **state)
{
    (void)state;
    conf_done(&c);
    return 0;
}

static int load(const char *text)
{
    return conf_load_text(&c, slice_str(text), "kitten.conf");
}

/* The call fails with INVALID and its message holds `part`. */
#define assert_refused(call, part)                                                                 \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        assert_int_equal(rc_, -KT_ERR_INVALID);                                                    \
        if (!strstr(err_text(rc_), (part)))                                                        \
            fail_msg("'%s' does not say '%s'", err_text(rc_), (part));                             \
    } while (0)

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(c.listen.n, 2);
    assert_string_equal(c.listen.at[0], "127.0.0.1:9000");
    assert_string_equal(c.listen.at[1], "[::1]:9000");
    assert_int_equal(c.data.n, 0);
    assert_false(c.zero_fill_ahead);
    assert_true(c.http_idle_timeout_ms == 75000);
    assert_true(c.scrub_period_ms == INT64_C(7) * 86400000);
    assert_true(c.http_head_limit_bytes == 32768);
    assert_int_equal(c.log_level, 2);
    assert_string_equal(c.log_file, "");
}

static void rank_not_order_decides(void **state)
{
    (void)state;
    char *env[] = {(char[]){"KITTEN_LOOPS=3"}, (char[]){"KITTEN_WORKERS=33"}, (char[]){"PATH=/bin"},
                   NULL};
    assert_int_equal(conf_set(&c, CONF_FLAG, "loops", "4"), 0);
    assert_int_equal(conf_load_env(&c, env), 0);
    assert_int_equal(load("loops = 2\nworkers = 22\nopen_volumes = 11\n"), 0);
    assert_true(c.loops == 4 && c.workers == 33 && c.open_volumes == 11);
    assert_int_equal(conf_set(&c, CONF_FLAG, "loops", "5"), 0);
    assert_true(c.loops == 5);
    /* a loser is checked all the same */
    assert_refused(conf_set(&c, CONF_FILE, "loops", "many"), "'many' is not a number");
    assert_true(c.loops == 5);
}

static void lists_replace_lower_and_extend_their_own(void **state)
{
    (void)state;
    assert_int_equal(load("[server]\nlisten = 10.0.0.1:80 , 10.0.0.2:80\nlisten = 10.0.0.3:80\n"),
                     0);
    assert_int_equal(c.listen.n, 3);
    assert_string_equal(c.listen.at[1], "10.0.0.2:80");
    assert_string_equal(c.listen.at[2], "10.0.0.3:80");
    assert_int_equal(conf_set(&c, CONF_FLAG, "data", "/d1"), 0);
    assert_int_equal(conf_set(&c, CONF_FLAG, "data", "/d2,/d3"), 0);
    assert_int_equal(conf_set(&c, CONF_FILE, "data", "/d9"), 0);
    assert_int_equal(c.data.n, 3);
    assert_string_equal(c.data.at[2], "/d3");
    assert_refused(conf_set(&c, CONF_FLAG, "data", "/a,,/b"), "empty entry");
    assert_refused(conf_set(&c, CONF_FLAG, "data", "/a,"), "empty entry");
    assert_refused(conf_set(&c, CONF_FLAG, "listen", ""), "at least 1");
    assert_int_equal(c.data.n, 3);
    for (int i = 3; i < CONF_LIST_MAX; i++)
        assert_int_equal(conf_set(&c, CONF_FLAG, "data", "/more"), 0);
    assert_refused(conf_set(&c, CONF_FLAG, "data", "/one-too-many"), "more than 64");
}

static void sizes_and_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t want;
    } sizes[] = {{"0", 0},
                 {"1B", 1},
                 {"4KiB", 4096},
                 {"1MiB", 1048576},
                 {"3GiB", 3221225472},
                 {"16777215TiB", UINT64_C(16777215) << 40},
                 {"5kB", 5000},
                 {"2MB", 2000000},
                 {"1GB", 1000000000},
                 {"1TB", 1000000000000}};
    static const char *const bad_sizes[] = {
        "",     "KiB", "1K",     "1kib",        "1 KiB",
        "-1",   "+1",  "1.5GiB", "16777216TiB", "18446744073709551616",
        "1KiBB"};
    static const struct {
        const char *text;
        int64_t want;
    } times[] = {{"0", 0},       {"250ms", 250},  {"10s", 10000},   {"10", 10000},
                 {"5m", 300000}, {"2h", 7200000}, {"7d", 604800000}};
    static const char *const bad_times[] = {
        "", "s", "1w", "1 s", "-1s", "1.5s", "9223372036854775807s", "1S"};
    uint64_t v;
    int64_t t;
    for (size_t i = 0; i < KT_ARRAY_LEN(sizes); i++)
        assert_true(conf_read_size(sizes[i].text, &v) && v == sizes[i].want);
    for (size_t i = 0; i < KT_ARRAY_LEN(bad_sizes); i++)
        assert_false(conf_read_size(bad_sizes[i], &v));
    for (size_t i = 0; i < KT_ARRAY_LEN(times); i++)
        assert_true(conf_read_time_ms(times[i].text, &t) && t == times[i].want);
    for (size_t i = 0; i < KT_ARRAY_LEN(bad_times); i++)
        assert_false(conf_read_time_ms(bad_times[i], &t));
}

static void refusals_say_what_would_be_right(void **state)
{
    (void)state;
    assert_refused(conf_set(&c, CONF_FLAG, "volume-limit", "32 GiB"), "64KiB");
    assert_refused(conf_set(&c, CONF_FLAG, "volume-limit", "33GiB"), "0 to 32GiB");
    assert_refused(conf_set(&c, CONF_FLAG, "undelete-window", "soon"), "10s");
    assert_refused(conf_set(&c, CONF_FLAG, "http-head-timeout", "1ms"), "100ms to 10m");
    assert_refused(conf_set(&c, CONF_FLAG, "compact_garbage", "100"), "1 to 99");
    assert_refused(conf_set(&c, CONF_FLAG, "log_level", "loud"), "error|warn|info|debug");
    assert_refused(conf_set(&c, CONF_FLAG, "log_level", ""), "error|warn|info|debug");
    assert_refused(conf_set(&c, CONF_FLAG, "log_level", "inf"), "error|warn|info|debug");
    assert_refused(conf_set(&c, CONF_FLAG, "zero_fill_ahead", "maybe"), "yes or no");
    assert_refused(conf_set(&c, CONF_FLAG, "log_file", "a\nb"), "control byte");
    assert_refused(conf_set(&c, CONF_FLAG, "volume-limt", "1"), "did you mean 'volume_limit'?");
    assert_refused(conf_set(&c, CONF_FLAG, "quux", "1"), "no parameter 'quux'");
    assert_null(strstr(err_text(-KT_ERR_INVALID), "did you mean"));
}

static void every_kind_is_stored(void **state)
{
    (void)state;
    assert_int_equal(
        load(
            "[log]\nlog_level = debug\nlog_format=json\nlog_file = /var/log/kitten.log\n"
            "# comment\n; comment\n[storage]\nzero_fill_ahead = yes\nvolume_limit = 1GiB ; inline\n"
            "scrub-period = 14d\n\n"),
        0);
    assert_int_equal(c.log_level, 3);
    assert_int_equal(c.log_format, 1);
    assert_string_equal(c.log_file, "/var/log/kitten.log");
    assert_true(c.zero_fill_ahead);
    assert_true(c.volume_limit_bytes == GIB(1));
    assert_true(c.scrub_period_ms == INT64_C(14) * 86400000);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static char text[400];
    assert_refused(load("[server]\nloops = 2\nlops = 3\n"),
                   "kitten.conf:3: there is no parameter 'lops'");
    assert_refused(load("loops = 99\n"), "kitten.conf:1: loops: '99' is out of range");
    assert_refused(load("[http]\nloops = 1\n"), "belongs in the section [server]");
    assert_refused(load("[nonsense]\nloops = 1\n"), "belongs in the section [server]");
    assert_refused(load("loops = 1\nloops = 2\n"), "kitten.conf:2: loops is set twice");
    assert_refused(load("\nloops\n"), "kitten.conf:2: neither");
    assert_refused(load("[server\n"), "kitten.conf:1: neither");
    /* inih would take this for a second value of listen, or cut the long line in two */
    assert_refused(load("listen = 1.2.3.4:5\n  loops = 2\n"), "kitten.conf:2: begins with a blank");
    memset(text, 'x', 300);
    assert_refused(load(text), "kitten.conf:1: longer than");
    assert_refused(conf_load_text(&c, SLICE_LIT("loops = 1\n\0"), "kitten.conf"),
                   "kitten.conf:2: a NUL byte");
}

static void files(void **state)
{
    (void)state;
    char path[] = "/tmp/kitten-test-conf.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "loops = 7\n", 10), 10);
    close(fd);
    assert_int_equal(conf_load_file(&c, path), 0);
    assert_true(c.loops == 7);
    unlink(path);
    assert_int_equal(conf_load_file(&c, path), -KT_ERR_NOT_FOUND);
    assert_non_null(strstr(err_text(-KT_ERR_NOT_FOUND), path));
    assert_true(conf_load_file(&c, "/tmp") < 0);
    assert_int_equal(conf_load_file(&c, "/dev/zero"), -KT_ERR_TOO_LARGE);
}

static void environment(void **state)
{
    (void)state;
    char *fine[] = {(char[]){"KITTEN_HTTP_HEAD_LIMIT=64KiB"}, (char[]){"KITTEN_CONF=/x"},
                    (char[]){"KITTEN_BUG=x"}, (char[]){"KITTENS=1"}, NULL};
    char *unknown[] = {(char[]){"KITTEN_LOOP=1"}, NULL};
    char *bad[] = {(char[]){"KITTEN_LOOPS=x"}, NULL};
    char *odd[] = {(char[]){"KITTEN_LOOPS"}, NULL};
    assert_int_equal(conf_load_env(&c, fine), 0);
    assert_true(c.http_head_limit_bytes == 65536);
    assert_refused(conf_load_env(&c, unknown),
                   "KITTEN_LOOP: there is no parameter 'loop'; did you mean 'loops'?");
    assert_refused(conf_load_env(&c, bad), "KITTEN_LOOPS: loops: 'x' is not a number");
    assert_refused(conf_load_env(&c, odd), "environment");
}

static void finish_fits_the_machine(void **state)
{
    (void)state;
    assert_int_equal(conf_finish(&c, GIB(4)), 0);
    assert_true(c.http_body_budget_bytes == GIB(1));
    c.http_body_budget_bytes = 0;
    assert_int_equal(conf_finish(&c, MIB(100)), 0);
    assert_true(c.http_body_budget_bytes == MIB(64));
    c.http_body_budget_bytes = 0;
    assert_int_equal(conf_finish(&c, GIB(1000)), 0);
    assert_true(c.http_body_budget_bytes == GIB(8));
    c.http_body_budget_bytes = MIB(1);
    assert_refused(conf_finish(&c, GIB(4)), "smaller than max_blob");
    c.http_body_budget_bytes = GIB(1);
    c.volume_limit_bytes = MIB(1);
    assert_refused(conf_finish(&c, GIB(4)), "four times max_blob");
    c.volume_limit_bytes = 0;
    assert_int_equal(conf_set(&c, CONF_FLAG, "data", "/a,/b,/a"), 0);
    assert_refused(conf_finish(&c, GIB(4)), "'/a' is given twice");
}

/* Each row: found under both spellings, in a section, its default readable and within its limits,
 * and a prose that is a sentence. */
static void the_table_is_sound(void **state)
{
    (void)state;
    size_t n = 0;
    for (const struct conf_param *p; (p = conf_param(n)); n++) {
        char dashed[64];
        snprintf(dashed, sizeof(dashed), "%s", p->name);
        for (char *s = dashed; (s = strchr(s, '_'));)
            *s = '-';
        assert_ptr_equal(conf_find(p->name), p);
        assert_ptr_equal(conf_find(dashed), p);
        assert_non_null(conf_section(n));
        assert_int_equal(conf_set(&c, CONF_FILE, p->name, p->fallback), 0);
        assert_true(p->min <= p->max);
        assert_int_equal(p->prose[strlen(p->prose) - 1], '.');
        if (p->type == CONF_TYPE_LIST)
            assert_true(p->max <= CONF_LIST_MAX);
    }
    assert_int_equal(n, CONF_PARAM_COUNT);
    assert_null(conf_find("http"));
    assert_null(conf_find(""));
}

static void check_file(const char *path, int (*render)(struct buf *out))
{
    char full[600];
    static char text[200000];
    const char *root = getenv("KT_SOURCE_ROOT");
    struct buf want = BUF_INIT(MIB(1));
    assert_int_equal(render(&want), 0);
    snprintf(full, sizeof(full), "%s/%s", root ? root : ".", path);
    FILE *f = fopen(full, "r");
    if (!f)
        fail_msg("%s is missing: run 'make docs'", path);
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    if (!slice_eq(buf_slice(&want), slice_of(text, n)))
        fail_msg("%s is out of date: run 'make docs'", path);
    buf_done(&want);
}

static void generated_files_are_up_to_date(void **state)
{
    (void)state;
    check_file("etc/kitten.conf", conf_render_file);
    check_file("docs/config.md", conf_render_docs);
}

/* The generated file, with its comment signs taken off, is a configuration that sets everything. */
static void the_generated_file_loads(void **state)
{
    (void)state;
    struct buf text = BUF_INIT(MIB(1)), active = BUF_INIT(MIB(1));
    assert_int_equal(conf_render_file(&text), 0);
    for (struct slice s = buf_slice(&text); s.len;) {
        size_t len = (size_t)slice_find(s, '\n') + 1;
        bool row = len > 2 && s.p[0] == '#' && s.p[1] != ' ';
        assert_int_equal(buf_add(&active, s.p + row, len - row), 0);
        s = slice_sub(s, len, s.len);
    }
    assert_int_equal(conf_load_text(&c, buf_slice(&active), "generated"), 0);
    for (size_t i = 0; i < CONF_PARAM_COUNT; i++)
        assert_int_equal(c.source[i], CONF_FILE);
    buf_done(&text);
    buf_done(&active);
}

static void help_names_every_flag(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(MIB(1));
    assert_int_equal(conf_render_help(&out), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    assert_non_null(strstr((char *)out.p, "--http-body-budget=VALUE"));
    assert_non_null(strstr((char *)out.p, "default 127.0.0.1:9000, [::1]:9000"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults, begin, end),
        cmocka_unit_test_setup_teardown(rank_not_order_decides, begin, end),
        cmocka_unit_test_setup_teardown(lists_replace_lower_and_extend_their_own, begin, end),
        cmocka_unit_test_setup_teardown(sizes_and_times, begin, end),
        cmocka_unit_test_setup_teardown(refusals_say_what_would_be_right, begin, end),
        cmocka_unit_test_setup_teardown(every_kind_is_stored, begin, end),
        cmocka_unit_test_setup_teardown(bad_lines_are_named, begin, end),
        cmocka_unit_test_setup_teardown(files, begin, end),
        cmocka_unit_test_setup_teardown(environment, begin, end),
        cmocka_unit_test_setup_teardown(finish_fits_the_machine, begin, end),
        cmocka_unit_test_setup_teardown(the_table_is_sound, begin, end),
        cmocka_unit_test_setup_teardown(generated_files_are_up_to_date, begin, end),
        cmocka_unit_test_setup_teardown(the_generated_file_loads, begin, end),
        cmocka_unit_test_setup_teardown(help_names_every_flag, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
