#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void distances(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {
        {"", "", 0},           {"a", "", 1},          {"", "abc", 3},
        {"bench", "bench", 0}, {"benhc", "bench", 1}, {"kitten", "sitting", 3},
        {"ab", "ba", 1},       {"abcd", "badc", 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(nearest_distance(rows[i].a, rows[i].b), rows[i].distance);
}

static void long_words_are_never_near(void **state)
{
    (void)state;
    char longer[NEAREST_WORD_MAX + 2];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    assert_int_equal(nearest_distance(longer, longer), NEAREST_WORD_MAX);
    struct nearest n = nearest_start("x");
    nearest_offer(&n, longer);
    assert_null(n.word);
}

static const char *suggest(const char *wanted)
{
    static const char *const words[] = {"bench", "dump", "fsck", "keys", "status", "concurrency"};
    struct nearest n = nearest_start(wanted);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        nearest_offer(&n, words[i]);
    return n.word;
}

static void suggestions(void **state)
{
    (void)state;
    assert_string_equal(suggest("bnech"), "bench");
    assert_string_equal(suggest("stauts"), "status");
    assert_string_equal(suggest("concurency"), "concurrency");
    assert_string_equal(suggest("conc"), "concurrency");
    assert_null(suggest("zebra"));
    assert_null(suggest(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(long_words_are_never_near),
        cmocka_unit_test(suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
