/* Files of format 1 decode for ever, and writing the same content gives the same bytes. */
#include "golden_v1.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static uint8_t stored[GOLDEN_FILE_MAX], built[GOLDEN_FILE_MAX];

static struct slice load(const char *name)
{
    char path[4096];
    const char *dir = getenv("GOLDEN_V1");
    assert_non_null(dir);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    memset(stored, 0, sizeof(stored));
    size_t len = fread(stored, 1, sizeof(stored), f);
    fclose(f);
    return slice_of(stored, len);
}

static void encoders_write_the_golden_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < KT_ARRAY_LEN(golden_files); i++) {
        struct slice want = load(golden_files[i]);
        memset(built, 0, sizeof(built));
        size_t len = golden_build(i, built);
        if (len != want.len || memcmp(built, want.p, len) != 0)
            fail_msg("%s is written differently now: a new format needs a new version",
                     golden_files[i]);
    }
}

static void volume_decodes(void **state)
{
    (void)state;
    struct slice v = load("0000beef.vol");
    struct superblock sb;
    struct state_slot slot;
    struct needle_place place;
    unsigned bad;
    assert_int_equal(superblock_decode(v, &sb), 0);
    assert_int_equal(sb.vid, GOLDEN_VID);
    assert_int_equal(slot_choose(slice_sub(v, VOLUME_SLOT_A, BLOCK_SIZE),
                                 slice_sub(v, VOLUME_SLOT_B, BLOCK_SIZE), &sb, &slot, &bad),
                     1);
    assert_int_equal(bad, 0);
    assert_int_equal(slot.state, VOLUME_SEALED);
    assert_int_equal(slot.sealed_length, v.len);
    superblock_place(&sb, slot.generation, &place);
    uint64_t at = VOLUME_LOG_START;
    for (uint32_t seq = 0; seq <= GOLDEN_NEEDLES; seq++) {
        struct needle_info n;
        struct slice rest = slice_sub(v, (size_t)at, v.len), name;
        assert_int_equal(needle_verify(rest, at, &place, &n), 0);
        assert_int_equal(n.seq, seq);
        assert_int_equal(n.kind, seq < GOLDEN_NEEDLES ? NEEDLE_DATA : NEEDLE_MARK);
        at += needle_size(n.data_len, n.meta_len);
        if (seq == GOLDEN_NEEDLES)
            break;
        assert_int_equal(n.data_len, golden_sizes[seq]);
        assert_true(n.cookie == GOLDEN_COOKIE + seq);
        assert_true(needle_meta_find(slice_sub(rest, NEEDLE_HEADER, n.meta_len), TAG_NAME, &name));
        assert_true(slice_eq(name, SLICE_LIT("cat.png")));
        struct slice data =
            slice_sub(rest, (size_t)needle_data_at(n.data_len, n.meta_len), n.data_len);
        for (uint32_t i = 0; i < n.data_len; i++)
            if (data.p[i] != golden_byte(seq, i))
                fail_msg("byte %u of needle %u", i, seq);
    }
    assert_int_equal(at, v.len);
}

static void the_other_files_decode(void **state)
{
    (void)state;
    struct disk_label label;
    assert_int_equal(disk_label_decode(load("disk"), &label), 0);
    assert_int_equal(label.uuid[0], 0x20);
    struct index_head head, expect = {.vid = GOLDEN_VID, .generation = 2};
    golden_uuid(expect.uuid, 0x40);
    expect.log_end = load("0000beef.vol").len;
    assert_int_equal(index_sealed_decode(load("0000beef.idx"), &expect, &head), 0);
    assert_int_equal(head.count, GOLDEN_NEEDLES);
    assert_int_equal(index_open_decode(load("0000beef.open-idx"), &expect, &head), 0);
    assert_int_equal(head.count, GOLDEN_NEEDLES);
    struct dead_file dead, dead_expect = {.vid = GOLDEN_VID};
    golden_uuid(dead_expect.uuid, 0x40);
    struct slice file = load("0000beef.dead");
    assert_int_equal(dead_file_decode(file, &dead_expect, &dead), 0);
    assert_int_equal(dead.count, 2);
    assert_int_equal(dead_file_mark(file, 1).seq, 4);
    struct job_file job, job_expect = {.vid = GOLDEN_VID};
    golden_uuid(job_expect.uuid, 0x40);
    file = load("0000beef.job");
    assert_int_equal(job_file_decode(file, &job_expect, &job), 0);
    assert_int_equal(job.to_generation, 3);
    assert_true(job_file_drops(file, 3) && !job_file_drops(file, 2));
    struct deadlog_head log_head;
    struct deadlog_scan scan;
    uint32_t chain;
    file = load("dead.log");
    assert_int_equal(deadlog_head_decode(file, &log_head, &chain), 0);
    deadlog_scan(slice_sub(file, DEADLOG_START, file.len), chain, &scan);
    assert_int_equal(scan.verdict, DEADLOG_CLEAN);
    assert_int_equal(scan.records, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoders_write_the_golden_bytes),
        cmocka_unit_test(volume_decodes),
        cmocka_unit_test(the_other_files_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
