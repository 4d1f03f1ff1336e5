/* job_file: header, bitmap, one checksum. */
#include "format/job_file.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"

#define JOB_FILE_MAGIC 0x424f4a4bu /* "KJOB" */

struct job_file_disk {
    uint32_t magic;
    uint32_t crc;
    uint8_t uuid[16];
    uint32_t vid;
    uint32_t version;
    uint64_t job_id;
    uint32_t from_generation;
    uint32_t to_generation;
    uint64_t source_length;
    uint64_t created_ms;
    uint32_t count;
    uint32_t drops;
    uint64_t live_bytes;
    uint8_t zero[16];
};
_Static_assert(sizeof(struct job_file_disk) == JOB_FILE_HEAD, "on-disk layout");
_Static_assert(offsetof(struct job_file_disk, vid) == 24, "on-disk layout");
_Static_assert(offsetof(struct job_file_disk, job_id) == 32, "on-disk layout");
_Static_assert(offsetof(struct job_file_disk, source_length) == 48, "on-disk layout");
_Static_assert(offsetof(struct job_file_disk, count) == 64, "on-disk layout");
_Static_assert(offsetof(struct job_file_disk, live_bytes) == 72, "on-disk layout");

/* Number of bits set; CORRUPT when one lies beyond count. */
static int64_t count_drops(const uint8_t *map, uint32_t count)
{
    int64_t n = 0;
    size_t bytes = job_file_size(count) - JOB_FILE_HEAD;
    for (size_t i = 0; i < bytes; i++)
        n += __builtin_popcount(map[i]);
    if (count % 8 && map[bytes - 1] >> (count % 8))
        return -KT_ERR_CORRUPT;
    return n;
}

void job_file_encode(const struct job_file *job, uint8_t *out)
{
    kt_assert(count_drops(out + JOB_FILE_HEAD, job->count) == job->drops);
    struct job_file_disk d = {
        .magic = JOB_FILE_MAGIC,
        .vid = job->vid,
        .version = JOB_FILE_VERSION,
        .job_id = job->job_id,
        .from_generation = job->from_generation,
        .to_generation = job->to_generation,
        .source_length = job->source_length,
        .created_ms = job->created_ms,
        .count = job->count,
        .drops = job->drops,
        .live_bytes = job->live_bytes,
    };
    memcpy(d.uuid, job->uuid, sizeof(d.uuid));
    memcpy(out, &d, sizeof(d));
    store_u32le(out + 4, crc32c(0, out + 8, job_file_size(job->count) - 8));
}

int job_file_decode(struct slice in, const struct job_file *expect, struct job_file *ret)
{
    struct job_file_disk d;
    if (in.len < sizeof(d))
        return err_set(KT_ERR_CORRUPT, "job record of %zu bytes", in.len);
    memcpy(&d, in.p, sizeof(d));
    if (d.magic != JOB_FILE_MAGIC || d.crc != crc32c(0, in.p + 8, in.len - 8))
        return err_set(KT_ERR_CORRUPT, "job record fails its checksum");
    if (d.version != JOB_FILE_VERSION)
        return err_set(KT_ERR_FORMAT,
                       "job record of format version %u, kitten " KITTEN_VERSION
                       " knows %u: use the version that wrote it",
                       d.version, JOB_FILE_VERSION);
    if (memcmp(d.uuid, expect->uuid, sizeof(d.uuid)) != 0 || d.vid != expect->vid)
        return err_set(KT_ERR_CORRUPT, "job record of another volume");
    if (in.len != job_file_size(d.count) || count_drops(in.p + JOB_FILE_HEAD, d.count) != d.drops)
        return err_set(KT_ERR_CORRUPT, "job record whose drop list doesn't add up");
    *ret = (struct job_file){
        .vid = d.vid,
        .job_id = d.job_id,
        .from_generation = d.from_generation,
        .to_generation = d.to_generation,
        .source_length = d.source_length,
        .created_ms = d.created_ms,
        .count = d.count,
        .drops = d.drops,
        .live_bytes = d.live_bytes,
    };
    memcpy(ret->uuid, d.uuid, sizeof(d.uuid));
    return 0;
}

bool job_file_drops(struct slice in, seq_t seq)
{
    uint32_t count = load_u32le(in.p + offsetof(struct job_file_disk, count));
    return seq < count && (in.p[JOB_FILE_HEAD + seq / 8] >> (seq % 8) & 1);
}

void job_file_set_drop(uint8_t *out, seq_t seq)
{
    out[JOB_FILE_HEAD + seq / 8] |= (uint8_t)(1u << (seq % 8));
}
