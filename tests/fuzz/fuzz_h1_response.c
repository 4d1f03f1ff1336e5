/* Response heads: as request heads. The first byte says whether the request was a HEAD. */
#include "tests/fuzz/fuzz.h"

#include "codec/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct h1_limits limits = {512, 128, 8};
    if (size == 0)
        return 0;
    struct h1_response r;
    bool to_head = data[0] & 1;
    struct slice in = slice_of(data + 1, size - 1);
    size_t scanned = 0;
    uint8_t *p = fuzz_copy(in);
    ssize_t n = h1_parse_response(slice_of(p, in.len), &limits, to_head, &scanned, &r);
    free(p);
    kt_assert(n <= (ssize_t)in.len);
    if (n > 0)
        kt_assert(r.status >= 100 && r.status <= 599 && (!to_head || r.body_len == 0));
    ssize_t m = 0;
    scanned = 0;
    for (size_t have = 0; have <= in.len && m == 0; have++)
        m = h1_parse_response(slice_sub(in, 0, have), &limits, to_head, &scanned, &r);
    kt_assert(m == n);
    return 0;
}
