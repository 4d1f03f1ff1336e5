/* fuzz_format: what the targets of format/ share. The first byte of an input chooses: odd means
 * "make the checksums right first", so that the fuzzer reaches what lies behind them; even leaves
 * the bytes alone. */
#ifndef KT_TESTS_FUZZ_FORMAT_H
#define KT_TESTS_FUZZ_FORMAT_H

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include "base/err.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
    uint8_t *p; /* an exact heap copy, so that a read past its end is caught */
    size_t len;
    bool reseal;
};

static inline struct fuzz_input fuzz_take(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.len = size ? size - 1 : 0, .reseal = size && (data[0] & 1)};
    in.p = malloc(in.len ? in.len : 1);
    if (!in.p)
        abort();
    if (in.len)
        memcpy(in.p, data + 1, in.len);
    return in;
}

static inline struct slice fuzz_slice(const struct fuzz_input *in)
{
    return slice_of(in->p, in->len);
}

/* Checksum of everything behind byte 8, stored at 4: index, dead marks, job. */
static inline void fuzz_reseal_head(struct fuzz_input *in, size_t len)
{
    if (in->reseal && len >= 8 && len <= in->len)
        store_u32le(in->p + 4, crc32c(0, in->p + 8, len - 8));
}

/* Checksum of a 4096-byte block at `at`, in its last four bytes. */
static inline void fuzz_reseal_block(struct fuzz_input *in, size_t at)
{
    if (in->reseal && in->len >= at + 4096)
        store_u32le(in->p + at + 4092, crc32c(0, in->p + at, 4092));
}

#endif
