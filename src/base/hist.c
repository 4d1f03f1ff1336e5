/* hist: bucket = power of two, then the next five bits. */
#include "base/hist.h"

#include <math.h>
#include <string.h>

#define SUB_BITS 5

void hist_init(struct hist *h)
{
    memset(h, 0, sizeof(*h));
    h->min = UINT64_MAX;
}

static uint32_t bucket_of(uint64_t v)
{
    if (v < 2 * HIST_SUB)
        return (uint32_t)v;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(v) - SUB_BITS;
    return (shift << SUB_BITS) + (uint32_t)(v >> shift);
}

/* The largest value of a bucket. */
static uint64_t bucket_end(uint32_t b)
{
    if (b < 2 * HIST_SUB)
        return b;
    uint32_t shift = (b >> SUB_BITS) - 1;
    uint64_t first = (uint64_t)(HIST_SUB + (b & (HIST_SUB - 1))) << shift;
    return first + ((UINT64_C(1) << shift) - 1);
}

static uint64_t add_sat(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void hist_record_n(struct hist *h, uint64_t value, uint64_t n)
{
    uint64_t product;
    if (n == 0)
        return;
    if (__builtin_mul_overflow(value, n, &product))
        product = UINT64_MAX;
    h->count += n;
    h->sum = add_sat(h->sum, product);
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->buckets[bucket_of(value)] += n;
}

void hist_record(struct hist *h, uint64_t value)
{
    hist_record_n(h, value, 1);
}

void hist_merge(struct hist *h, const struct hist *from)
{
    h->count += from->count;
    h->sum = add_sat(h->sum, from->sum);
    if (from->min < h->min)
        h->min = from->min;
    if (from->max > h->max)
        h->max = from->max;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        h->buckets[i] += from->buckets[i];
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
    if (h->count == 0)
        return 0;
    /* the subtraction keeps 99.9 % of 5000, a little over 4995 in binary, from becoming 4996 */
    double exact = ceil(percent / 100.0 * (double)h->count - 1e-6);
    uint64_t want = exact < 1 ? 1 : exact >= (double)h->count ? h->count : (uint64_t)exact;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= want)
            return bucket_end(i) < h->max ? bucket_end(i) : h->max;
    }
    return h->max;
}

double hist_mean(const struct hist *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0;
}
