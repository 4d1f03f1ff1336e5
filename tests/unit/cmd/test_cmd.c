#include "cmd/cmd.h"

#include "base/err.h"
#include "cmd/help.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int nothing(const struct cmd_args *args)
{
    (void)args;
    return 0;
}

static const struct cmd_option extra = {"cache-size", CMD_SIZE, "SIZE", "64MiB", "from a table"};

static const struct cmd_option *more(size_t i)
{
    return i == 0 ? &extra : NULL;
}

static const struct cmd_option options[] = {
    {"endpoint", CMD_TEXT, "HOST:PORT", "127.0.0.1:9000", "server"},
    {"count", CMD_COUNT, "N", NULL, "how many"},
    {"rate", CMD_REAL, "R", "1.5", "how fast"},
    {"for", CMD_DURATION, "T", "10s", "how long"},
    {"verbose", CMD_FLAG, NULL, NULL, "say more"},
    {0},
};

static const struct command sample = {.name = "sample",
                                      .operands = "FILE...",
                                      .summary = "a sample",
                                      .options = options,
                                      .more_options = more,
                                      .words_min = 1,
                                      .words_max = 2,
                                      .json = true,
                                      .run = nothing};

#define PARSE(ret, ...)                                                                            \
    cmd_parse(&sample, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)),                    \
              (char *[]){__VA_ARGS__}, (ret))

static void parse_takes_values_and_words(void **state)
{
    (void)state;
    struct cmd_args a;
    assert_int_equal(PARSE(&a, "f1", "--count", "12", "--for=250ms", "--endpoint=a", "--endpoint",
                           "b", "--json"),
                     0);
    assert_int_equal(a.nwords, 1);
    assert_string_equal(a.words[0], "f1");
    assert_true(a.json);
    assert_int_equal(cmd_count(&a, "count"), 12);
    assert_int_equal(cmd_duration_ms(&a, "for"), 250);
    assert_string_equal(cmd_text(&a, "endpoint"), "b");
    assert_string_equal(cmd_text_at(&a, "endpoint", 0), "a");
    assert_null(cmd_text_at(&a, "endpoint", 2));
    assert_false(cmd_flag(&a, "verbose"));
    assert_true(cmd_given(&a, "count"));
    cmd_args_done(&a);
}

static void parse_falls_back_to_defaults(void **state)
{
    (void)state;
    struct cmd_args a;
    assert_int_equal(PARSE(&a, "--", "--count"), 0);
    assert_string_equal(a.words[0], "--count");
    assert_string_equal(cmd_text(&a, "endpoint"), "127.0.0.1:9000");
    assert_int_equal(cmd_count(&a, "count"), 0);
    assert_int_equal(cmd_count(&a, "cache-size"), MIB(64));
    assert_true(cmd_real(&a, "rate") > 1.4 && cmd_real(&a, "rate") < 1.6);
    assert_int_equal(cmd_duration_ms(&a, "for"), 10000);
    assert_false(cmd_given(&a, "count"));
    cmd_args_done(&a);
}

#define FAILS(text, ...)                                                                           \
    do {                                                                                           \
        struct cmd_args a_;                                                                        \
        assert_int_equal(PARSE(&a_, __VA_ARGS__), -KT_ERR_INVALID);                                \
        assert_non_null(strstr(err_text(-KT_ERR_INVALID), text));                                  \
    } while (0)

static void parse_refuses_with_the_reason(void **state)
{
    (void)state;
    FAILS("did you mean '--count'", "f", "--cuont", "3");
    FAILS("did you mean '--cache-size'", "f", "--cache-sise=3");
    FAILS("lists them all", "f", "--zzzzzzzz");
    FAILS("needs a value", "f", "--count");
    FAILS("not a number", "f", "--count", "-3");
    FAILS("not a number", "f", "--count=");
    FAILS("not a size", "f", "--cache-size", "3XB");
    FAILS("not a duration", "f", "--for", "3 weeks");
    FAILS("takes no value", "f", "--verbose=1");
    FAILS("begin with two dashes", "f", "-x");
    FAILS("missing FILE", "--verbose");
    FAILS("unexpected 'c'", "a", "b", "c");
}

static void sizes_and_durations(void **state)
{
    (void)state;
    uint64_t u;
    int64_t ms;
    assert_true(cmd_read_size("0", &u) && u == 0);
    assert_true(cmd_read_size("4KiB", &u) && u == 4096);
    assert_true(cmd_read_size("2TiB", &u) && u == GIB(2048));
    assert_false(cmd_read_size("99999999999999TiB", &u));
    assert_false(cmd_read_size("1.5KiB", &u));
    assert_false(cmd_read_size("", &u));
    assert_false(cmd_read_size("-1", &u));
    assert_true(cmd_read_duration("1.5s", &ms) && ms == 1500);
    assert_true(cmd_read_duration("7d", &ms) && ms == 7 * 86400000);
    assert_true(cmd_read_duration("3", &ms) && ms == 3000);
    assert_false(cmd_read_duration("1e3s", &ms));
    assert_false(cmd_read_duration("s", &ms));
    assert_false(cmd_read_duration("1e30d", &ms));
}

static void find_knows_and_suggests(void **state)
{
    (void)state;
    const struct command *c;
    int used;
    assert_int_equal(cmd_find(1, (char *[]){"version"}, &c, &used), 0);
    assert_string_equal(c->name, "version");
    assert_int_equal(used, 1);
    assert_int_equal(cmd_find(1, (char *[]){"verison"}, &c, &used), -KT_ERR_INVALID);
    assert_non_null(strstr(err_text(-KT_ERR_INVALID), "kitten version"));
}

static void table_is_sorted_and_complete(void **state)
{
    (void)state;
    for (size_t i = 0; cmd_table[i]; i++) {
        const struct command *c = cmd_table[i];
        assert_true(i == 0 || strcmp(cmd_table[i - 1]->name, c->name) < 0);
        assert_non_null(c->run);
        assert_non_null(c->operands);
        assert_non_null(c->summary);
        const struct cmd_option *o;
        for (size_t n = 0; (o = cmd_option_at(c, n)) != NULL; n++) {
            assert_non_null(o->help);
            assert_true(o->type == CMD_FLAG || o->value != NULL);
        }
    }
}

static void exit_codes_by_class(void **state)
{
    (void)state;
    assert_int_equal(cmd_exit_code(0), 0);
    assert_int_equal(cmd_exit_code(7), 7);
    assert_int_equal(cmd_exit_code(-KT_ERR_INVALID), CMD_EXIT_USAGE);
    assert_int_equal(cmd_exit_code(-KT_ERR_SIGNATURE), CMD_EXIT_AUTH);
    assert_int_equal(cmd_exit_code(-KT_ERR_NO_BUCKET), CMD_EXIT_NOT_FOUND);
    assert_int_equal(cmd_exit_code(-KT_ERR_LOCKED), CMD_EXIT_CONFLICT);
    assert_int_equal(cmd_exit_code(-KT_ERR_CLOSED), CMD_EXIT_UNAVAILABLE);
    assert_int_equal(cmd_exit_code(-KT_ERR_CORRUPT), CMD_EXIT_DAMAGE);
    assert_int_equal(cmd_exit_code(-KT_ERR_INTERNAL), CMD_EXIT_FAILURE);
}

static char *help_text(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    print(f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void print_sample(FILE *out)
{
    help_command(out, &sample);
}

static void help_shows_options_and_defaults(void **state)
{
    (void)state;
    char *text = help_text(print_sample);
    assert_non_null(strstr(text, "usage: kitten sample [OPTION]... FILE..."));
    assert_non_null(strstr(text, "--cache-size SIZE"));
    assert_non_null(strstr(text, "(default 64MiB)"));
    assert_non_null(strstr(text, "--json"));
    free(text);
    text = help_text(help_man);
    assert_non_null(strstr(text, ".SS kitten version"));
    free(text);
    text = help_text(help_bash);
    assert_non_null(strstr(text, "complete -o default -F _kitten kitten"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_takes_values_and_words),
        cmocka_unit_test(parse_falls_back_to_defaults),
        cmocka_unit_test(parse_refuses_with_the_reason),
        cmocka_unit_test(sizes_and_durations),
        cmocka_unit_test(find_knows_and_suggests),
        cmocka_unit_test(table_is_sorted_and_complete),
        cmocka_unit_test(exit_codes_by_class),
        cmocka_unit_test(help_shows_options_and_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
