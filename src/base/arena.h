/* arena: bump allocation for one request, freed at once at its end.
 *
 * Nothing from an arena may be stored in anything that outlives the request. The first block can be
 * given by the caller (a struct's own array), so small requests never touch the heap. Bounded by
 * `max`: past it arena_alloc returns NULL, which callers turn into KT_ERR_NO_MEMORY. One fiber. */
#ifndef KT_BASE_ARENA_H
#define KT_BASE_ARENA_H

#include "base/macros.h"
#include "base/slice.h"

struct arena_block;

struct arena {
    uint8_t *at;                /* next free byte */
    uint8_t *end;               /* end of the current block */
    struct arena_block *blocks; /* owned heap blocks, newest first */
    size_t used;                /* bytes of all heap blocks */
    size_t max;                 /* limit for `used` */
    void *first;                /* caller's first block, borrowed; may be NULL */
    size_t first_size;
};

void arena_init(struct arena *a, void *first, size_t first_size, size_t max);
/* Frees everything and returns to the first block. */
void arena_reset(struct arena *a);
void arena_done(struct arena *a);
/* 16-byte aligned, not zeroed; NULL past the limit. */
void *arena_alloc(struct arena *a, size_t size) KT_MUST_CHECK;
/* Copies, adding a NUL after the bytes (not counted). {NULL,0} past the limit when s.len > 0. */
struct slice arena_dup(struct arena *a, struct slice s) KT_MUST_CHECK;
char *arena_printf(struct arena *a, const char *fmt, ...) KT_PRINTF(2, 3) KT_MUST_CHECK;

#endif
