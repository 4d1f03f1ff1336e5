/* Any bytes as an index file, open and sealed; what decodes points into the log only. */
#include "format/index_file.h"
#include "fuzz_format.h"

#define LOG_END 1048576u

static void check_open(struct fuzz_input *in)
{
    struct index_head h,
        expect = {.uuid = {1, 2, 3}, .vid = 4, .generation = 1, .log_end = LOG_END};
    if (in->len < INDEX_HEAD)
        return;
    uint32_t count = load_u32le(in->p + 36);
    if (count <= INDEX_CHUNK)
        fuzz_reseal_head(in, index_open_size(count));
    if (index_open_decode(fuzz_slice(in), &expect, &h) != 0)
        return;
    for (uint32_t i = 0; i < h.count; i++) {
        uint64_t e = load_u64le(in->p + INDEX_HEAD + 8ull * i);
        kt_assert(index_entry_size(e) == 0 ||
                  index_entry_offset(e) + index_entry_size(e) <= LOG_END);
    }
}

static void check_sealed(struct fuzz_input *in)
{
    struct index_head h,
        expect = {.uuid = {1, 2, 3}, .vid = 4, .generation = 1, .log_end = LOG_END};
    fuzz_reseal_head(in, in->len);
    if (index_sealed_decode(fuzz_slice(in), &expect, &h) == 0)
        kt_assert(in->len == INDEX_HEAD + index_sealed_body(h.count, h.exceptions));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_take(data, size);
    check_open(&in);
    check_sealed(&in);
    free(in.p);
    return 0;
}
