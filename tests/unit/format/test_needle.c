#include "base/enc.h"
#include "base/fault.h"
#include "format/needle.h"
#include "format_test.h"

#define AT 12288u

/* Builds a whole needle on the heap: header, meta, table, data, padding. */
static uint8_t *build(uint32_t data_len, size_t meta_tags, uint64_t offset, size_t *ret_size)
{
    uint8_t meta[256];
    size_t meta_len = 0;
    for (size_t i = 0; i < meta_tags; i++)
        assert_int_equal(
            needle_meta_add(meta, sizeof(meta), &meta_len, TAG_NAME, SLICE_LIT("name")), 0);
    size_t size = (size_t)needle_size(data_len, (uint16_t)meta_len);
    uint8_t *p = calloc(1, size);
    assert_non_null(p);
    uint8_t *data = p + needle_data_at(data_len, (uint16_t)meta_len);
    fill_bytes(data, data_len, data_len + 1);
    struct slice piece = slice_of(data, data_len);
    struct needle_info n = {
        .seq = 77,
        .bucket = 5,
        .epoch = 2,
        .durable = offset - 64,
        .offset = offset,
        .data_len = data_len,
        .kind = NEEDLE_DATA,
        .flags = NEEDLE_F_FIRST,
        .version = 0x1122334455667788,
        .cookie = 0x99aabbccddeeff00,
    };
    n.data_crc = needle_data_crc(&piece, 1, data_len, p + NEEDLE_HEADER + meta_len);
    needle_encode(&n, &test_place, slice_of(meta, meta_len), p);
    *ret_size = size;
    return p;
}

static void round_trips_at_every_boundary_size(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {
        0,        1, 7, 8, 9, 1024, 65535, 65536, 65537, 131072, 131073, 1u << 20, (64u << 20) - 1,
        64u << 20};
    for (size_t i = 0; i < KT_ARRAY_LEN(sizes); i++) {
        size_t size;
        uint8_t *p = build(sizes[i], i % 3, AT, &size);
        struct needle_info n;
        assert_int_equal(size % NEEDLE_ALIGN, 0);
        assert_int_equal(needle_verify(slice_of(p, size), AT, &test_place, &n), 0);
        assert_int_equal(n.data_len, sizes[i]);
        assert_int_equal(n.seq, 77);
        assert_int_equal(n.bucket, 5);
        assert_int_equal(n.epoch, 2);
        assert_int_equal(n.durable, AT - 64);
        assert_int_equal(n.offset, AT);
        assert_int_equal(n.kind, NEEDLE_DATA);
        assert_int_equal(n.flags, NEEDLE_F_FIRST);
        assert_int_equal(n.generation, test_place.generation);
        assert_true(n.version == 0x1122334455667788 && n.cookie == 0x99aabbccddeeff00);
        assert_int_equal(needle_head_len(slice_of(p, NEEDLE_HEADER)), NEEDLE_HEADER + n.meta_len);
        assert_int_equal(needle_verify(slice_of(p, size - 1), AT, &test_place, &n), -KT_ERR_AGAIN);
        free(p);
    }
}

static bool accepts_needle(const uint8_t *p, size_t len)
{
    struct needle_info n;
    return needle_verify(slice_of(p, len), AT, &test_place, &n) == 0;
}

static void detects_every_single_bit_flip(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 5, 1001};
    for (size_t i = 0; i < KT_ARRAY_LEN(sizes); i++) {
        size_t size;
        uint8_t *p = build(sizes[i], 2, AT, &size);
        assert_true(accepts_needle(p, size));
        assert_int_equal(count_undetected(p, size, accepts_needle), 0);
        free(p);
    }
}

/* Too many bits to flip each: all of header, table and padding, and one bit in every 97th data
 * byte. */
static void detects_flips_in_a_needle_of_several_blocks(void **state)
{
    (void)state;
    size_t size;
    uint8_t *p = build(150001, 1, AT, &size);
    size_t data_at = (size_t)needle_data_at(150001, 7);
    assert_int_equal(count_undetected(p, data_at, accepts_needle), 0);
    for (size_t i = data_at; i < size; i += i + 97 < size ? 97 : 1) {
        p[i] ^= 0x10;
        if (accepts_needle(p, size))
            fail_msg("byte %zu changes unnoticed", i);
        p[i] ^= 0x10;
    }
    free(p);
}

static void is_bound_to_its_place(void **state)
{
    (void)state;
    size_t size;
    uint8_t *p = build(100, 1, AT, &size);
    struct slice in = slice_of(p, size);
    struct needle_info n;
    for (uint64_t shift = 8; shift <= 1u << 20; shift *= 2)
        assert_int_equal(needle_verify(in, AT + shift, &test_place, &n), -KT_ERR_CORRUPT);
    struct needle_place other = test_place;
    other.generation++;
    assert_int_equal(needle_verify(in, AT, &other, &n), -KT_ERR_CORRUPT);
    other = test_place;
    other.secret ^= 1;
    assert_int_equal(needle_verify(in, AT, &other, &n), -KT_ERR_CORRUPT);
    for (size_t i = 0; i < sizeof(other.uuid); i++) {
        other = test_place;
        other.uuid[i] ^= 0x80;
        assert_int_equal(needle_verify(in, AT, &other, &n), -KT_ERR_CORRUPT);
    }
    assert_int_equal(needle_verify(in, AT, &test_place, &n), 0);
    free(p);
}

static void refuses_zeros_and_claims_beyond_the_limits(void **state)
{
    (void)state;
    uint8_t zeros[4096] = {0};
    struct needle_info n;
    assert_int_equal(needle_decode(slice_of(zeros, sizeof(zeros)), AT, &test_place, &n),
                     -KT_ERR_CORRUPT);
    size_t size;
    uint8_t *p = build(16, 0, AT, &size);
    store_u32le(p + 24, NEEDLE_DATA_MAX + 1);
    assert_int_equal(needle_decode(slice_of(p, size), AT, &test_place, &n), -KT_ERR_CORRUPT);
    store_u32le(p + 24, 16);
    store_u16le(p + 28, NEEDLE_META_MAX + 1);
    assert_int_equal(needle_decode(slice_of(p, size), AT, &test_place, &n), -KT_ERR_CORRUPT);
    store_u16le(p + 28, NEEDLE_META_MAX);
    assert_int_equal(needle_decode(slice_of(p, size), AT, &test_place, &n), -KT_ERR_AGAIN);
    assert_int_equal(needle_decode(slice_of(p, NEEDLE_HEADER - 1), AT, &test_place, &n),
                     -KT_ERR_AGAIN);
    free(p);
}

static void data_crc_does_not_depend_on_the_pieces(void **state)
{
    (void)state;
    const uint32_t len = 200000;
    uint8_t *data = malloc(len), whole_table[16], table[16];
    fill_bytes(data, len, 9);
    struct slice whole = slice_of(data, len);
    uint32_t crc = needle_data_crc(&whole, 1, len, whole_table);
    static const uint32_t cuts[] = {1, 65535, 65536, 65537, 131072, 199999};
    for (size_t i = 0; i < KT_ARRAY_LEN(cuts); i++) {
        struct slice pieces[3] = {slice_of(data, cuts[i]), slice_of(NULL, 0),
                                  slice_of(data + cuts[i], len - cuts[i])};
        memset(table, 0, sizeof(table));
        assert_int_equal(needle_data_crc(pieces, 3, len, table), crc);
        assert_memory_equal(table, whole_table, sizeof(table));
    }
    for (uint32_t b = 0; b < needle_blocks(len); b++) {
        struct slice block = slice_sub(whole, b * NEEDLE_BLOCK, NEEDLE_BLOCK);
        assert_int_equal(needle_check_block(slice_of(table, 16), b, block), 0);
        assert_int_equal(needle_check_block(slice_of(table, 16), b, slice_sub(block, 1, block.len)),
                         -KT_ERR_CORRUPT);
    }
    struct needle_info n = {.data_len = len, .data_crc = crc};
    assert_int_equal(needle_check_table(&n, slice_of(table, 16)), 0);
    table[5] ^= 1;
    assert_int_equal(needle_check_table(&n, slice_of(table, 16)), -KT_ERR_CORRUPT);
    assert_int_equal(needle_check_table(&n, slice_of(table, 12)), -KT_ERR_CORRUPT);
    free(data);
}

static void meta_tags_round_trip_and_stay_within_their_room(void **state)
{
    (void)state;
    static uint8_t meta[NEEDLE_META_MAX];
    size_t len = 0, at = 0;
    assert_int_equal(needle_meta_add(meta, sizeof(meta), &len, TAG_NAME, SLICE_LIT("a/b.png")), 0);
    assert_int_equal(needle_meta_add(meta, sizeof(meta), &len, TAG_USER, slice_of(NULL, 0)), 0);
    assert_int_equal(
        needle_meta_add(meta, sizeof(meta), &len, TAG_CONTENT_TYPE, SLICE_LIT("image/png")), 0);
    struct slice v;
    uint8_t tag;
    assert_int_equal(needle_meta_next(slice_of(meta, len), &at, &tag, &v), 1);
    assert_int_equal(tag, TAG_NAME);
    assert_true(slice_eq(v, SLICE_LIT("a/b.png")));
    assert_int_equal(needle_meta_next(slice_of(meta, len), &at, &tag, &v), 1);
    assert_int_equal(v.len, 0);
    assert_int_equal(needle_meta_next(slice_of(meta, len), &at, &tag, &v), 1);
    assert_int_equal(needle_meta_next(slice_of(meta, len), &at, &tag, &v), 0);
    assert_true(needle_meta_find(slice_of(meta, len), TAG_CONTENT_TYPE, &v));
    assert_true(slice_eq(v, SLICE_LIT("image/png")));
    assert_false(needle_meta_find(slice_of(meta, len), TAG_EXPIRES, &v));
    for (size_t cut = 1; cut < len; cut++) {
        int rc = 1;
        for (at = 0; rc == 1;)
            rc = needle_meta_next(slice_of(meta, cut), &at, &tag, &v);
        if (cut != 10 && cut != 13)
            assert_int_equal(rc, -KT_ERR_CORRUPT);
    }
    static uint8_t big[NEEDLE_META_MAX];
    size_t used = 0;
    assert_int_equal(
        needle_meta_add(meta, sizeof(meta), &used, TAG_USER, slice_of(big, NEEDLE_META_MAX - 2)),
        -KT_ERR_TOO_LARGE);
    assert_int_equal(used, 0);
    assert_int_equal(
        needle_meta_add(meta, sizeof(meta), &used, TAG_USER, slice_of(big, NEEDLE_META_MAX - 3)),
        0);
    assert_int_equal(needle_meta_add(meta, sizeof(meta), &used, TAG_USER, slice_of(NULL, 0)),
                     -KT_ERR_TOO_LARGE);
}

#ifdef KT_FAULTS
static void planted_bug_crc_data_only_lets_header_damage_through(void **state)
{
    (void)state;
    size_t size;
    uint8_t *p = build(64, 0, AT, &size);
    p[40] ^= 1; /* the cookie */
    struct needle_info n;
    assert_int_equal(needle_verify(slice_of(p, size), AT, &test_place, &n), -KT_ERR_CORRUPT);
    assert_int_equal(fault_set_bug("crc_data_only"), 0);
    assert_int_equal(needle_verify(slice_of(p, size), AT, &test_place, &n), 0);
    fault_bug = BUG_NONE;
    free(p);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_at_every_boundary_size),
        cmocka_unit_test(detects_every_single_bit_flip),
        cmocka_unit_test(detects_flips_in_a_needle_of_several_blocks),
        cmocka_unit_test(is_bound_to_its_place),
        cmocka_unit_test(refuses_zeros_and_claims_beyond_the_limits),
        cmocka_unit_test(data_crc_does_not_depend_on_the_pieces),
        cmocka_unit_test(meta_tags_round_trip_and_stay_within_their_room),
#ifdef KT_FAULTS
        cmocka_unit_test(planted_bug_crc_data_only_lets_header_damage_through),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
