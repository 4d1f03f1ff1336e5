/* bench_data: what the load generator stores: sizes, keys and bytes, all derived from seed and
 * index.
 *
 * Nothing about an object needs to be remembered to check it: its size and every byte follow from
 * the run's seed and the object's index. Content is a 16-byte label that is unique per (seed,
 * index), followed by a run of one fixed random pattern that begins at a place of the object's own;
 * the pattern's length is prime, so that blocks of any even size which change places are noticed.
 * Checking is a memcmp, filling is no copy at all.
 *
 * Pure functions of their arguments over a pattern made once by data_pattern_make; any thread after
 * that.
 */
#ifndef KT_CMD_BENCH_DATA_H
#define KT_CMD_BENCH_DATA_H

#include "base/macros.h"
#include "base/rand.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define DATA_LABEL_LEN 16u
#define DATA_PATTERN_LEN 1048583u /* a prime */
/* Pieces that an object of `size` bytes needs at most: label, first part, whole patterns, last
 * part. */
#define DATA_PIECES_MAX 40
#define DATA_SIZE_MAX MIB(32)

/* A 64-bit mixer (the finaliser of splitmix64; Steele, Lea, Flood, OOPSLA 2014). */
uint64_t data_mix(uint64_t x);

/* Sizes: "1KiB" (all the same), "4KiB-64KiB" (uniform in the logarithm), "photo" or "photo:64KiB"
 * (log-normal around that median, 24 KiB without one, sigma 0.9, from 512 B to 8 MiB). */
enum data_size_kind { DATA_SIZE_FIXED, DATA_SIZE_RANGE, DATA_SIZE_PHOTO };
struct data_sizes {
    enum data_size_kind kind;
    uint64_t low, high; /* bytes; FIXED: low, PHOTO: low is the median */
};
/* Errors: INVALID, also for anything above DATA_SIZE_MAX. */
int data_sizes_parse(const char *text, struct data_sizes *ret) KT_MUST_CHECK;
uint32_t data_size(const struct data_sizes *s, uint64_t seed, uint64_t index);

/* Choice of one of n keys: "uniform", or "zipf:0.99" (Gray et al., SIGMOD 1994, section 3.2), ranks
 * scattered over the keys. data_keys_size must be called when n changes. */
struct data_keys {
    double theta; /* 0: uniform; below 1 */
    uint64_t n;
    double zeta_n, alpha, eta;
};
int data_keys_parse(const char *text, struct data_keys *ret) KT_MUST_CHECK;
void data_keys_size(struct data_keys *k, uint64_t n);
uint64_t data_keys_pick(const struct data_keys *k, struct rand_state *r);

/* Makes the pattern; once, before anything below. */
void data_pattern_make(void);
/* The object's bytes as pieces: `label` (caller's, DATA_LABEL_LEN bytes, is filled) and parts of
 * the pattern. Returns the number of pieces; `iov` must hold DATA_PIECES_MAX. */
int data_pieces(uint64_t seed, uint64_t index, uint32_t size, uint8_t label[DATA_LABEL_LEN],
                struct iovec *iov);
/* True when `bytes` are those of the object from offset `at` on. */
bool data_matches(uint64_t seed, uint64_t index, uint64_t at, struct slice bytes);
uint32_t data_crc(uint64_t seed, uint64_t index, uint32_t size);

#endif
