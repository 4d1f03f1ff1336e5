/* checked: overflow-checked arithmetic for every length and offset that comes from outside.
 * Each returns true and writes *ret on success, false (leaving *ret alone) on overflow. */
#ifndef KT_BASE_CHECKED_H
#define KT_BASE_CHECKED_H

#include "base/macros.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline KT_MUST_CHECK bool checked_add(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

static inline KT_MUST_CHECK bool checked_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

static inline KT_MUST_CHECK bool checked_sub(uint64_t a, uint64_t b, uint64_t *ret)
{
    if (b > a)
        return false;
    *ret = a - b;
    return true;
}

/* Rounds up to a multiple of `align` (a power of two); the caller knows that it can't overflow. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

#endif
