/* buckets_priv: what buckets.c and buckets_file.c share. See buckets.h for the model. */
#ifndef KT_GATEWAY_BUCKETS_PRIV_H
#define KT_GATEWAY_BUCKETS_PRIV_H

#include "gateway/buckets.h"

#define BUCKETS_CHAINS 1024u

struct buckets {
    int dir;
    const struct store_api *store;
    struct rt_mutex mutex; /* one change at a time; loop 0's */
    bool exact;            /* the counters miss nothing: no crash since they were counted */
    bool closing;          /* nothing is counted any more */
    bool dirty;            /* the file on disk is, or may be, marked dirty */
    uint64_t next_version; /* last version given out */
    uint64_t saved_sum;    /* of all counters, as they were saved last */
    _Atomic uint32_t next_id;
    _Atomic(struct bucket *) chains[BUCKETS_CHAINS];
    _Atomic(struct bucket *) by_id[BUCKETS_MAX];
};

/* A bucket that nobody sees yet. */
struct bucket *bucket_new(uint32_t id, struct slice name);
/* Makes it visible; its id must be free. */
void buckets_publish(struct buckets *b, struct bucket *bk);
void bucket_apply(struct bucket *bk, const struct bucket_settings *s, bool removed);
/* Writes the TAG_SETTINGS text; returns its length. */
size_t bucket_settings_format(const struct bucket *bk, const struct bucket_settings *s,
                              bool removed, char *out, size_t cap);
/* Writes buckets.json. */
int buckets_write(struct buckets *b, bool dirty) KT_MUST_CHECK KT_YIELDS;

#endif
