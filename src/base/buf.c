/* buf: growth by doubling up to the limit, and the heap functions behind every allocation. */
#include "base/buf.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/fault.h"
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_CAP 256u

static void *or_abort(void *p, size_t size)
{
    if (!p) {
        fprintf(stderr, "kitten: out of memory allocating %zu bytes\n", size);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return or_abort(malloc(size ? size : 1), size);
}

void *mem_zalloc(size_t size)
{
    return or_abort(calloc(1, size ? size : 1), size);
}

void *mem_realloc(void *p, size_t size)
{
    return or_abort(realloc(p, size ? size : 1), size);
}

void *mem_try_alloc(size_t size)
{
    if (FAULT(MEM_TRY_ALLOC))
        return NULL;
    return malloc(size ? size : 1);
}

void mem_free(void *p)
{
    free(p);
}

void buf_done(struct buf *b)
{
    mem_free(b->p);
    b->p = NULL;
    b->len = b->cap = 0;
}

int buf_reserve(struct buf *b, size_t more)
{
    kt_assert(b->len <= b->cap && b->cap <= b->max);
    if (more <= b->cap - b->len)
        return 0;
    if (more > b->max - b->len)
        return err_set(KT_ERR_TOO_LARGE, "buffer of %zu bytes would pass its limit of %zu",
                       b->len + more, b->max);
    size_t need = b->len + more;
    size_t cap = b->cap < BUF_FIRST_CAP ? BUF_FIRST_CAP : b->cap;
    while (cap < need && cap < b->max)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap > b->max)
        cap = b->max;
    uint8_t *p = mem_try_alloc(cap);
    if (!p)
        return err_set(KT_ERR_NO_MEMORY, "no memory for %zu bytes", cap);
    if (b->len)
        memcpy(p, b->p, b->len);
    mem_free(b->p);
    b->p = p;
    b->cap = cap;
    return 0;
}

int buf_set_cap(struct buf *b, size_t cap)
{
    kt_assert(b->len <= cap && cap <= b->max);
    uint8_t *p = FAULT(MEM_TRY_ALLOC) ? NULL : realloc(b->p, cap ? cap : 1);
    if (!p)
        return err_set(KT_ERR_NO_MEMORY, "no memory for %zu bytes", cap);
    b->p = p;
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *p, size_t len)
{
    int rc = buf_reserve(b, len);
    if (rc < 0)
        return rc;
    if (len)
        memcpy(b->p + b->len, p, len);
    b->len += len;
    return 0;
}

int buf_add_slice(struct buf *b, struct slice s)
{
    return buf_add(b, s.p, s.len);
}

int buf_add_str(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    kt_assert(n >= 0);
    /* One byte more for the NUL that vsnprintf writes; it is not counted. */
    int rc = buf_reserve(b, (size_t)n + 1);
    if (rc == 0) {
        vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

void buf_consume(struct buf *b, size_t n)
{
    kt_assert(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->p, b->p + n, b->len);
}
