/* Dates: what parses can be written, and reads back as the same second. */
#include "tests/fuzz/fuzz.h"

#include "codec/httpdate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t t, again;
    char text[HTTPDATE_LEN];
    struct slice in = slice_of(data, size);
    uint8_t *p = fuzz_copy(in);
    int rc = httpdate_parse(slice_of(p, size), 1700000000, &t);
    free(p);
    if (rc < 0)
        return 0;
    httpdate_format(t, text);
    kt_assert(httpdate_parse(slice_of(text, sizeof(text)), 1700000000, &again) == 0);
    /* A leap second on the last day of year 9999 is the only one that can't be written. */
    kt_assert(again == t || t == httpdate_days(10000, 1, 1) * 86400);
    return 0;
}
