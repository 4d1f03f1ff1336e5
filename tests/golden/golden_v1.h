/* golden_v1: the files of a small data directory of format 1, built from fixed inputs.
 *
 * tests/golden/v1/ holds what the first release wrote. make_golden_v1 wrote it once; test_golden_v1
 * checks that the encoders still give the same bytes and that the decoders still read the committed
 * ones. The committed files are never regenerated: a later format gets a directory of its own.
 */
#ifndef KT_TESTS_GOLDEN_V1_H
#define KT_TESTS_GOLDEN_V1_H

#include "format/dead_file.h"
#include "format/deadlog.h"
#include "format/disk_label.h"
#include "format/index_file.h"
#include "format/job_file.h"
#include "format/needle.h"
#include "format/superblock.h"
#include <stdlib.h>

#define GOLDEN_VID 0xbeefu
#define GOLDEN_NEEDLES 6u
#define GOLDEN_FILE_MAX 262144u
#define GOLDEN_COOKIE 0xc00c1e0000000000u

static const uint32_t golden_sizes[GOLDEN_NEEDLES] = {0, 5, 300, 4096, 65536, 70001};
static const char *const golden_files[] = {
    "disk",         "0000beef.vol", "0000beef.idx",     "0000beef.dead",
    "0000beef.job", "dead.log",     "0000beef.open-idx"};

static inline void golden_uuid(uint8_t uuid[16], uint8_t first)
{
    for (uint8_t i = 0; i < 16; i++)
        uuid[i] = (uint8_t)(first + i);
}

/* Byte `i` of the data of needle `seq`. */
static inline uint8_t golden_byte(uint32_t seq, uint32_t i)
{
    return (uint8_t)(i * 31 + i / 256 * 7 + seq * 101);
}

static inline struct superblock golden_superblock(void)
{
    struct superblock sb = {
        .vid = GOLDEN_VID,
        .secret = 0x5ec2e7,
        .policy = 1,
        .limit_bytes = 256u << 20,
        .created_ms = 1767225600000,
    };
    golden_uuid(sb.cell, 0x10);
    golden_uuid(sb.uuid, 0x40);
    return sb;
}

static inline struct state_slot golden_slot(uint64_t counter, uint8_t state, uint64_t sealed_length)
{
    struct state_slot s = {
        .counter = counter,
        .vid = GOLDEN_VID,
        .epoch = 1,
        .generation = 2,
        .state = state,
        .nreplicas = 1,
        .nhistory = 1,
        .sealed_length = sealed_length,
        .changed_ms = 1767225660000 + counter,
        .history = {{1, VOLUME_LOG_START}},
    };
    golden_uuid(s.uuid, 0x40);
    golden_uuid(s.replicas[0], 0x70);
    return s;
}

/* Writes needle `seq` at `out`, which lies at `offset` of the volume; returns its size. */
static inline size_t golden_needle(uint32_t seq, uint64_t offset, uint8_t *out)
{
    struct superblock sb = golden_superblock();
    struct needle_place place;
    uint8_t meta[128];
    size_t meta_len = 0;
    superblock_place(&sb, 2, &place);
    if (needle_meta_add(meta, sizeof(meta), &meta_len, TAG_NAME, SLICE_LIT("cat.png")) < 0 ||
        needle_meta_add(meta, sizeof(meta), &meta_len, TAG_CONTENT_TYPE, SLICE_LIT("image/png")) <
            0)
        abort();
    uint32_t len = golden_sizes[seq];
    uint8_t *data = out + needle_data_at(len, (uint16_t)meta_len);
    for (uint32_t i = 0; i < len; i++)
        data[i] = golden_byte(seq, i);
    struct slice piece = slice_of(data, len);
    struct needle_info n = {
        .seq = seq,
        .bucket = 3,
        .epoch = 1,
        .durable = seq < 3 ? VOLUME_LOG_START : offset,
        .offset = offset,
        .data_len = len,
        .kind = NEEDLE_DATA,
        .flags = seq % 3 == 0 ? NEEDLE_F_FIRST : 0,
        .version = 1000 + seq,
        .cookie = GOLDEN_COOKIE + seq,
    };
    n.data_crc = needle_data_crc(&piece, 1, len, out + NEEDLE_HEADER + meta_len);
    needle_encode(&n, &place, slice_of(meta, meta_len), out);
    return (size_t)needle_size(len, (uint16_t)meta_len);
}

/* The volume: six needles and a closing mark, sealed. Returns its size; offsets go to ret_at if
 * given. */
static inline size_t golden_volume(uint8_t *out, uint64_t *ret_at)
{
    struct superblock sb = golden_superblock();
    uint64_t at = VOLUME_LOG_START;
    for (uint32_t seq = 0; seq < GOLDEN_NEEDLES; seq++) {
        if (ret_at)
            ret_at[seq] = at;
        at += golden_needle(seq, at, out + at);
    }
    struct needle_place place;
    superblock_place(&sb, 2, &place);
    struct needle_info mark = {.seq = GOLDEN_NEEDLES,
                               .epoch = 1,
                               .durable = at,
                               .offset = at,
                               .kind = NEEDLE_MARK,
                               .flags = NEEDLE_F_FIRST};
    needle_encode(&mark, &place, slice_of(NULL, 0), out + at);
    at += NEEDLE_HEADER;
    struct state_slot open = golden_slot(1, VOLUME_OPEN, 0),
                      sealed = golden_slot(2, VOLUME_SEALED, at);
    superblock_encode(&sb, out);
    slot_encode(&open, out + VOLUME_SLOT_A);
    slot_encode(&sealed, out + VOLUME_SLOT_B);
    return (size_t)at;
}

static inline size_t golden_index(uint8_t *out, const uint64_t *at, uint64_t length, bool sealed)
{
    struct index_head h = {
        .vid = GOLDEN_VID, .generation = 2, .count = GOLDEN_NEEDLES, .log_end = length};
    struct index_block block = {.base = at[0] / 8};
    uint64_t entries[GOLDEN_NEEDLES];
    golden_uuid(h.uuid, 0x40);
    for (uint32_t i = 0; i < GOLDEN_NEEDLES; i++) {
        uint64_t end = i + 1 < GOLDEN_NEEDLES ? at[i + 1] : length - NEEDLE_HEADER;
        entries[i] = index_entry(at[i], end - at[i], 0);
        block.span[i] = (uint16_t)((end - at[i]) / 8);
    }
    if (!sealed) {
        index_open_encode(&h, entries, out);
        return index_open_size(h.count);
    }
    memcpy(out + INDEX_HEAD, &block, sizeof(block));
    index_sealed_encode(&h, out + INDEX_HEAD, out);
    return INDEX_HEAD + index_sealed_body(h.count, 0);
}

static inline size_t golden_dead_log(uint8_t *out)
{
    struct deadlog_head head = {.instance = 4};
    golden_uuid(head.uuid, 0x20);
    uint32_t chain = deadlog_head_encode(&head, out);
    for (uint32_t i = 0; i < 3; i++) {
        struct deadlog_record r = {.id = {GOLDEN_VID, 1, GOLDEN_COOKIE + 1},
                                   .counter = i + 1,
                                   .durable = i,
                                   .time_s = 1767225700 + i};
        chain = deadlog_record_encode(&r, chain, out + DEADLOG_START + DEADLOG_RECORD * i);
    }
    return DEADLOG_START + 3 * DEADLOG_RECORD;
}

/* Builds golden file `i` into `out` (GOLDEN_FILE_MAX zeroed bytes) and returns its size. */
static inline size_t golden_build(size_t i, uint8_t *out)
{
    static uint8_t volume[GOLDEN_FILE_MAX];
    uint64_t at[GOLDEN_NEEDLES];
    const struct dead_mark marks[] = {{1, 3, 1767225702}, {4, 2, 1767225650}};
    struct disk_label label = {
        .capacity_class = 7, .volume_limit_bytes = 256u << 20, .created_ms = 1767225600000};
    struct dead_file dead = {.vid = GOLDEN_VID, .count = 2};
    struct job_file job = {.vid = GOLDEN_VID,
                           .job_id = 11,
                           .from_generation = 2,
                           .to_generation = 3,
                           .created_ms = 1767225800000,
                           .count = GOLDEN_NEEDLES,
                           .drops = 2,
                           .live_bytes = 140000};
    job.source_length = golden_volume(volume, at);
    switch (i) {
    case 0:
        golden_uuid(label.uuid, 0x20);
        golden_uuid(label.cell, 0x10);
        golden_uuid(label.store, 0x70);
        disk_label_encode(&label, out);
        return BLOCK_SIZE;
    case 1:
        return golden_volume(out, NULL);
    case 2:
        return golden_index(out, at, job.source_length, true);
    case 3:
        golden_uuid(dead.uuid, 0x40);
        dead_file_encode(&dead, marks, out);
        return dead_file_size(2);
    case 4:
        golden_uuid(job.uuid, 0x40);
        job_file_set_drop(out, 1);
        job_file_set_drop(out, 3);
        job_file_encode(&job, out);
        return job_file_size(job.count);
    case 5:
        return golden_dead_log(out);
    default:
        return golden_index(out, at, job.source_length, false);
    }
}

#endif
