/* heap: an intrusive binary min-heap (timers, schedules). A node knows its slot, so that removal is
 * O(log n).
 *
 * The array doubles; the owner bounds the number of nodes it inserts. Equal keys come out in no
 * particular order. Not thread-safe. */
#ifndef KT_BASE_HEAP_H
#define KT_BASE_HEAP_H

#include "base/assert.h"
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

#define HEAP_IDLE UINT32_MAX

struct heap_node {
    int64_t key;
    uint32_t slot; /* position, HEAP_IDLE when in no heap */
};

struct heap {
    struct heap_node **at; /* owned array, nodes borrowed */
    uint32_t len, cap;
};

static inline void heap_node_init(struct heap_node *n)
{
    n->slot = HEAP_IDLE;
}

static inline void heap_done(struct heap *h)
{
    mem_free(h->at);
    *h = (struct heap){0};
}

static inline void heap_put(struct heap *h, uint32_t slot, struct heap_node *n)
{
    h->at[slot] = n;
    n->slot = slot;
}

static inline void heap_sift_up(struct heap *h, struct heap_node *n, uint32_t slot)
{
    while (slot > 0 && n->key < h->at[(slot - 1) / 2]->key) {
        heap_put(h, slot, h->at[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    heap_put(h, slot, n);
}

static inline void heap_sift_down(struct heap *h, struct heap_node *n, uint32_t slot)
{
    for (;;) {
        uint32_t child = 2 * slot + 1;
        if (child >= h->len)
            break;
        if (child + 1 < h->len && h->at[child + 1]->key < h->at[child]->key)
            child++;
        if (n->key <= h->at[child]->key)
            break;
        heap_put(h, slot, h->at[child]);
        slot = child;
    }
    heap_put(h, slot, n);
}

/* Inserts an idle node. */
static inline void heap_insert(struct heap *h, struct heap_node *n, int64_t key)
{
    kt_assert(n->slot == HEAP_IDLE && h->len < UINT32_MAX / 4);
    if (h->len == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->at = mem_realloc(h->at, h->cap * sizeof(struct heap_node *));
    }
    n->key = key;
    heap_sift_up(h, n, h->len++);
}

/* Takes a node out; harmless when it is idle. */
static inline void heap_remove(struct heap *h, struct heap_node *n)
{
    uint32_t slot = n->slot;
    if (slot == HEAP_IDLE)
        return;
    kt_assert(slot < h->len && h->at[slot] == n);
    n->slot = HEAP_IDLE;
    struct heap_node *last = h->at[--h->len];
    if (last == n)
        return;
    if (slot > 0 && last->key < h->at[(slot - 1) / 2]->key)
        heap_sift_up(h, last, slot);
    else
        heap_sift_down(h, last, slot);
}

/* The node with the smallest key, or NULL. */
static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->len ? h->at[0] : NULL;
}

#endif
