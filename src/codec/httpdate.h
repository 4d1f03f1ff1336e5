/* codec/httpdate: HTTP dates (RFC 9110 section 5.6.7), seconds since the Unix epoch, UTC.
 *
 * Writes IMF-fixdate only ("Sun, 06 Nov 1994 08:49:37 GMT"); reads that, RFC 850's form ("Sunday,
 * 06-Nov-94 08:49:37 GMT") and asctime's ("Sun Nov  6 08:49:37 1994"). The day's name must be one,
 * but is not compared with the date. Years 1601 to 9999. Pure, any thread, never yields.
 */
#ifndef KT_CODEC_HTTPDATE_H
#define KT_CODEC_HTTPDATE_H

#include "base/err.h"
#include "base/slice.h"

#define HTTPDATE_LEN 29
/* Writes exactly HTTPDATE_LEN characters and no NUL. `unix_s` is clamped to the years above. */
void httpdate_format(int64_t unix_s, char out[HTTPDATE_LEN]);
/* Parses any of the three forms. `now_s` places RFC 850's two-digit years: not more than 50 years
 * ahead. Errors: INVALID (sets no diagnostic: conditions with bad dates are simply ignored). */
int httpdate_parse(struct slice s, int64_t now_s, int64_t *ret_unix_s) KT_MUST_CHECK;

/* Days since 1970-01-01 of a Gregorian date, and back. Month 1..12, day 1..31. */
int64_t httpdate_days(int64_t year, unsigned month, unsigned day);
void httpdate_civil(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day);

#endif
