/* Any bytes as a volume file in a data directory: opening it, recovery, reading every seq, scrub, a
 * compaction, and the offline check end without a crash, and serve only bytes that verify. An odd
 * first byte makes the checksums of the head right, and those of needles as far as their sizes
 * lead. */
#include "format/superblock.h"
#include "fuzz_format.h"
#include "rt/sim.h"
#include "volume/check.h"
#include "volume/compact.h"
#include "volume/disk.h"
#include "volume/generation.h"
#include "volume/index.h"
#include "volume/scrub.h"

#define D "/disk"
#define NAME "00000007.vol"
#define SEQS 64u

static const uint8_t cell[UUID_BYTES] = {1, 2, 3};

/* Makes what the head says fit this disk, and the needles fit the head. */
static void reseal(struct fuzz_input *in)
{
    struct superblock sb = {.vid = 7, .secret = 5, .limit_bytes = 1u << 20, .uuid = {9}};
    if (!in->reseal || in->len < VOLUME_LOG_START)
        return;
    memcpy(sb.cell, cell, sizeof(cell));
    superblock_encode(&sb, in->p);
    for (size_t at = VOLUME_SLOT_A; at <= VOLUME_SLOT_B; at += BLOCK_SIZE) {
        memcpy(in->p + at + 16, sb.uuid, UUID_BYTES);
        store_u32le(in->p + at + 32, sb.vid);
        fuzz_reseal_block(in, at);
    }
    struct needle_place place;
    superblock_place(&sb, load_u32le(in->p + VOLUME_SLOT_A + 40), &place);
    for (size_t at = VOLUME_LOG_START; at + NEEDLE_HEADER <= in->len;) {
        uint8_t *p = in->p + at;
        uint32_t data_len = load_u32le(p + 24);
        uint16_t meta_len = load_u16le(p + 28);
        if (data_len > NEEDLE_DATA_MAX || meta_len > NEEDLE_META_MAX ||
            needle_size(data_len, meta_len) > in->len - at || p[30] == 0)
            return;
        struct slice piece = slice_of(p + needle_data_at(data_len, meta_len), data_len);
        store_u32le(p + 8, needle_data_crc(&piece, 1, data_len, p + NEEDLE_HEADER + meta_len));
        uint8_t fixed[72];
        memcpy(fixed, place.uuid, 16);
        store_u32le(fixed + 16, place.generation);
        store_u64le(fixed + 20, at);
        memcpy(fixed + 28, p + 4, 44);
        uint32_t crc = crc32c(place.secret, fixed, sizeof(fixed));
        store_u32le(p, meta_len ? crc32c(crc, p + NEEDLE_HEADER, meta_len) : crc);
        at += (size_t)needle_size(data_len, meta_len);
    }
}

static int open_disk(struct disk **ret)
{
    struct disk_options opt = {.volume_limit_bytes = 1u << 20, .reserve_bytes = 4096};
    memcpy(opt.cell, cell, sizeof(cell));
    return disk_open(D, &opt, ret);
}

static int plant(void *arg)
{
    struct fuzz_input *in = arg;
    struct disk *d;
    kt_assert(open_disk(&d) == 0);
    int file = rt_file_open(disk_dir(d), NAME, RT_O_READ | RT_O_WRITE | RT_O_CREATE, 0600);
    struct iovec iov = {.iov_base = in->p, .iov_len = in->len};
    kt_assert(file >= 0 && (in->len == 0 || rt_file_pwritev(file, &iov, 1, 0) == 0));
    kt_assert(rt_file_sync(file) == 0 && rt_dir_sync(disk_dir(d)) == 0);
    rt_file_close(file);
    disk_close(d);
    return 0;
}

/* Reads what the index knows, with the cookie that lies on disk. */
static void read_all(struct volume *v)
{
    struct generation *g = volume_generation(v);
    struct index *ix = g ? generation_index(g) : NULL;
    struct index_hit hit;
    uint8_t head[NEEDLE_HEADER];
    for (seq_t seq = 0; ix && seq < KT_MIN(index_count(ix), SEQS); seq++) {
        struct volume_reader r;
        struct needle_info info;
        struct slice piece = {NULL, 0};
        if (!index_find(ix, seq, &hit) ||
            rt_file_pread(generation_file(g), head, sizeof(head), hit.offset) < 0)
            continue;
        struct blobid id = {7, seq, load_u64le(head + 40)};
        if (volume_read_open(v, &id, 0, rt_after_ms(1000), &r, &info) < 0)
            continue;
        kt_assert(info.seq == seq && info.offset == hit.offset);
        while (volume_read_next(&r, &piece) == 0 && piece.len > 0)
            continue;
        volume_read_close(&r);
    }
    generation_unref(g);
}

static void on_scrub(void *arg, const struct scrub_finding *f)
{
    (void)arg;
    kt_assert(f->vid == 7);
}

static int use(void *arg)
{
    struct disk *d;
    struct work w = {0};
    struct scrub_result sr;
    struct compact_result cr;
    const struct compact_options opt = {.job_id = 1, .now_ms = UINT64_C(1) << 50};
    (void)arg;
    if (open_disk(&d) < 0)
        return 0;
    if (disk_volume_count(d) == 1) {
        struct volume *v = disk_volume_at(d, 0);
        uint8_t state = volume_state_of(v);
        if (state != VOLUME_REFUSED && volume_need_index(v, rt_after_ms(1000)) == 0) {
            struct blobid id = {7, 1, 0};
            read_all(v);
            if (volume_delete(v, &id, rt_after_ms(1000)) == 0)
                read_all(v);
            if (scrub_run(v, &w, on_scrub, NULL, &sr) < 0)
                read_all(v);
            if (compact_run(v, &opt, &w, &cr) == 0)
                read_all(v);
        }
    }
    disk_close(d);
    return 0;
}

static void on_finding(void *arg, const struct check_finding *f)
{
    (void)arg;
    kt_assert(f->severity <= CHECK_DAMAGE && f->text[0]);
}

static int check(void *arg)
{
    struct check_result res;
    const struct check_options opt = {.finding = on_finding};
    (void)arg;
    return check_directory(D, &opt, &res) == 0 ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_take(data, size);
    struct sim *s = sim_new(1, NULL);
    const struct rt_options o = {.backend = sim_backend(s), .loops = 1};
    reseal(&in);
    kt_assert(rt_run(&o, plant, &in) == 0);
    sim_restart(s);
    kt_assert(rt_run(&o, check, NULL) == 0);
    kt_assert(rt_run(&o, use, NULL) == 0);
    sim_restart(s);
    kt_assert(rt_run(&o, check, NULL) == 0);
    kt_assert(rt_run(&o, use, NULL) == 0);
    kt_assert(sim_open_handles(s) == 0);
    sim_free(s);
    free(in.p);
    return 0;
}
