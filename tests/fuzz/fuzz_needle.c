/* Any bytes as a needle: decode, verify and walk the metadata; what verifies encodes back to the
 * same header. */
#include "format/needle.h"
#include "fuzz_format.h"

#define AT 4096u

static const struct needle_place place = {.uuid = {1, 2, 3}, .secret = 77, .generation = 2};

static void reseal(struct fuzz_input *in)
{
    if (!in->reseal || in->len < NEEDLE_HEADER)
        return;
    size_t meta_len = load_u16le(in->p + 28);
    uint32_t data_len = load_u32le(in->p + 24);
    if (meta_len > NEEDLE_META_MAX || data_len > NEEDLE_DATA_MAX ||
        needle_size(data_len, (uint16_t)meta_len) > in->len)
        return;
    uint8_t *table = in->p + NEEDLE_HEADER + meta_len;
    struct slice piece = slice_of(in->p + needle_data_at(data_len, (uint16_t)meta_len), data_len);
    store_u32le(in->p + 8, needle_data_crc(&piece, 1, data_len, table));
    uint8_t fixed[72];
    memcpy(fixed, place.uuid, 16);
    store_u32le(fixed + 16, place.generation);
    store_u64le(fixed + 20, AT);
    memcpy(fixed + 28, in->p + 4, 44);
    uint32_t crc = crc32c(place.secret, fixed, sizeof(fixed));
    store_u32le(in->p, meta_len ? crc32c(crc, in->p + NEEDLE_HEADER, meta_len) : crc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_take(data, size);
    struct needle_info n, whole;
    reseal(&in);
    if (in.len >= NEEDLE_HEADER)
        kt_assert(needle_head_len(fuzz_slice(&in)) <= NEEDLE_HEADER + UINT16_MAX);
    int rc = needle_decode(fuzz_slice(&in), AT, &place, &n);
    int rc_whole = needle_verify(fuzz_slice(&in), AT, &place, &whole);
    kt_assert(rc == 0 || rc_whole == rc);
    if (rc == 0) {
        uint8_t tag;
        struct slice meta = slice_of(in.p + NEEDLE_HEADER, n.meta_len), v;
        size_t at = 0;
        while (needle_meta_next(meta, &at, &tag, &v) == 1)
            kt_assert(v.p >= meta.p && v.p + v.len <= meta.p + meta.len);
        uint8_t *again = malloc(NEEDLE_HEADER + meta.len);
        needle_encode(&n, &place, meta, again);
        kt_assert(memcmp(again, in.p, NEEDLE_HEADER + meta.len) == 0);
        free(again);
    }
    if (rc_whole == 0)
        kt_assert(needle_size(whole.data_len, whole.meta_len) <= in.len);
    free(in.p);
    return 0;
}
