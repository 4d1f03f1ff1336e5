/* Range: what is served lies inside the representation. The first 8 bytes are its size. */
#include "tests/fuzz/fuzz.h"

#include "base/enc.h"
#include "codec/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 8)
        return 0;
    uint64_t total = load_u64le(data) >> (data[0] & 63);
    struct slice in = slice_of(data + 8, size - 8);
    uint8_t *p = fuzz_copy(in);
    struct range r;
    int rc = range_parse(slice_of(p, in.len), total, &r);
    free(p);
    kt_assert(rc == 1 || rc == 0 || rc == -KT_ERR_RANGE);
    if (rc != 1)
        return 0;
    kt_assert(r.len >= 1 && r.first < total && r.len <= total - r.first);
    char text[RANGE_TEXT_MAX];
    kt_assert(range_format(&r, total, text) <= sizeof(text));
    return 0;
}
