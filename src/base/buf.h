/* buf: a growable byte buffer with a hard limit, owned by one fiber.
 *
 * Every buf is born with its limit; growth past it is an error (KT_ERR_TOO_LARGE), never an abort.
 * Memory comes from the heap; small allocations that fail abort in mem_alloc, growth of a buf whose
 * size a client chose returns KT_ERR_NO_MEMORY. Not thread-safe. Never yields.
 */
#ifndef KT_BASE_BUF_H
#define KT_BASE_BUF_H

#include "base/macros.h"
#include "base/slice.h"
#include <stdarg.h>

struct buf {
    uint8_t *p; /* owned, NULL when nothing is allocated */
    size_t len; /* bytes used */
    size_t cap; /* bytes allocated */
    size_t max; /* bytes allowed */
};

#define BUF_INIT(max_bytes) ((struct buf){NULL, 0, 0, (max_bytes)})

/* Frees the memory; `b` may be used again with the same limit. NULL-safe on half-built structs. */
void buf_done(struct buf *b);
/* Makes room for `more` bytes after len. Errors: TOO_LARGE past max, NO_MEMORY. */
int buf_reserve(struct buf *b, size_t more) KT_MUST_CHECK;
/* Sets the capacity to exactly `cap` (len <= cap <= max), for callers that account for it. Errors:
 * NO_MEMORY. */
int buf_set_cap(struct buf *b, size_t cap) KT_MUST_CHECK;
int buf_add(struct buf *b, const void *p, size_t len) KT_MUST_CHECK;
int buf_add_slice(struct buf *b, struct slice s) KT_MUST_CHECK;
int buf_add_str(struct buf *b, const char *s) KT_MUST_CHECK;
/* Formats at the end; needs one byte of room more than the text (vsnprintf's NUL, not counted). */
int buf_addf(struct buf *b, const char *fmt, ...) KT_PRINTF(2, 3) KT_MUST_CHECK;
/* Drops the first n bytes (n <= len), moving the rest down. */
void buf_consume(struct buf *b, size_t n);
static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->p, b->len};
}

/* Heap blocks of a size that we chose ourselves: abort when the system has none. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
/* Heap blocks of a size that a client chose: NULL when there is none or a test injects a failure.
 */
void *mem_try_alloc(size_t size) __attribute__((malloc)) KT_MUST_CHECK;
void mem_free(void *p);
/* KT_CLEANUP helper for `char *` and friends. */
static inline void mem_cleanup(void *pp)
{
    mem_free(*(void **)pp);
}

#endif
