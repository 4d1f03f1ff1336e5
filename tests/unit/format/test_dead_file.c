#include "base/crc32c.h"
#include "base/enc.h"
#include "format/dead_file.h"
#include "format_test.h"

static const struct dead_file expect = {.uuid = {4, 5, 6}, .vid = 77};

static bool accepts(const uint8_t *p, size_t len)
{
    struct dead_file f;
    return dead_file_decode(slice_of(p, len), &expect, &f) == 0;
}

static void round_trips_and_detects_every_bit_flip(void **state)
{
    (void)state;
    const struct dead_mark marks[] = {{0, 1, 100}, {5, 2, 200}, {UINT32_MAX, 3, 300}};
    struct dead_file f = expect, back;
    uint8_t out[DEAD_FILE_HEAD + 3 * DEAD_FILE_MARK + 1];
    f.count = 3;
    dead_file_encode(&f, marks, out);
    struct slice in = slice_of(out, dead_file_size(3));
    assert_int_equal(dead_file_decode(in, &expect, &back), 0);
    assert_int_equal(back.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct dead_mark m = dead_file_mark(in, i);
        assert_memory_equal(&m, &marks[i], sizeof(m));
    }
    assert_int_equal(count_undetected(out, in.len, accepts), 0);
    for (size_t cut = 0; cut < in.len; cut++)
        assert_false(accepts(out, cut));
    assert_false(accepts(out, in.len + 1));
    struct dead_file other = expect;
    other.vid++;
    assert_int_equal(dead_file_decode(in, &other, &back), -KT_ERR_CORRUPT);
    f.count = 0;
    dead_file_encode(&f, NULL, out);
    assert_int_equal(dead_file_decode(slice_of(out, DEAD_FILE_HEAD), &expect, &back), 0);
}

static void refuses_marks_out_of_order(void **state)
{
    (void)state;
    const struct dead_mark marks[] = {{1, 1, 1}, {2, 1, 1}};
    struct dead_file f = expect;
    uint8_t out[DEAD_FILE_HEAD + 2 * DEAD_FILE_MARK];
    f.count = 2;
    dead_file_encode(&f, marks, out);
    store_u32le(out + DEAD_FILE_HEAD, 2);
    store_u32le(out + 4, crc32c(0, out + 8, sizeof(out) - 8));
    assert_false(accepts(out, sizeof(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_and_detects_every_bit_flip),
        cmocka_unit_test(refuses_marks_out_of_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
