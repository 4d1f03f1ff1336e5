/* blobid: exact text form both ways. The parser never normalises: what formatting would not
 * produce, it refuses. */
#include "format/blobid.h"

#include "base/enc.h"
#include "base/err.h"

#define COOKIE_DIGITS 16

/* Hex without leading zeros; returns characters written (1..8). */
static size_t format_u32(uint32_t v, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 1;
    while (n < 8 && v >> (4 * n))
        n++;
    for (size_t i = 0; i < n; i++)
        out[i] = digits[v >> (4 * (n - 1 - i)) & 15];
    return n;
}

size_t blobid_format(const struct blobid *id, char out[BLOBID_TEXT_MAX])
{
    size_t n = format_u32(id->vid, out);
    out[n++] = ',';
    n += format_u32(id->seq, out + n);
    out[n++] = '-';
    uint8_t cookie[8];
    for (size_t i = 0; i < sizeof(cookie); i++)
        cookie[i] = (uint8_t)(id->cookie >> (56 - 8 * i));
    hex_encode(cookie, sizeof(cookie), out + n);
    return n + COOKIE_DIGITS;
}

/* One to eight lower-case hex digits without leading zeros. */
static bool parse_u32(struct slice s, uint32_t *ret)
{
    uint64_t v;
    if (s.len < 1 || s.len > 8 || (s.len > 1 && s.p[0] == '0') || !hex_to_u64(s, &v))
        return false;
    *ret = (uint32_t)v;
    return true;
}

int blobid_parse(struct slice text, struct blobid *ret)
{
    struct blobid id;
    ptrdiff_t comma = slice_find(text, ',');
    ptrdiff_t dash = slice_find(text, '-');
    if (text.len > BLOBID_TEXT_MAX || comma < 0 || dash < comma)
        return err_set(KT_ERR_INVALID, "a blob id has the form VID,SEQ-COOKIE in hex");
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] >= 'A' && text.p[i] <= 'F')
            return err_set(KT_ERR_INVALID, "a blob id is written in lower case");
    size_t seq_at = (size_t)comma + 1, cookie_at = (size_t)dash + 1;
    struct slice cookie = slice_sub(text, cookie_at, text.len);
    if (!parse_u32(slice_sub(text, 0, (size_t)comma), &id.vid) || id.vid == 0 ||
        !parse_u32(slice_sub(text, seq_at, (size_t)dash - seq_at), &id.seq) ||
        cookie.len != COOKIE_DIGITS || !hex_to_u64(cookie, &id.cookie))
        return err_set(KT_ERR_INVALID, "a blob id has the form VID,SEQ-COOKIE in hex");
    *ret = id;
    return 0;
}
