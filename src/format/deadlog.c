/* deadlog: chained records and the verdict about a whole log. */
#include "format/deadlog.h"

#include "base/crc32c.h"
#include "base/enc.h"

#define DEADLOG_MAGIC BLOCK_MAGIC('K', 'T', 'N', 'D', 'E', 'A', 'D', '\n')

struct deadlog_head_disk {
    uint64_t magic;
    uint32_t version;
    uint32_t zero;
    uint8_t uuid[UUID_BYTES];
    uint64_t instance;
};
_Static_assert(sizeof(struct deadlog_head_disk) == 40, "on-disk layout");
_Static_assert(offsetof(struct deadlog_head_disk, uuid) == 16, "on-disk layout");
_Static_assert(offsetof(struct deadlog_head_disk, instance) == 32, "on-disk layout");

struct deadlog_record_disk {
    uint32_t vid;
    uint32_t seq;
    uint64_t cookie;
    uint32_t counter;
    uint32_t durable;
    uint32_t time_s;
    uint32_t crc;
};
_Static_assert(sizeof(struct deadlog_record_disk) == DEADLOG_RECORD, "on-disk layout");
_Static_assert(offsetof(struct deadlog_record_disk, cookie) == 8, "on-disk layout");
_Static_assert(offsetof(struct deadlog_record_disk, durable) == 20, "on-disk layout");
_Static_assert(offsetof(struct deadlog_record_disk, crc) == 28, "on-disk layout");

#define RECORD_CRC_AT 28u

uint32_t deadlog_head_encode(const struct deadlog_head *head, uint8_t out[BLOCK_SIZE])
{
    struct deadlog_head_disk d = {
        .magic = DEADLOG_MAGIC,
        .version = DEADLOG_VERSION,
        .instance = head->instance,
    };
    memcpy(d.uuid, head->uuid, UUID_BYTES);
    memcpy(out, &d, sizeof(d));
    block_seal(out, sizeof(d));
    return load_u32le(out + BLOCK_CRC_AT);
}

int deadlog_head_decode(struct slice in, struct deadlog_head *ret, uint32_t *ret_chain)
{
    struct deadlog_head_disk d;
    int rc = block_check(in, DEADLOG_MAGIC, "header of the dead log");
    if (rc < 0)
        return rc;
    memcpy(&d, in.p, sizeof(d));
    if (d.version != DEADLOG_VERSION)
        return err_set(KT_ERR_FORMAT,
                       "dead log of format version %u, kitten " KITTEN_VERSION
                       " knows %u: use the version that wrote it",
                       d.version, DEADLOG_VERSION);
    memcpy(ret->uuid, d.uuid, UUID_BYTES);
    ret->instance = d.instance;
    *ret_chain = load_u32le(in.p + BLOCK_CRC_AT);
    return 0;
}

uint32_t deadlog_record_encode(const struct deadlog_record *rec, uint32_t chain,
                               uint8_t out[DEADLOG_RECORD])
{
    struct deadlog_record_disk d = {
        .vid = rec->id.vid,
        .seq = rec->id.seq,
        .cookie = rec->id.cookie,
        .counter = rec->counter,
        .durable = rec->durable,
        .time_s = rec->time_s,
    };
    memcpy(out, &d, sizeof(d));
    chain = crc32c(chain, out, RECORD_CRC_AT);
    store_u32le(out + RECORD_CRC_AT, chain);
    return chain;
}

bool deadlog_record_decode(const uint8_t *in, uint32_t *chain, struct deadlog_record *ret)
{
    struct deadlog_record_disk d;
    memcpy(&d, in, sizeof(d));
    if (d.crc != crc32c(*chain, in, RECORD_CRC_AT))
        return false;
    *chain = d.crc;
    *ret = (struct deadlog_record){
        .id = {d.vid, d.seq, d.cookie},
        .counter = d.counter,
        .durable = d.durable,
        .time_s = d.time_s,
    };
    return true;
}

static bool all_zero(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] != 0)
            return false;
    return true;
}

void deadlog_scan(struct slice records, uint32_t chain, struct deadlog_scan *ret)
{
    struct deadlog_record rec;
    struct deadlog_scan s = {.verdict = DEADLOG_CLEAN, .chain = chain};
    size_t total = records.len / DEADLOG_RECORD, at = 0;
    for (; at < total; at++) {
        if (!deadlog_record_decode(records.p + at * DEADLOG_RECORD, &s.chain, &rec))
            break;
        s.durable = KT_MAX(s.durable, rec.durable);
    }
    s.records = (uint32_t)at;
    if (!all_zero(slice_sub(records, at * DEADLOG_RECORD, records.len)))
        s.verdict = DEADLOG_TORN;
    /* Behind the break, a record that fits the stored checksum before it still tells what was
     * synced. */
    for (size_t i = at + 1; i < total; i++) {
        uint32_t before = load_u32le(records.p + i * DEADLOG_RECORD - 4);
        if (deadlog_record_decode(records.p + i * DEADLOG_RECORD, &before, &rec) &&
            rec.durable <= i)
            s.durable = KT_MAX(s.durable, rec.durable);
    }
    if (s.durable > s.records)
        s.verdict = DEADLOG_DAMAGED;
    *ret = s;
}
