/* rand: xoshiro256** and what is derived from it. */
#include "base/rand.h"

#include "base/assert.h"
#include <math.h>
#include <string.h>

uint64_t rand_splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void rand_init(struct rand_state *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = rand_splitmix(&seed);
}

static uint64_t rotl(uint64_t v, int k)
{
    return v << k | v >> (64 - k);
}

uint64_t rand_u64(struct rand_state *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rand_below(struct rand_state *r, uint64_t n)
{
    kt_assert(n >= 1);
    /* Multiply-shift; the low product's short range that would be hit once too often is drawn
     * again. */
    unsigned __int128 product = (unsigned __int128)rand_u64(r) * n;
    if ((uint64_t)product < n) {
        uint64_t threshold = (0 - n) % n;
        while ((uint64_t)product < threshold)
            product = (unsigned __int128)rand_u64(r) * n;
    }
    return (uint64_t)(product >> 64);
}

double rand_unit(struct rand_state *r)
{
    return (double)(rand_u64(r) >> 11) * 0x1.0p-53;
}

double rand_exp(struct rand_state *r, double mean)
{
    return -mean * log1p(-rand_unit(r));
}

void rand_fill(struct rand_state *r, void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        uint64_t v = rand_u64(r);
        size_t n = len < sizeof(v) ? len : sizeof(v);
        memcpy(p, &v, n);
        p += n;
        len -= n;
    }
}
