/* httpdate: the RFC's three examples, the calendar day by day, and refusals. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "codec/httpdate.h"

#define NOW 1700000000 /* November 2023 */

static void check_format(int64_t t, const char *want)
{
    char out[HTTPDATE_LEN];
    httpdate_format(t, out);
    assert_memory_equal(out, want, HTTPDATE_LEN);
}

static void test_format(void **state)
{
    (void)state;
    check_format(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    check_format(784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
    check_format(951827696, "Tue, 29 Feb 2000 12:34:56 GMT");
    check_format(-1, "Wed, 31 Dec 1969 23:59:59 GMT");
    check_format(INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
    check_format(INT64_MIN, "Mon, 01 Jan 1601 00:00:00 GMT");
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* INT64_MIN: refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"Wednesday, 01-Jan-30 00:00:00 GMT", 1893456000},
        {"Monday, 01-Jan-99 00:00:00 GMT", 915148800},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"Thu, 29 Feb 1900 00:00:00 GMT", INT64_MIN},
        {"Thu, 29 Feb 2001 00:00:00 GMT", INT64_MIN},
        {"Thu, 31 Apr 2001 00:00:00 GMT", INT64_MIN},
        {"Thu, 00 Apr 2001 00:00:00 GMT", INT64_MIN},
        {"Thu, 01 Apr 2001 24:00:00 GMT", INT64_MIN},
        {"Thu, 01 Apr 2001 00:60:00 GMT", INT64_MIN},
        {"Thu, 01 Apr 2001 00:00:61 GMT", INT64_MIN},
        {"Xyz, 01 Apr 2001 00:00:00 GMT", INT64_MIN},
        {"Thu, 01 Foo 2001 00:00:00 GMT", INT64_MIN},
        {"Thu, 01 apr 2001 00:00:00 GMT", INT64_MIN},
        {"Thu, 01 Apr 2001 00:00:00 UTC", INT64_MIN},
        {"Thu, 01 Apr 2001 00:00:00 GMT ", INT64_MIN},
        {"Thu, 1 Apr 2001 00:00:00 GMT", INT64_MIN},
        {"Thu, 01 Apr 1600 00:00:00 GMT", INT64_MIN},
        {"Thu, 01 Apr 20011 00:00:00 GMT", INT64_MIN},
        {"Thu,01 Apr 2001 00:00:00 GMTx", INT64_MIN},
        {"Sun Nov 6 08:49:37 1994", INT64_MIN},
        {"Sun Nov  6 08:49:37 1994 GMT", INT64_MIN},
        {"Sunday, 06-Nov-1994 08:49:37 GMT", INT64_MIN},
        {"784111777", INT64_MIN},
        {"", INT64_MIN},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        int64_t t = INT64_MIN;
        int rc = httpdate_parse(slice_str(cases[i].text), NOW, &t);
        if (rc != (cases[i].want == INT64_MIN ? -KT_ERR_INVALID : 0) || t != cases[i].want)
            fail_msg("%d, %lld: %s", rc, (long long)t, cases[i].text);
    }
}

/* Each day of eight centuries: counted one by one, written and read back. */
static void test_calendar(void **state)
{
    (void)state;
    int64_t first = httpdate_days(1601, 1, 1), last = httpdate_days(2401, 1, 1);
    assert_int_equal(httpdate_days(1970, 1, 1), 0);
    assert_int_equal(last - first, 2 * 146097);
    int64_t year = 1601;
    unsigned month = 1, day = 1;
    for (int64_t d = first; d < last; d++) {
        int64_t y;
        unsigned m, dd;
        httpdate_civil(d, &y, &m, &dd);
        bool same = y == year && m == month && dd == day;
        if (!same) { /* the day before was the last of its month */
            assert_int_equal(dd, 1);
            assert_true((m == month + 1 && y == year) || (m == 1 && month == 12 && y == year + 1));
        }
        assert_int_equal(httpdate_days(y, m, dd), d);
        char text[HTTPDATE_LEN];
        int64_t t;
        httpdate_format(d * 86400 + 3661, text);
        assert_int_equal(httpdate_parse(slice_of(text, sizeof(text)), NOW, &t), 0);
        assert_int_equal(t, d * 86400 + 3661);
        year = y, month = m, day = dd + 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
