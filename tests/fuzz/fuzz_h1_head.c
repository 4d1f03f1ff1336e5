/* Request heads: the verdict on all bytes equals the verdict when they come in two parts or one by
 * one. */
#include "tests/fuzz/fuzz.h"

#include "codec/h1.h"

static const struct h1_limits limits = {512, 128, 8};

static ssize_t parse_in_steps(struct slice in, size_t first, size_t step, struct h1_head *h)
{
    size_t scanned = 0;
    for (size_t have = KT_MIN(first, in.len);; have = KT_MIN(have + step, in.len)) {
        uint8_t *p = fuzz_copy(slice_sub(in, 0, have));
        ssize_t n = h1_parse_head(slice_of(p, have), &limits, &scanned, h);
        free(p);
        if (n != 0 || have == in.len)
            return n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct h1_head h;
    struct slice in = slice_of(data, size);
    size_t scanned = 0;
    uint8_t *p = fuzz_copy(in);
    ssize_t n = h1_parse_head(slice_of(p, size), &limits, &scanned, &h);
    kt_assert(n <= (ssize_t)size);
    if (n > 0) {
        kt_assert((uint32_t)h.nfields <= limits.fields_max && h.target.len <= limits.uri_max);
        kt_assert(h.path.len > 0 && (h.path.p[0] == '/' || h.path.p[0] == '*'));
        for (int i = 0; i < h.nfields; i++)
            kt_assert(h1_is_token(h.fields[i].name) && h1_is_value(h.fields[i].value));
    }
    free(p);
    kt_assert(parse_in_steps(in, 1, 1, &h) == n);
    kt_assert(parse_in_steps(in, size ? data[size - 1] : 1, size + 1, &h) == n);
    return 0;
}
