#include "format/scrub_file.h"
#include "format_test.h"

static const uint8_t uuid[16] = {3, 2, 1};

static bool accepts(const uint8_t *p, size_t len)
{
    return scrub_file_decode(slice_of(p, len), uuid) >= 0;
}

static void round_trips_and_detects_every_bit_flip(void **state)
{
    (void)state;
    const struct scrub_time times[] = {{1, 100}, {7, 50}, {UINT32_MAX, 9}};
    uint8_t out[SCRUB_FILE_HEAD + sizeof(times) + 1];
    scrub_file_encode(uuid, times, 3, out);
    struct slice in = slice_of(out, scrub_file_size(3));
    assert_int_equal(scrub_file_decode(in, uuid), 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct scrub_time t = scrub_file_time(in, i);
        assert_memory_equal(&t, &times[i], sizeof(t));
    }
    assert_int_equal(count_undetected(out, in.len, accepts), 0);
    for (size_t cut = 0; cut < in.len; cut++)
        assert_false(accepts(out, cut));
    assert_false(accepts(out, in.len + 1));
    const uint8_t other[16] = {3, 2, 2};
    assert_int_equal(scrub_file_decode(in, other), -KT_ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trips_and_detects_every_bit_flip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
