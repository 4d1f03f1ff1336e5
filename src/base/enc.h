/* enc: little-endian loads and stores, hex, base64, decimal numbers. Pure, no allocation. */
#ifndef KT_BASE_ENC_H
#define KT_BASE_ENC_H

#include "base/macros.h"
#include "base/slice.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are written in host order");

static inline uint16_t load_u16le(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint32_t load_u32le(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint64_t load_u64le(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static inline void store_u16le(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline void store_u32le(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline void store_u64le(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

/* Writes 2*len lower-case hex digits to `out` (no NUL). */
void hex_encode(const void *in, size_t len, char *out);
/* Decodes exactly 2*out_len hex digits (either case). Returns false on any other character or
 * length. */
bool hex_decode(struct slice in, void *out, size_t out_len) KT_MUST_CHECK;
/* 1..16 hex digits to a number; no sign, prefix or blank. Returns false otherwise. */
bool hex_to_u64(struct slice in, uint64_t *ret) KT_MUST_CHECK;
/* 1..20 decimal digits to a number, overflow-checked; no sign or blank. Returns false otherwise. */
bool dec_to_u64(struct slice in, uint64_t *ret) KT_MUST_CHECK;
/* Writes `v` in decimal; returns the number of characters (at most 20), no NUL. */
size_t dec_from_u64(uint64_t v, char *out);

#define B64_ENCODED_LEN(n) (((n) + 2) / 3 * 4)
/* Standard alphabet with padding (RFC 4648 section 4). Returns characters written, no NUL. */
size_t b64_encode(const void *in, size_t len, char *out);
/* Strict decoding; returns bytes written or -1. `out` must hold 3*(in.len/4) bytes. */
ptrdiff_t b64_decode(struct slice in, void *out) KT_MUST_CHECK;

#endif
