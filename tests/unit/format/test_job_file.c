#include "base/crc32c.h"
#include "base/enc.h"
#include "format/job_file.h"
#include "format_test.h"

static const struct job_file expect = {.uuid = {4, 5, 6}, .vid = 77};
#define COUNT 77u

static bool accepts(const uint8_t *p, size_t len)
{
    struct job_file j;
    return job_file_decode(slice_of(p, len), &expect, &j) == 0;
}

static void build(uint8_t *out)
{
    struct job_file j = expect;
    j.job_id = 99;
    j.from_generation = 1;
    j.to_generation = 2;
    j.source_length = 1u << 20;
    j.created_ms = 1700000000000;
    j.count = COUNT;
    j.live_bytes = 4096;
    memset(out, 0, job_file_size(COUNT));
    for (seq_t s = 0; s < COUNT; s += 3, j.drops++)
        job_file_set_drop(out, s);
    job_file_encode(&j, out);
}

static void round_trips_and_detects_every_bit_flip(void **state)
{
    (void)state;
    uint8_t out[JOB_FILE_HEAD + 16];
    build(out);
    struct slice in = slice_of(out, job_file_size(COUNT));
    struct job_file back;
    assert_int_equal(job_file_decode(in, &expect, &back), 0);
    assert_int_equal(back.job_id, 99);
    assert_int_equal(back.from_generation, 1);
    assert_int_equal(back.to_generation, 2);
    assert_int_equal(back.source_length, 1u << 20);
    assert_int_equal(back.live_bytes, 4096);
    assert_int_equal(back.count, COUNT);
    assert_int_equal(back.drops, 26);
    for (seq_t s = 0; s < COUNT + 20; s++)
        assert_int_equal(job_file_drops(in, s), s < COUNT && s % 3 == 0);
    assert_int_equal(count_undetected(out, in.len, accepts), 0);
    for (size_t cut = 0; cut < in.len; cut++)
        assert_false(accepts(out, cut));
}

static void refuses_a_drop_list_that_does_not_add_up(void **state)
{
    (void)state;
    uint8_t out[JOB_FILE_HEAD + 16];
    size_t len = job_file_size(COUNT);
    build(out);
    out[JOB_FILE_HEAD + 9] |= 0x80; /* a bit beyond count */
    store_u32le(out + 4, crc32c(0, out + 8, len - 8));
    assert_false(accepts(out, len));
    build(out);
    store_u32le(out + 68, 25);
    store_u32le(out + 4, crc32c(0, out + 8, len - 8));
    assert_false(accepts(out, len));
    build(out);
    store_u32le(out + 64, UINT32_MAX);
    store_u32le(out + 4, crc32c(0, out + 8, len - 8));
    assert_false(accepts(out, len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_and_detects_every_bit_flip),
        cmocka_unit_test(refuses_a_drop_list_that_does_not_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
