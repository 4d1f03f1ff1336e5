/* rand: seeded pseudo-random numbers for tests, the simulator and the load generator. Not for
 * secrets: ids, cookies and keys come from rt_random.
 *
 * xoshiro256** 1.0 (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2018),
 * its state filled by splitmix64 from one 64-bit seed. The same seed gives the same sequence on
 * every machine, for ever: recorded test seeds depend on it. Plain values, no locks; one owner. */
#ifndef KT_BASE_RAND_H
#define KT_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rand_state {
    uint64_t s[4];
};

void rand_init(struct rand_state *r, uint64_t seed);
uint64_t rand_u64(struct rand_state *r);
/* Uniform in [0, n), without bias; n >= 1. */
uint64_t rand_below(struct rand_state *r, uint64_t n);
/* Uniform in [0, 1), 53 bits. */
double rand_unit(struct rand_state *r);
/* Exponentially distributed with the given mean: the gaps of a Poisson process. */
double rand_exp(struct rand_state *r, double mean);
void rand_fill(struct rand_state *r, void *out, size_t len);
/* One step of splitmix64: a good 64-bit mixer, and the way to derive a child's seed. */
uint64_t rand_splitmix(uint64_t *state);

#endif
