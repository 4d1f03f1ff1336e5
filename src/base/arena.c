/* arena: bump allocation in blocks that double from 4 KiB. */
#include "base/arena.h"

#include "base/assert.h"
#include "base/buf.h"
#include <stdarg.h>
#include <stdio.h>

#define ARENA_ALIGN 16u
#define ARENA_FIRST_BLOCK 4096u

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes of data */
    _Alignas(16) uint8_t data[];
};

void arena_init(struct arena *a, void *first, size_t first_size, size_t max)
{
    kt_assert(((uintptr_t)first & (ARENA_ALIGN - 1)) == 0);
    *a = (struct arena){.first = first, .first_size = first_size, .max = max};
    arena_reset(a);
}

void arena_reset(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        mem_free(b);
    }
    a->used = 0;
    a->at = a->first;
    a->end = a->first ? a->at + a->first_size : NULL;
}

void arena_done(struct arena *a)
{
    a->first = NULL;
    a->first_size = 0;
    arena_reset(a);
}

static bool add_block(struct arena *a, size_t need)
{
    size_t size = a->blocks ? a->blocks->size * 2 : ARENA_FIRST_BLOCK;
    if (size < need)
        size = need;
    if (size > a->max - a->used)
        size = a->max - a->used;
    if (size < need)
        return false;
    struct arena_block *b = mem_try_alloc(sizeof(*b) + size);
    if (!b)
        return false;
    b->next = a->blocks;
    b->size = size;
    a->blocks = b;
    a->used += size;
    a->at = b->data;
    a->end = b->data + size;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGN)
        return NULL;
    if (size == 0)
        size = 1; /* a pointer of its own: NULL means "past the limit" */
    size_t need = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (need > (size_t)(a->end - a->at) && !add_block(a, need))
        return NULL;
    void *p = a->at;
    a->at += need;
    return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    uint8_t *p = arena_alloc(a, s.len + 1);
    if (!p)
        return (struct slice){NULL, 0};
    if (s.len)
        memcpy(p, s.p, s.len);
    p[s.len] = 0;
    return slice_of(p, s.len);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}
