/* httpdate: fixed positions for the two dashed forms and a small cursor for asctime. The calendar
 * counts in eras of 400 years that begin on 1 March, so that the leap day is the last day of a
 * year. */
#include "codec/httpdate.h"

#define SECONDS_A_DAY INT64_C(86400)
#define YEAR_MIN 1601
#define YEAR_MAX 9999

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";
static const char *const long_days[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                         "Thursday", "Friday", "Saturday"};

int64_t httpdate_days(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year =
        (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void httpdate_civil(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    unsigned month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *ret_day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *ret_month = month;
    *ret_year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
}

static void put_digits(char *out, int64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        out[i] = (char)('0' + v % 10);
        v /= 10;
    }
}

void httpdate_format(int64_t unix_s, char out[HTTPDATE_LEN])
{
    int64_t low = httpdate_days(YEAR_MIN, 1, 1) * SECONDS_A_DAY;
    int64_t high = httpdate_days(YEAR_MAX + 1, 1, 1) * SECONDS_A_DAY - 1;
    int64_t t = KT_MAX(low, KT_MIN(unix_s, high));
    int64_t days = t / SECONDS_A_DAY, second = t % SECONDS_A_DAY;
    if (second < 0) {
        second += SECONDS_A_DAY;
        days--;
    }
    int64_t year;
    unsigned month, day;
    httpdate_civil(days, &year, &month, &day);
    int64_t weekday = ((days + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", HTTPDATE_LEN);
    memcpy(out, day_names + 3 * weekday, 3);
    put_digits(out + 5, day, 2);
    memcpy(out + 8, month_names + 3 * (month - 1), 3);
    put_digits(out + 12, year, 4);
    put_digits(out + 17, second / 3600, 2);
    put_digits(out + 20, second / 60 % 60, 2);
    put_digits(out + 23, second % 60, 2);
}

/* What is left to read; any mismatch makes `ok` false for good. */
struct cursor {
    struct slice rest;
    bool ok;
};

static void expect(struct cursor *c, const char *text)
{
    struct slice want = slice_str(text);
    c->ok = c->ok && slice_has_prefix(c->rest, want);
    if (c->ok)
        c->rest = slice_sub(c->rest, want.len, c->rest.len);
}

static int64_t number(struct cursor *c, size_t digits)
{
    int64_t v = 0;
    for (size_t i = 0; i < digits && c->ok; i++) {
        c->ok = c->rest.len > 0 && c->rest.p[0] >= '0' && c->rest.p[0] <= '9';
        if (c->ok) {
            v = v * 10 + (c->rest.p[0] - '0');
            c->rest = slice_sub(c->rest, 1, c->rest.len);
        }
    }
    return v;
}

/* Index of the three-letter name that comes next. */
static unsigned name_of(struct cursor *c, const char *names, unsigned n)
{
    for (unsigned i = 0; c->ok && i < n; i++) {
        if (slice_has_prefix(c->rest, slice_of(names + 3 * i, 3))) {
            c->rest = slice_sub(c->rest, 3, c->rest.len);
            return i;
        }
    }
    c->ok = false;
    return 0;
}

struct date {
    int64_t year, day, hour, minute, second;
    unsigned month; /* 0..11 */
};

static void read_clock(struct cursor *c, struct date *d)
{
    d->hour = number(c, 2);
    expect(c, ":");
    d->minute = number(c, 2);
    expect(c, ":");
    d->second = number(c, 2);
}

static int finish(const struct cursor *c, const struct date *d, int64_t *ret)
{
    static const uint8_t lengths[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!c->ok || c->rest.len || d->year < YEAR_MIN || d->day < 1 || d->day > lengths[d->month] ||
        d->hour > 23 || d->minute > 59 || d->second > 60)
        return -KT_ERR_INVALID;
    bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
    if (d->month == 1 && d->day == 29 && !leap)
        return -KT_ERR_INVALID;
    int64_t days = httpdate_days(d->year, d->month + 1, (unsigned)d->day);
    *ret = days * SECONDS_A_DAY + d->hour * 3600 + d->minute * 60 + d->second;
    return 0;
}

static int parse_imf(struct cursor c, int64_t *ret)
{
    struct date d;
    name_of(&c, day_names, 7);
    expect(&c, ", ");
    d.day = number(&c, 2);
    expect(&c, " ");
    d.month = name_of(&c, month_names, 12);
    expect(&c, " ");
    d.year = number(&c, 4);
    expect(&c, " ");
    read_clock(&c, &d);
    expect(&c, " GMT");
    return finish(&c, &d, ret);
}

static int parse_asctime(struct cursor c, int64_t *ret)
{
    struct date d;
    name_of(&c, day_names, 7);
    expect(&c, " ");
    d.month = name_of(&c, month_names, 12);
    expect(&c, " ");
    bool one_digit = c.ok && slice_has_prefix(c.rest, SLICE_LIT(" "));
    if (one_digit)
        expect(&c, " ");
    d.day = number(&c, one_digit ? 1 : 2);
    expect(&c, " ");
    read_clock(&c, &d);
    expect(&c, " ");
    d.year = number(&c, 4);
    return finish(&c, &d, ret);
}

static int parse_rfc850(struct cursor c, size_t name_len, int64_t now_s, int64_t *ret)
{
    struct date d;
    c.rest = slice_sub(c.rest, name_len, c.rest.len);
    expect(&c, ", ");
    d.day = number(&c, 2);
    expect(&c, "-");
    d.month = name_of(&c, month_names, 12);
    expect(&c, "-");
    d.year = number(&c, 2);
    expect(&c, " ");
    read_clock(&c, &d);
    expect(&c, " GMT");
    int64_t year;
    unsigned month, day;
    httpdate_civil(now_s / SECONDS_A_DAY, &year, &month, &day);
    d.year += year - year % 100;
    if (d.year > year + 50)
        d.year -= 100;
    return finish(&c, &d, ret);
}

int httpdate_parse(struct slice s, int64_t now_s, int64_t *ret_unix_s)
{
    struct cursor c = {s, true};
    if (s.len < 24)
        return -KT_ERR_INVALID;
    for (size_t i = 0; i < 7; i++) {
        struct slice name = slice_str(long_days[i]);
        if (slice_has_prefix(s, name))
            return parse_rfc850(c, name.len, now_s, ret_unix_s);
    }
    return s.p[3] == ',' ? parse_imf(c, ret_unix_s) : parse_asctime(c, ret_unix_s);
}
