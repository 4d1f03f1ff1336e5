/* hmap: hash maps from a number, or from bytes, to a pointer.
 *
 * Model: open addressing with linear probing; removal shifts the followers back, so there are no
 * tombstones and a map that churns never degrades. The table doubles at 3/4 load. Values are not
 * NULL and belong to the caller; the keys of a bmap are borrowed from the value they lead to and
 * must live as long as it is in.
 *
 * Each map is seeded (from rt_random where keys come from clients, from the test's seed in tests):
 * bytes are hashed by SipHash-1-3 (Aumasson and Bernstein, 2012), so that clients can't aim at one
 * slot.
 *
 * Bound: `max` entries; at it an insertion of a new key returns -KT_ERR_LIMIT. Not thread-safe,
 * never yields. */
#ifndef KT_BASE_HMAP_H
#define KT_BASE_HMAP_H

#include "base/macros.h"
#include "base/slice.h"

struct hmap_slot {
    uint64_t key;
    void *value; /* NULL: free */
};

/* u64 -> pointer */
struct hmap {
    struct hmap_slot *slots;
    uint64_t seed;
    uint32_t cap; /* 0 or a power of two */
    uint32_t len;
    uint32_t max;
};

void hmap_init(struct hmap *m, uint64_t seed, uint32_t max);
void hmap_done(struct hmap *m);
void *hmap_get(const struct hmap *m, uint64_t key);
/* Inserts or replaces; *ret_old (may be NULL) gets the value before, or NULL. Errors: LIMIT,
 * NO_MEMORY. */
int hmap_set(struct hmap *m, uint64_t key, void *value, void **ret_old) KT_MUST_CHECK;
/* Returns what was removed, or NULL. */
void *hmap_remove(struct hmap *m, uint64_t key);
/* Walks all entries in no order: start with *at = 0; false at the end. The map may not change
 * meanwhile. */
bool hmap_next(const struct hmap *m, uint32_t *at, uint64_t *ret_key, void **ret_value);

struct bmap_slot {
    uint64_t hash;
    struct slice key_view; /* borrowed */
    void *value;           /* NULL: free */
};

/* bytes -> pointer */
struct bmap {
    struct bmap_slot *slots;
    uint64_t seed[2];
    uint32_t cap, len, max;
};

void bmap_init(struct bmap *m, uint64_t seed, uint32_t max);
void bmap_done(struct bmap *m);
void *bmap_get(const struct bmap *m, struct slice key);
/* As hmap_set; a replaced entry's key_view is replaced too. */
int bmap_set(struct bmap *m, struct slice key, void *value, void **ret_old) KT_MUST_CHECK;
void *bmap_remove(struct bmap *m, struct slice key);
bool bmap_next(const struct bmap *m, uint32_t *at, struct slice *ret_key, void **ret_value);

/* SipHash-1-3 of the bytes under a 128-bit key. */
uint64_t hmap_hash_bytes(const uint64_t key[2], struct slice s);

#endif
