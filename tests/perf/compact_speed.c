/* compact_speed: compaction against `cp` of the same volume, and what reads feel of it.
 *
 *     compact_speed DIR [MIB]     (default 512 MiB, in an empty directory DIR that is left empty)
 *
 * Writes a volume of needles of 1 to 32 KiB, deletes a third, and then, five times each and in
 * turn, copies the file as cp and fsync would (read, write, fsync) and compacts it without a rate
 * limit. Prints bytes read a second of both, their ratio, and the 99th percentile of random
 * verified GETs without and with a compaction beside them.
 */
#include "base/enc.h"
#include "volume/compact.h"
#include "volume/disk.h"
#include "volume/generation.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VID 7u
#define ROUNDS 5
#define COPY_STEP (1u << 20)
#define SAMPLES_MAX 2000000u
#define FLIGHT 64u

struct bench {
    const char *path;
    uint64_t bytes;
    struct disk *disk;
    struct volume *vol;
    uint32_t needles;
    struct blobid *ids;
    uint8_t *data;
    uint32_t *ns; /* latencies of the reader */
    uint32_t nsamples;
    bool stop;
    double copy[ROUNDS], compact[ROUNDS]; /* MB/s of source */
};

static void must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "compact_speed: %s: %s\n", what, err_text(rc));
    exit(1);
}

static uint32_t size_of(uint32_t seq)
{
    return 1024u << (seq % 6);
}

static void fill(struct bench *b)
{
    struct append *flight[FLIGHT];
    uint64_t done = 0;
    uint32_t cap = (uint32_t)(b->bytes / 10752 + FLIGHT);
    const struct volume_new n = {.vid = VID, .limit_bytes = 2 * b->bytes + MIB(64)};
    b->ids = calloc(cap, sizeof(*b->ids));
    must(volume_create(b->disk, &n, &b->vol), "create");
    while (done < b->bytes && b->needles + FLIGHT < cap) {
        for (uint32_t i = 0; i < FLIGHT; i++) {
            struct slice piece = slice_of(b->data, size_of(b->needles + i));
            struct append_data what = {
                .kind = NEEDLE_DATA, .cookie = b->needles + i, .data = &piece, .ndata = 1};
            must(append_new(&what, &flight[i]), "append");
            must(volume_append(b->vol, flight[i]), "append");
            done += append_size(flight[i]);
        }
        for (uint32_t i = 0; i < FLIGHT; i++) {
            must(append_wait(flight[i], rt_after_ms(60000), &b->ids[b->needles + i]), "append");
            append_unref(flight[i]);
        }
        b->needles += FLIGHT;
    }
    volume_seal_soon(b->vol);
    while (volume_state_of(b->vol) != VOLUME_SEALED)
        must(rt_sleep_until(rt_after_ms(5)), "seal");
}

static int delete_third(void *arg)
{
    struct bench *b = arg;
    for (uint32_t i = 0; i < b->needles; i += 3)
        must(volume_delete(b->vol, &b->ids[i], rt_after_ms(60000)), "delete");
    return 0;
}

static double seconds_since(int64_t from)
{
    return (double)(rt_clock_ns() - from) / 1e9;
}

/* What cp and a sync do: read, write, fsync. */
static double copy_file(struct bench *b)
{
    struct generation *g = volume_generation(b->vol);
    uint64_t length = generation_length(g);
    int64_t from = rt_clock_ns();
    int out =
        rt_file_open(disk_dir(b->disk), "copy.tmp", RT_O_READ | RT_O_WRITE | RT_O_CREATE, 0600);
    must(out, "copy");
    uint8_t *buf = malloc(COPY_STEP);
    for (uint64_t at = 0; at < length; at += COPY_STEP) {
        struct iovec iov = {.iov_base = buf,
                            .iov_len = (size_t)KT_MIN((uint64_t)COPY_STEP, length - at)};
        must(rt_file_pread(generation_file(g), buf, iov.iov_len, at), "copy");
        must(rt_file_pwritev(out, &iov, 1, at), "copy");
    }
    must(rt_file_sync(out), "copy");
    rt_file_close(out);
    double rate = (double)length / 1e6 / seconds_since(from);
    must(rt_file_unlink(disk_dir(b->disk), "copy.tmp"), "copy");
    free(buf);
    generation_unref(g);
    return rate;
}

static double compact(struct bench *b)
{
    struct work w = {0};
    struct compact_result r;
    const struct compact_options opt = {.now_ms = (uint64_t)(rt_wall_ns() / NS_PER_MS) +
                                                  (COMPACT_GRACE_S + 60) * 1000};
    int64_t from = rt_clock_ns();
    must(compact_run(b->vol, &opt, &w, &r), "compact");
    return (double)r.old_bytes / 1e6 / seconds_since(from);
}

/* Reads live needles at random, one after the other. */
static int reader(void *arg)
{
    struct bench *b = arg;
    uint64_t x = 88172645463325252u;
    while (!b->stop && b->nsamples < SAMPLES_MAX) {
        struct volume_reader r;
        struct needle_info info;
        struct slice piece;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint32_t seq = (uint32_t)(x % b->needles);
        if (seq % 3 == 0)
            continue;
        int64_t from = rt_clock_ns();
        must(volume_read_open(b->vol, &b->ids[seq], 0, rt_after_ms(60000), &r, &info), "read");
        must(volume_read_next(&r, &piece), "read");
        volume_read_close(&r);
        b->ns[b->nsamples++] = (uint32_t)(rt_clock_ns() - from);
        rt_yield();
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double percentile_us(struct bench *b, double p)
{
    qsort(b->ns, b->nsamples, sizeof(*b->ns), compare);
    return b->nsamples ? b->ns[(uint32_t)((double)(b->nsamples - 1) * p)] / 1e3 : 0;
}

static int stop_after(void *arg)
{
    struct bench *b = arg;
    must(rt_sleep_until(rt_after_ms(2000)), "sleep");
    b->stop = true;
    return 0;
}

static int compact_then_stop(void *arg)
{
    struct bench *b = arg;
    (void)compact(b);
    b->stop = true;
    return 0;
}

/* The reader beside `other`, which ends it. */
static void read_beside(struct bench *b, int (*other)(void *), const char *what)
{
    struct rt_group g;
    b->nsamples = 0;
    b->stop = false;
    rt_group_open(&g);
    int rc = rt_go(&g, other, b);
    if (rc == 0)
        rc = rt_go(&g, reader, b);
    must(rt_group_wait(&g, rc), what);
    double p50 = percentile_us(b, 0.5), p99 = percentile_us(b, 0.99),
           p999 = percentile_us(b, 0.999);
    printf("GET %-18s p50 %8.1f us   p99 %8.1f us   p99.9 %8.1f us   (%u reads)\n", what, p50, p99,
           p999, b->nsamples);
}

static void open_disk(struct bench *b)
{
    const struct disk_options opt = {.volume_limit_bytes = 2 * b->bytes + MIB(64),
                                     .reserve_bytes = 4096};
    must(disk_open(b->path, &opt, &b->disk), "open");
}

static void remove_all(struct bench *b)
{
    static const char *const names[] = {"00000007.vol", "00000007.idx", "00000007.dead", "dead.log",
                                        "disk"};
    disk_close(b->disk);
    int dir = rt_dir_open(b->path, false);
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++)
        if (rt_file_unlink(dir, names[i]) < 0)
            continue;
    rt_file_close(dir);
    free(b->ids);
    b->needles = 0;
}

static int by_rate(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static int run(void *arg)
{
    struct bench *b = arg;
    for (int i = 0; i < ROUNDS; i++) {
        open_disk(b);
        fill(b);
        must(delete_third(b), "delete");
        b->copy[i] = copy_file(b);
        if (i + 1 < ROUNDS) {
            b->compact[i] = compact(b);
        } else {
            read_beside(b, stop_after, "alone");
            int64_t from = rt_clock_ns();
            struct generation *g = volume_generation(b->vol);
            uint64_t length = generation_length(g);
            generation_unref(g);
            read_beside(b, compact_then_stop, "beside compaction");
            b->compact[i] = (double)length / 1e6 / seconds_since(from);
        }
        printf("round %d: cp %.0f MB/s, compaction %.0f MB/s, ratio %.2f%s\n", i + 1, b->copy[i],
               b->compact[i], b->compact[i] / b->copy[i],
               i + 1 == ROUNDS ? " (with a reader beside)" : "");
        remove_all(b);
    }
    double ratio[ROUNDS - 1];
    for (int i = 0; i + 1 < ROUNDS; i++)
        ratio[i] = b->compact[i] / b->copy[i];
    qsort(ratio, ROUNDS - 1, sizeof(ratio[0]), by_rate);
    printf("median ratio %.2f\n", (ratio[(ROUNDS - 2) / 2] + ratio[(ROUNDS - 1) / 2]) / 2);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t mib = 512;
    if (argc < 2 || argc > 3 ||
        (argc == 3 && (!dec_to_u64(slice_str(argv[2]), &mib) || mib < 1 || mib > 8192))) {
        fprintf(stderr, "usage: compact_speed DIR [MIB]\n");
        return 2;
    }
    struct bench b = {.path = argv[1], .bytes = MIB(mib)};
    b.data = malloc(64u << 10);
    b.ns = malloc(SAMPLES_MAX * sizeof(*b.ns));
    for (uint32_t i = 0; i < 64u << 10; i++)
        b.data[i] = (uint8_t)(i * 31 + i / 256);
    struct rt_options o = {.loops = 1, .workers = 4};
    int rc = rt_run(&o, run, &b);
    free(b.data);
    free(b.ns);
    return rc < 0;
}
