/* mem_store: a store in memory, for tests of what stands on api/store.h. Not durable, not fast, but
 * strict: it keeps the contract's errors (wrong cookie, dead and expired needles are NOT_FOUND;
 * undelete has a window) and gives data in runs of MEM_STORE_RUN bytes. Faults are switched by its
 * fields. One loop only.
 */
#ifndef KT_TESTS_MEM_STORE_H
#define KT_TESTS_MEM_STORE_H

#include "api/store.h"

#define MEM_STORE_MAX 4096 /* needles */
#define MEM_STORE_RUN 1000 /* bytes that one read gives at most */
#define MEM_STORE_VID 7u

struct mem_needle {
    struct needle_info info;
    uint8_t *meta, *data; /* owned */
    bool dead, undelete_passed, corrupt;
};

struct mem_store {
    struct store_api api;
    struct mem_needle *needles;
    uint32_t n;
    uint32_t puts, put_manys, removes; /* calls that were made */
    uint32_t dropped_bucket;           /* last one told */
    int fail_put;                      /* 0, or the KT_ERR_* that every put gives */
    uint32_t fail_at;   /* put_many: only the put with this number fails so; 0: all */
    uint8_t disk_state; /* STORE_DISK_* that walk reports */
};

void mem_store_init(struct mem_store *s);
void mem_store_done(struct mem_store *s);
/* The needle of `id` whatever its state, or NULL. */
struct mem_needle *mem_store_find(struct mem_store *s, const struct blobid *id);

#endif
