/* index_ram: memory and time per needle of the index, at any number of synthetic needles.
 *
 *     index_ram [NEEDLES]        (default 20,000,000; needles of about 1 KiB)
 *
 * Prints the growth of the resident set per needle for both forms and the mean time of a random
 * lookup.
 */
#include "base/enc.h"
#include "format/superblock.h"
#include "volume/index.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NEEDLES_DEFAULT 20000000u
#define LOOKUPS 10000000u

static uint64_t rss_bytes(void)
{
    unsigned long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%llu %llu", &pages, &resident) != 2) {
        fprintf(stderr, "can't read /proc/self/statm\n");
        exit(1);
    }
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Mean nanoseconds of a lookup of an existing and of an absent seq. */
static void time_lookups(const struct index *ix, const char *form, uint32_t needles, uint64_t rss)
{
    uint64_t x = 88172645463325252u, sum = 0;
    struct index_hit hit;
    double start = now_s();
    for (uint32_t i = 0; i < LOOKUPS; i++)
        if (index_find(ix, (uint32_t)((next_random(&x) >> 32) * needles >> 32), &hit))
            sum += hit.offset;
    double found = now_s();
    for (uint32_t i = 0; i < LOOKUPS; i++)
        sum += index_find(ix, needles + (uint32_t)(next_random(&x) % 1000), &hit);
    double absent = now_s();
    printf("%-7s %.3f bytes RSS per needle (%.3f counted), lookup %.1f ns, absent %.1f ns (%llu)\n",
           form, (double)rss / needles, (double)index_memory(ix) / needles,
           (found - start) * 1e9 / LOOKUPS, (absent - found) * 1e9 / LOOKUPS,
           (unsigned long long)(sum & 1));
}

int main(int argc, char **argv)
{
    uint64_t needles = NEEDLES_DEFAULT;
    if (argc > 2 || (argc == 2 && (!dec_to_u64(slice_str(argv[1]), &needles) || needles == 0 ||
                                   needles > 30000000))) {
        fprintf(stderr, "usage: index_ram [NEEDLES]   (1..30000000)\n");
        return 2;
    }
    uint32_t n = (uint32_t)needles;
    uint64_t x = 1, at = VOLUME_LOG_START, before = rss_bytes();
    struct index *open, *sealed;
    if (index_new_open(VOLUME_LIMIT_MAX, &open) < 0)
        return 1;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t size = 48 + (next_random(&x) % 256) * 8;
        if (index_add(open, i, at, size) < 0)
            return 1;
        at += size;
    }
    index_publish(open, n);
    uint64_t with_open = rss_bytes();
    time_lookups(open, "open", n, with_open - before);
    double start = now_s();
    if (index_seal(open, &sealed) < 0) {
        fprintf(stderr, "%s\n", err_text(-KT_ERR_NO_MEMORY));
        return 1;
    }
    printf("sealing %.2f s\n", now_s() - start);
    time_lookups(sealed, "sealed", n, rss_bytes() - with_open);
    index_free(open);
    index_free(sealed);
    return 0;
}
