/* fuzz: what every target shares. A target decodes one input and aborts when a property fails; it
 * must not keep state between calls. */
#ifndef KT_TESTS_FUZZ_FUZZ_H
#define KT_TESTS_FUZZ_FUZZ_H

#include "base/assert.h"
#include "base/slice.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A heap copy of exactly `s.len` bytes, so that the sanitizers see a read past the end. */
static inline uint8_t *fuzz_copy(struct slice s)
{
    uint8_t *p = malloc(s.len ? s.len : 1);
    kt_assert(p != NULL);
    if (s.len)
        memcpy(p, s.p, s.len);
    return p;
}

#endif
