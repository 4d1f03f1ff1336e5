/* cond: the decision table of RFC 9110 section 13.2.2, and the grammar of entity-tag lists. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "codec/cond.h"

#define OLD "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define NEW "Sun, 06 Nov 1994 08:49:38 GMT"
#define NOW 1700000000

static const struct cond_target strong = {true, false, SLICE_LIT("abc"), 784111777};
static const struct cond_target weak = {true, true, SLICE_LIT("abc"), 784111777};
static const struct cond_target undated = {true, false, SLICE_LIT("abc"), COND_NO_MTIME};
static const struct cond_target absent = {false, false, {NULL, 0}, COND_NO_MTIME};

#define NM (-KT_ERR_NOT_MODIFIED)
#define PF (-KT_ERR_PRECONDITION)
#define INV (-KT_ERR_INVALID)

struct cond_case {
    const char *name1, *value1, *name2, *value2;
    const struct cond_target *target;
    enum h1_method method;
    int want;
};

static const struct cond_case cases[] = {
    {"X-Other", "1", NULL, NULL, &strong, H1_GET, 0},
    {"If-Match", "\"abc\"", NULL, NULL, &strong, H1_GET, 0},
    {"If-Match", "\"x\", \"abc\"", NULL, NULL, &strong, H1_PUT, 0},
    {"If-Match", "\"x\"", NULL, NULL, &strong, H1_GET, PF},
    {"If-Match", "W/\"abc\"", NULL, NULL, &strong, H1_GET, PF},
    {"If-Match", "\"abc\"", NULL, NULL, &weak, H1_GET, PF},
    {"If-Match", "*", NULL, NULL, &strong, H1_PUT, 0},
    {"If-Match", "*", NULL, NULL, &absent, H1_PUT, PF},
    {"If-Match", "\"x\"", "if-match", "\"abc\"", &strong, H1_PUT, 0},
    {"If-Match", "\"abc\"", "if-match", "\"x\"", &strong, H1_PUT, 0},
    {"If-Match", "abc", NULL, NULL, &strong, H1_PUT, 0},
    {"If-Match", "abc, def", NULL, NULL, &strong, H1_PUT, 0},
    {"If-Match", "\"ABC\"", NULL, NULL, &strong, H1_PUT, PF},
    {"If-Match", "\"abc\"", "If-Unmodified-Since", OLD, &strong, H1_GET, 0},
    {"If-Match", "\"x\"", "If-Unmodified-Since", NEW, &strong, H1_GET, PF},
    {"If-Match", "", NULL, NULL, &strong, H1_GET, INV},
    {"If-Match", ",", NULL, NULL, &strong, H1_GET, INV},
    {"If-Match", "\"abc", NULL, NULL, &strong, H1_GET, INV},
    {"If-Match", "\"abc\"x", NULL, NULL, &strong, H1_GET, INV},
    {"If-Match", "\"abc\" \"d\"", NULL, NULL, &strong, H1_GET, INV},
    {"If-Match", "\"abc\", \"", NULL, NULL, &strong, H1_GET, INV},
    {"If-Match", "W/\"", NULL, NULL, &strong, H1_GET, INV},
    {"If-None-Match", "\"x\"", "If-None-Match", "\"", &strong, H1_GET, INV},
    {"If-Unmodified-Since", OLD, NULL, NULL, &strong, H1_GET, PF},
    {"If-Unmodified-Since", SAME, NULL, NULL, &strong, H1_DELETE, 0},
    {"If-Unmodified-Since", NEW, NULL, NULL, &strong, H1_GET, 0},
    {"If-Unmodified-Since", "never", NULL, NULL, &strong, H1_GET, 0},
    {"If-Unmodified-Since", OLD, NULL, NULL, &undated, H1_GET, 0},
    {"If-Unmodified-Since", OLD, "If-Unmodified-Since", OLD, &strong, H1_GET, 0},
    {"If-None-Match", "\"abc\"", NULL, NULL, &strong, H1_GET, NM},
    {"If-None-Match", "\"abc\"", NULL, NULL, &strong, H1_HEAD, NM},
    {"If-None-Match", "\"abc\"", NULL, NULL, &strong, H1_PUT, PF},
    {"If-None-Match", "W/\"abc\"", NULL, NULL, &strong, H1_GET, NM},
    {"If-None-Match", "\"abc\"", NULL, NULL, &weak, H1_GET, NM},
    {"If-None-Match", "\"x\" , , \"y\"", NULL, NULL, &strong, H1_GET, 0},
    {"If-None-Match", "*", NULL, NULL, &strong, H1_PUT, PF},
    {"If-None-Match", "*", NULL, NULL, &absent, H1_PUT, 0},
    {"If-None-Match", "\"x\"", "If-Modified-Since", NEW, &strong, H1_GET, 0},
    {"If-None-Match", "\"abc\"", "If-Modified-Since", OLD, &strong, H1_GET, NM},
    {"If-Modified-Since", OLD, NULL, NULL, &strong, H1_GET, 0},
    {"If-Modified-Since", SAME, NULL, NULL, &strong, H1_GET, NM},
    {"If-Modified-Since", NEW, NULL, NULL, &strong, H1_HEAD, NM},
    {"If-Modified-Since", NEW, NULL, NULL, &strong, H1_PUT, 0},
    {"If-Modified-Since", "x", NULL, NULL, &strong, H1_GET, 0},
    {"If-Modified-Since", NEW, NULL, NULL, &undated, H1_GET, 0},
    {"If-Match", "\"abc\"", "If-None-Match", "\"abc\"", &strong, H1_GET, NM},
    {"If-Match", "\"x\"", "If-None-Match", "\"abc\"", &strong, H1_GET, PF},
    {"If-Unmodified-Since", OLD, "If-None-Match", "\"abc\"", &strong, H1_GET, PF},
};

static int fields_of(const struct cond_case *c, struct h1_field f[2])
{
    f[0] = (struct h1_field){slice_str(c->name1), slice_str(c->value1)};
    if (!c->name2)
        return 1;
    f[1] = (struct h1_field){slice_str(c->name2), slice_str(c->value2)};
    return 2;
}

static void test_evaluate(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct h1_field f[2];
        int n = fields_of(&cases[i], f);
        int rc = cond_evaluate(f, n, cases[i].method, cases[i].target, NOW);
        if (rc != cases[i].want)
            fail_msg("case %zu: %d instead of %d (%s: %s)", i, rc, cases[i].want, cases[i].name1,
                     cases[i].value1);
    }
}

static void test_if_range(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const struct cond_target *target;
        bool want;
    } table[] = {
        {"\"abc\"", &strong, true}, {"\"abd\"", &strong, false}, {"W/\"abc\"", &strong, false},
        {"\"abc\"", &weak, false},  {SAME, &strong, true},       {NEW, &strong, false},
        {OLD, &strong, false},      {SAME, &undated, false},     {"\"abc\", \"d\"", &strong, false},
        {"", &strong, false},       {"\"abc\"", &absent, false}, {"\"abc", &strong, false},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(table); i++) {
        struct h1_field f = {SLICE_LIT("If-Range"), slice_str(table[i].value)};
        assert_int_equal(cond_range_allowed(&f, 1, table[i].target, NOW), table[i].want);
    }
    assert_true(cond_range_allowed(NULL, 0, &strong, NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_evaluate),
                                       cmocka_unit_test(test_if_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
