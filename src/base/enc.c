/* enc: text encodings; table-free, strict. */
#include "base/enc.h"

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void hex_encode(const void *in, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = in;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
}

bool hex_decode(struct slice in, void *out, size_t out_len)
{
    uint8_t *p = out;
    if (in.len != 2 * out_len)
        return false;
    for (size_t i = 0; i < out_len; i++) {
        int hi = hex_digit(in.p[2 * i]);
        int lo = hex_digit(in.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        p[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

bool hex_to_u64(struct slice in, uint64_t *ret)
{
    uint64_t v = 0;
    if (in.len < 1 || in.len > 16)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        int d = hex_digit(in.p[i]);
        if (d < 0)
            return false;
        v = v << 4 | (uint64_t)d;
    }
    *ret = v;
    return true;
}

bool dec_to_u64(struct slice in, uint64_t *ret)
{
    uint64_t v = 0;
    if (in.len < 1 || in.len > 20)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        if (in.p[i] < '0' || in.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(in.p[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

size_t dec_from_u64(uint64_t v, char *out)
{
    char tmp[20];
    size_t n = 0;
    do {
        tmp[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++)
        out[i] = tmp[n - 1 - i];
    return n;
}

static const char b64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t b64_encode(const void *in, size_t len, char *out)
{
    const uint8_t *p = in;
    size_t o = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16;
        if (left > 1)
            v |= (uint32_t)p[i + 1] << 8;
        if (left > 2)
            v |= p[i + 2];
        out[o++] = b64_alphabet[v >> 18];
        out[o++] = b64_alphabet[v >> 12 & 63];
        out[o++] = left > 1 ? b64_alphabet[v >> 6 & 63] : '=';
        out[o++] = left > 2 ? b64_alphabet[v & 63] : '=';
    }
    return o;
}

static int b64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

ptrdiff_t b64_decode(struct slice in, void *out)
{
    uint8_t *o = out;
    ptrdiff_t n = 0;
    if (in.len % 4 != 0)
        return -1;
    for (size_t i = 0; i < in.len; i += 4) {
        bool last = i + 4 == in.len;
        int pad = last && in.p[i + 3] == '=' ? (in.p[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t v = 0;
        for (int j = 0; j < 4; j++) {
            int d = j >= 4 - pad ? 0 : b64_digit(in.p[i + (size_t)j]);
            if (d < 0)
                return -1;
            v = v << 6 | (uint32_t)d;
        }
        if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
            return -1; /* spare bits must be zero: one encoding per value */
        o[n++] = (uint8_t)(v >> 16);
        if (pad < 2)
            o[n++] = (uint8_t)(v >> 8);
        if (pad < 1)
            o[n++] = (uint8_t)v;
    }
    return n;
}
