/* crc32c: ISA-L's kernel with the usual inversion around it, and combination by matrix squaring
 * over GF(2). */
#include "base/crc32c.h"

#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
    /* ISA-L takes int lengths, declares a non-const pointer, and leaves the inversion to the
     * caller. */
    const unsigned char *at = p;
    uint32_t state = ~crc;
    while (len > 0) {
        size_t step = len < (1u << 30) ? len : (1u << 30);
        state = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)step, state);
        at += step;
        len -= step;
    }
    return ~state;
}

static uint32_t matrix_times(const uint32_t *m, uint32_t v)
{
    uint32_t sum = 0;
    for (; v; v >>= 1, m++)
        if (v & 1)
            sum ^= *m;
    return sum;
}

static void matrix_square(uint32_t *square, const uint32_t *m)
{
    for (int i = 0; i < 32; i++)
        square[i] = matrix_times(m, m[i]);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
    if (len_b == 0)
        return crc_a;
    uint32_t odd[32], even[32];
    odd[0] = 0x82f63b78u; /* the reflected polynomial: the operator for one zero bit */
    for (int i = 1; i < 32; i++)
        odd[i] = 1u << (i - 1);
    matrix_square(even, odd); /* two bits */
    matrix_square(odd, even); /* four bits */
    do {                      /* each squaring doubles: first one byte, two, four, ... */
        matrix_square(even, odd);
        if (len_b & 1)
            crc_a = matrix_times(even, crc_a);
        len_b >>= 1;
        if (len_b == 0)
            break;
        matrix_square(odd, even);
        if (len_b & 1)
            crc_a = matrix_times(odd, crc_a);
        len_b >>= 1;
    } while (len_b);
    return crc_a ^ crc_b;
}
