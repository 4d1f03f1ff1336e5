/* format/deadlog: the bytes of dead.log: which needles of a disk's volumes are deleted.
 *
 * A header block, then records of 32 bytes. Each record's checksum starts from the one before it
 * (the first from the header's), so that records can't be lost, swapped or taken over from another
 * log unnoticed. `durable` in a record is the number of records known synced when it was written:
 * what a scan finds broken above the highest such mark is a torn, never acknowledged tail and is
 * cut; what is broken below it is damage, and then no volume of the disk may say what is deleted. A
 * record with vid 0 is a mark that carries only `durable`.
 *
 * Zeros behind the last record are space kept for records to come, so that a full disk still takes
 * deletes.
 *
 * The counter of a needle rises with each delete and undelete: odd means dead; of several records
 * the one with the highest counter counts, so that replaying twice changes nothing.
 *
 * Header, little endian, one block of 4096 bytes:
 *     0   8  magic "KTNDEAD\n"           16  16  uuid, of the disk
 *     8   4  version (1)                 32   8  instance, rises by one with each fold
 *    12   4  zero                      4092   4  crc of bytes 0..4091
 * Record i at 4096 + 32 * i:
 *     0   4  vid (0: a mark)             20   4  durable, in records
 *     4   4  seq                         24   4  time, Unix seconds of the delete or undelete
 *     8   8  cookie                      28   4  crc: CRC32C of bytes 0..27, seeded with the
 *    16   4  counter                            record's before (header's for record 0)
 *
 * Pure functions on bytes, any thread, never yield, no allocation.
 */
#ifndef KT_FORMAT_DEADLOG_H
#define KT_FORMAT_DEADLOG_H

#include "format/blobid.h"
#include "format/block.h"

#define DEADLOG_START 4096u
#define DEADLOG_RECORD 32u
#define DEADLOG_VERSION 1u

struct deadlog_head {
    uint8_t uuid[UUID_BYTES]; /* of the disk */
    uint64_t instance;
};

struct deadlog_record {
    struct blobid id;
    uint32_t counter; /* odd: dead */
    uint32_t durable; /* records known synced when this was written */
    uint32_t time_s;  /* Unix */
};

/* Both return the checksum that the first record chains to. Decode errors: CORRUPT, FORMAT. */
uint32_t deadlog_head_encode(const struct deadlog_head *head, uint8_t out[BLOCK_SIZE]);
int deadlog_head_decode(struct slice in, struct deadlog_head *ret,
                        uint32_t *ret_chain) KT_MUST_CHECK;

/* Writes one record that follows `chain`; returns the new chain. */
uint32_t deadlog_record_encode(const struct deadlog_record *rec, uint32_t chain,
                               uint8_t out[DEADLOG_RECORD]);
/* Reads the record at `in` (>= 32 bytes) and advances *chain; false when it doesn't follow. */
bool deadlog_record_decode(const uint8_t *in, uint32_t *chain,
                           struct deadlog_record *ret) KT_MUST_CHECK;

enum deadlog_verdict {
    DEADLOG_CLEAN,   /* every byte is a valid record, or a zero behind the last one */
    DEADLOG_TORN,    /* bytes behind the valid records that nothing vouches for: cut them */
    DEADLOG_DAMAGED, /* a record is broken that a later one knows to be synced */
};

struct deadlog_scan {
    enum deadlog_verdict verdict;
    uint32_t records; /* valid ones from the start */
    uint32_t chain;   /* behind the last of them */
    uint32_t durable; /* highest mark seen anywhere */
};

/* Classifies a whole file: `records` is what follows the header, `chain` what deadlog_head_decode
 * gave. A single record behind a break is recognised by the stored checksum before it. */
void deadlog_scan(struct slice records, uint32_t chain, struct deadlog_scan *ret);

#endif
