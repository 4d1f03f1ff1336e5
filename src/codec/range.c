/* range: splits the list first, so that "several" and "malformed" are known before any number is
 * weighed against the size. */
#include "codec/range.h"

#include "base/enc.h"

static struct slice trim(struct slice s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.len--;
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Digits to a number that stops at UINT64_MAX instead of overflowing. False when there is anything
 * but digits. */
static bool parse_saturated(struct slice s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            v = UINT64_MAX;
    }
    *ret = v;
    return true;
}

/* The only element of a comma-separated list; empty elements don't count. False for none or
 * several. */
static bool only_element(struct slice list, struct slice *ret)
{
    bool found = false;
    while (list.len) {
        ptrdiff_t comma = slice_find(list, ',');
        size_t len = comma < 0 ? list.len : (size_t)comma;
        struct slice one = trim(slice_sub(list, 0, len));
        list = slice_sub(list, len + 1, list.len);
        if (one.len == 0)
            continue;
        if (found)
            return false;
        found = true;
        *ret = one;
    }
    return found;
}

static int unsatisfiable(uint64_t size)
{
    return err_set(KT_ERR_RANGE, "range lies outside of %llu bytes", (unsigned long long)size);
}

int range_parse(struct slice value, uint64_t size, struct range *ret)
{
    struct slice one = slice_of(NULL, 0);
    ptrdiff_t eq = slice_find(value, '=');
    if (eq < 0 || !slice_eq_nocase(slice_sub(value, 0, (size_t)eq), SLICE_LIT("bytes")) ||
        !only_element(slice_sub(value, (size_t)eq + 1, value.len), &one))
        return 0;
    ptrdiff_t dash = slice_find(one, '-');
    if (dash < 0)
        return 0;
    struct slice left = slice_sub(one, 0, (size_t)dash),
                 right = slice_sub(one, (size_t)dash + 1, one.len);
    uint64_t first, last = UINT64_MAX;
    if (left.len == 0) {
        uint64_t suffix;
        if (!parse_saturated(right, &suffix))
            return 0;
        if (suffix == 0 || size == 0)
            return unsatisfiable(size);
        suffix = KT_MIN(suffix, size);
        *ret = (struct range){size - suffix, suffix};
        return 1;
    }
    if (!parse_saturated(left, &first) || (right.len && !parse_saturated(right, &last)) ||
        last < first)
        return 0;
    if (first >= size)
        return unsatisfiable(size);
    last = KT_MIN(last, size - 1);
    *ret = (struct range){first, last - first + 1};
    return 1;
}

size_t range_format(const struct range *r, uint64_t size, char out[RANGE_TEXT_MAX])
{
    size_t n = 6;
    memcpy(out, "bytes ", 6);
    if (r) {
        n += dec_from_u64(r->first, out + n);
        out[n++] = '-';
        n += dec_from_u64(r->first + r->len - 1, out + n);
    } else {
        out[n++] = '*';
    }
    out[n++] = '/';
    return n + dec_from_u64(size, out + n);
}
