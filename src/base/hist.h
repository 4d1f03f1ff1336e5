/* hist: a histogram of latencies with a bounded relative error, after HdrHistogram's log-linear
 * buckets.
 *
 * Values (ns, any uint64_t) below 64 have a bucket each; above, every power of two is cut into 32
 * equal buckets, so a reported percentile is at most 1/32 (3.2 %) above the true one and never
 * below it. Recording is a few instructions and never fails. 15 KiB: embed it in heap objects,
 * never on a fiber's stack. One owner; threads record into their own and hist_merge at the end. */
#ifndef KT_BASE_HIST_H
#define KT_BASE_HIST_H

#include <stdint.h>

#define HIST_SUB 32u
#define HIST_BUCKETS (HIST_SUB * 60u)

struct hist {
    uint64_t count;
    uint64_t sum; /* saturating */
    uint64_t min, max;
    uint64_t buckets[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_record(struct hist *h, uint64_t value);
/* The same value `n` times. */
void hist_record_n(struct hist *h, uint64_t value, uint64_t n);
/* Adds what `from` has recorded. */
void hist_merge(struct hist *h, const struct hist *from);
/* The smallest recorded value that at least `percent` % (0..100) of the values don't exceed,
 * rounded up to its bucket's end and capped by the maximum; 0 when nothing was recorded. */
uint64_t hist_percentile(const struct hist *h, double percent);
double hist_mean(const struct hist *h);

#endif
