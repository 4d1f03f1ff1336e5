/* format_test: helpers that the tests of format/ share: a known place, deterministic bytes, and a
 * sweep that flips every bit of a record and counts the flips its decoder lets through. */
#ifndef KT_TESTS_FORMAT_TEST_H
#define KT_TESTS_FORMAT_TEST_H #include "base/err.h"
#include "base/slice.h"
#include "format/needle.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct needle_place test_place = {
    .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .secret = 0xfeedbeef,
    .generation = 3,
};

/* Bytes that repeat nowhere near: a small xorshift. */
static inline void fill_bytes(uint8_t *p, size_t len, uint32_t seed)
{
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        p[i] = (uint8_t)x;
    }
}

/* Flips each bit in turn; `accepts` says whether the decoder takes the bytes. Returns how many
 * flips passed. */
static inline size_t count_undetected(uint8_t *p, size_t len,
                                      bool (*accepts)(const uint8_t *p, size_t len))
{
    size_t undetected = 0;
    for (size_t bit = 0; bit < 8 * len; bit++) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (accepts(p, len)) {
            print_error("bit %zu of byte %zu flips unnoticed\n", bit % 8, bit / 8);
            undetected++;
        }
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return undetected;
}

#endif
