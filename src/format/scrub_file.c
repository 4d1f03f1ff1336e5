/* scrub_file: header, sorted records, one checksum. */
#include "format/scrub_file.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"

#define SCRUB_FILE_MAGIC 0x5243534bu /* "KSCR" */
#define SCRUB_FILE_MAX 1048576u      /* records */

void scrub_file_encode(const uint8_t uuid[16], const struct scrub_time *times, uint32_t count,
                       uint8_t *out)
{
    kt_assert(count <= SCRUB_FILE_MAX);
    memset(out, 0, SCRUB_FILE_HEAD);
    store_u32le(out, SCRUB_FILE_MAGIC);
    memcpy(out + 8, uuid, 16);
    store_u32le(out + 24, count);
    for (uint32_t i = 0; i < count; i++) {
        kt_assert(i == 0 || times[i].vid > times[i - 1].vid);
        memcpy(out + scrub_file_size(i), &times[i], sizeof(times[i]));
    }
    store_u32le(out + 4, crc32c(0, out + 8, scrub_file_size(count) - 8));
}

struct scrub_time scrub_file_time(struct slice in, uint32_t i)
{
    struct scrub_time t;
    kt_assert(in.len >= scrub_file_size(i + 1));
    memcpy(&t, in.p + scrub_file_size(i), sizeof(t));
    return t;
}

int scrub_file_decode(struct slice in, const uint8_t uuid[16])
{
    if (in.len < SCRUB_FILE_HEAD || load_u32le(in.p) != SCRUB_FILE_MAGIC)
        return err_set(KT_ERR_CORRUPT, "no file of scrub times");
    uint32_t count = load_u32le(in.p + 24);
    if (count > SCRUB_FILE_MAX || in.len != scrub_file_size(count) ||
        load_u32le(in.p + 4) != crc32c(0, in.p + 8, in.len - 8) || memcmp(in.p + 8, uuid, 16) != 0)
        return err_set(KT_ERR_CORRUPT, "the file of scrub times is damaged or of another disk");
    for (uint32_t i = 1; i < count; i++)
        if (scrub_file_time(in, i).vid <= scrub_file_time(in, i - 1).vid)
            return err_set(KT_ERR_CORRUPT, "the file of scrub times is not sorted");
    return (int)count;
}
