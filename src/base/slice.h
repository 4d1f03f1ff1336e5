/* slice: a borrowed run of bytes (pointer and length), the currency between parsers and handlers.
 *
 * Model: a slice owns nothing. It is valid as long as whatever it points into; a name ending in
 * `_view` in a struct means "points into the request's arena or read buffer". Slices may hold any
 * bytes, NUL included, and are never NUL-terminated by contract.
 *
 * Threads: plain values, no state. Nothing here yields or allocates.
 */
#ifndef KT_BASE_SLICE_H
#define KT_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *p; /* first byte; may be NULL only when len is 0 */
    size_t len;       /* bytes */
};

/* A slice over a string literal, usable in static initialisers. */
#define SLICE_LIT(s) ((struct slice){(const uint8_t *)(s), sizeof(s) - 1})
/* Arguments for printf's "%.*s". */
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).p

/* A slice over `len` bytes at `p` (borrowed). */
static inline struct slice slice_of(const void *p, size_t len)
{
    return (struct slice){p, len};
}

/* A slice over a NUL-terminated string, without its NUL (borrowed). */
static inline struct slice slice_str(const char *s)
{
    return (struct slice){(const uint8_t *)s, strlen(s)};
}

/* True when both hold the same bytes. Not constant time: never for secrets. */
static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* True when `a` begins with all of `prefix`. */
static inline bool slice_has_prefix(struct slice a, struct slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.p, prefix.p, prefix.len) == 0);
}

/* ASCII case-insensitive equality (HTTP field names). */
bool slice_eq_nocase(struct slice a, struct slice b);

/* The part from `from` on, at most `len` bytes; clamped to the slice, never out of range. */
static inline struct slice slice_sub(struct slice s, size_t from, size_t len)
{
    if (from > s.len)
        from = s.len;
    if (len > s.len - from)
        len = s.len - from;
    return (struct slice){s.len ? s.p + from : s.p, len};
}

/* Index of the first `c`, or -1. */
static inline ptrdiff_t slice_find(struct slice s, uint8_t c)
{
    const uint8_t *q = s.len ? memchr(s.p, c, s.len) : NULL;
    return q ? q - s.p : -1;
}

/* Constant-time equality for secrets, signatures and cookies; time depends on the lengths only. */
bool slice_eq_secret(struct slice a, struct slice b);

/* Lexicographic byte order: negative, 0 or positive, as memcmp; a prefix sorts first. */
int slice_cmp(struct slice a, struct slice b);

#endif
