/* uri: one table of unreserved bytes; everything else is escaped. Canonical queries are encoded
 * into the output first and sorted there by position, so that no second buffer is needed for the
 * pairs' text. */
#include "codec/uri.h"

#include <stdlib.h>

static int hex_value(uint8_t b)
{
    if (b >= '0' && b <= '9')
        return b - '0';
    b |= 0x20;
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

ssize_t uri_decode(struct slice in, bool plus_is_space, void *out)
{
    uint8_t *to = out;
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t b = in.p[i];
        if (b == '%') {
            int hi = i + 2 < in.len ? hex_value(in.p[i + 1]) : -1;
            int lo = i + 2 < in.len ? hex_value(in.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return err_set(KT_ERR_INVALID, "'%%' without two hex digits at byte %zu", i);
            b = (uint8_t)(hi << 4 | lo);
            i += 2;
        } else if (b == '+' && plus_is_space) {
            b = ' ';
        }
        to[n++] = b;
    }
    return (ssize_t)n;
}

static bool is_unreserved(uint8_t b)
{
    return (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') || b == '-' ||
           b == '.' || b == '_' || b == '~';
}

size_t uri_encode(struct slice in, bool keep_slash, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t b = in.p[i];
        if (is_unreserved(b) || (keep_slash && b == '/')) {
            out[n++] = (char)b;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[b >> 4];
        out[n++] = digits[b & 15];
    }
    return n;
}

bool uri_query_next(struct uri_query *q, struct slice *ret_name, struct slice *ret_value)
{
    while (q->rest.len) {
        ptrdiff_t amp = slice_find(q->rest, '&');
        size_t len = amp < 0 ? q->rest.len : (size_t)amp;
        struct slice part = slice_sub(q->rest, 0, len);
        q->rest = slice_sub(q->rest, len + 1, q->rest.len);
        if (part.len == 0)
            continue;
        ptrdiff_t eq = slice_find(part, '=');
        *ret_name = eq < 0 ? part : slice_sub(part, 0, (size_t)eq);
        *ret_value = eq < 0 ? slice_of(NULL, 0) : slice_sub(part, (size_t)eq + 1, part.len);
        return true;
    }
    return false;
}

/* Appends `in`, decoded and encoded again. The decoded bytes pass through the room after the text.
 */
static int add_canonical(struct slice in, bool keep_slash, struct buf *out)
{
    size_t room = URI_ENCODED_MAX(in.len);
    int rc = buf_reserve(out, room + in.len);
    if (rc < 0)
        return rc;
    if (in.len == 0)
        return 0;
    uint8_t *plain = out->p + out->len + room;
    ssize_t n = uri_decode(in, false, plain);
    if (n < 0)
        return (int)n;
    out->len += uri_encode(slice_of(plain, (size_t)n), keep_slash, (char *)out->p + out->len);
    return 0;
}

int uri_canonical_path(struct slice path, struct buf *out)
{
    return add_canonical(path, true, out);
}

/* One encoded pair inside a buffer. */
struct pair {
    const uint8_t *base;
    size_t at, name_len, value_len;
};

static int pair_order(const void *pa, const void *pb)
{
    const struct pair *a = pa, *b = pb;
    int c =
        slice_cmp(slice_of(a->base + a->at, a->name_len), slice_of(b->base + b->at, b->name_len));
    if (c)
        return c;
    return slice_cmp(slice_of(a->base + a->at + a->name_len, a->value_len),
                     slice_of(b->base + b->at + b->name_len, b->value_len));
}

/* Encodes every pair into `text`, names and values back to back. Returns their number. */
static int encode_pairs(struct slice query, struct slice skip, struct pair *pairs, struct buf *text)
{
    struct uri_query q = uri_query_of(query);
    struct slice name, value;
    int n = 0;
    while (uri_query_next(&q, &name, &value)) {
        if (n == URI_QUERY_PARAMS_MAX)
            return err_set(KT_ERR_INVALID, "more than %d query parameters", URI_QUERY_PARAMS_MAX);
        struct pair *p = &pairs[n];
        p->at = text->len;
        int rc = add_canonical(name, false, text);
        if (rc < 0)
            return rc;
        p->name_len = text->len - p->at;
        rc = add_canonical(value, false, text);
        if (rc < 0)
            return rc;
        p->value_len = text->len - p->at - p->name_len;
        if (skip.len && slice_eq(slice_of(text->p + p->at, p->name_len), skip))
            text->len = p->at;
        else
            n++;
    }
    return n;
}

int uri_canonical_query(struct slice query, struct slice skip, struct buf *out)
{
    struct pair pairs[URI_QUERY_PARAMS_MAX];
    struct buf text KT_CLEANUP(buf_done) = BUF_INIT(4 * query.len + 256);
    int n = encode_pairs(query, skip, pairs, &text);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++)
        pairs[i].base = text.p;
    if (n > 1)
        qsort(pairs, (size_t)n, sizeof(pairs[0]), pair_order);
    for (int i = 0; i < n; i++) {
        const uint8_t *at = text.p + pairs[i].at;
        int rc = i ? buf_add(out, "&", 1) : 0;
        if (rc == 0)
            rc = buf_add(out, at, pairs[i].name_len);
        if (rc == 0)
            rc = buf_add(out, "=", 1);
        if (rc == 0)
            rc = buf_add(out, at + pairs[i].name_len, pairs[i].value_len);
        if (rc < 0)
            return rc;
    }
    return 0;
}
