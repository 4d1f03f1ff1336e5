/* Chunked bodies: pieces of any size give the same bytes, end and verdict as the whole. */
#include "tests/fuzz/fuzz.h"

#include "codec/h1.h"

struct result {
    int rc;
    size_t used, len;
    uint64_t sum; /* of the data, by position */
};

static struct result decode(struct slice in, size_t piece)
{
    struct h1_chunked c;
    struct result r = {.rc = 0};
    h1_chunked_init(&c);
    while (r.rc == 0 && r.used < in.len) {
        struct slice part = slice_sub(in, r.used, piece), data;
        size_t used = 0;
        uint8_t *p = fuzz_copy(part);
        r.rc = h1_chunked_feed(&c, slice_of(p, part.len), &used, &data);
        if (r.rc >= 0) {
            kt_assert(used > 0 && used <= part.len && data.len <= used);
            for (size_t i = 0; i < data.len; i++)
                r.sum = r.sum * 31 + data.p[i];
            r.used += used;
            r.len += data.len;
        }
        free(p);
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct result whole = decode(in, size + 1);
    for (size_t piece = 1; piece < 8; piece += 2) {
        struct result parts = decode(in, piece);
        kt_assert(parts.rc == whole.rc);
        if (whole.rc >= 0)
            kt_assert(parts.used == whole.used && parts.len == whole.len && parts.sum == whole.sum);
    }
    return 0;
}
