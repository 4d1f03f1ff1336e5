/* URIs: what decodes can be encoded and decoded back; canonical queries are a fixed point. */
#include "tests/fuzz/fuzz.h"

#include "codec/uri.h"

static void check_canonical(struct slice query)
{
    struct buf once = BUF_INIT(1 << 20), twice = BUF_INIT(1 << 20);
    if (uri_canonical_query(query, SLICE_LIT(""), &once) == 0) {
        kt_assert(uri_canonical_query(buf_slice(&once), SLICE_LIT(""), &twice) == 0);
        kt_assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
    }
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    uint8_t *plain = fuzz_copy(in), *back = fuzz_copy(in);
    char *encoded = malloc(URI_ENCODED_MAX(size) + 1);
    kt_assert(encoded != NULL);
    ssize_t n = uri_decode(in, false, plain);
    if (n >= 0) {
        size_t len = uri_encode(slice_of(plain, (size_t)n), (size & 1) != 0, encoded);
        uint8_t *again = malloc(len + 1);
        kt_assert(again && uri_decode(slice_of(encoded, len), true, again) == n);
        kt_assert(n == 0 || memcmp(again, plain, (size_t)n) == 0);
        free(again);
        kt_assert(uri_decode(slice_of(back, size), false, back) == n); /* in place */
    }
    free(plain);
    free(back);
    free(encoded);
    check_canonical(in);
    struct buf path = BUF_INIT(1 << 20);
    int rc = uri_canonical_path(in, &path);
    kt_assert((rc == 0) == (n >= 0));
    buf_done(&path);
    return 0;
}
