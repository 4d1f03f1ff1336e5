#include "base/enc.h"
#include "format/index_file.h"
#include "format/superblock.h"
#include "format_test.h"

static const struct index_head expect_open = {
    .uuid = {1, 2, 3}, .vid = 4, .generation = 1, .first_seq = 128, .log_end = 1u << 20};

static void fill_entries(uint64_t *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        entries[i] = index_entry(VOLUME_LOG_START + 80ull * i, i % 5 == 4 ? 0 : 80, 0);
}

static void entries_pack_exactly(void **state)
{
    (void)state;
    uint64_t e =
        index_entry(VOLUME_LIMIT_MAX - 8, needle_size(NEEDLE_DATA_MAX, NEEDLE_META_MAX), 0xa5);
    assert_true(index_entry_offset(e) == VOLUME_LIMIT_MAX - 8);
    assert_true(index_entry_size(e) == needle_size(NEEDLE_DATA_MAX, NEEDLE_META_MAX));
    assert_int_equal(index_entry_flags(e), 0xa5);
}

static bool accepts_open(const uint8_t *p, size_t len)
{
    struct index_head h;
    return index_open_decode(slice_of(p, len), &expect_open, &h) == 0;
}

static void open_record_round_trips(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    uint64_t entries[COUNT];
    fill_entries(entries, COUNT);
    struct index_head h = expect_open, back;
    h.count = COUNT;
    h.log_end = VOLUME_LOG_START + 80 * COUNT;
    uint8_t out[INDEX_HEAD + 8 * COUNT + 16] = {0};
    entries[3] |= UINT64_C(1) << 56; /* a flag of memory: not written */
    index_open_encode(&h, entries, out);
    assert_int_equal(index_open_decode(slice_of(out, sizeof(out)), &expect_open, &back), 0);
    assert_int_equal(back.count, COUNT);
    assert_true(back.log_end == h.log_end);
    assert_true(load_u64le(out + INDEX_HEAD + 24) == (entries[3] & ((UINT64_C(1) << 56) - 1)));
    assert_int_equal(count_undetected(out, index_open_size(COUNT), accepts_open), 0);
    for (size_t cut = 0; cut < index_open_size(COUNT); cut++)
        assert_int_equal(index_open_decode(slice_of(out, cut), &expect_open, &back), -KT_ERR_AGAIN);
}

static void open_record_must_fit_the_volume(void **state)
{
    (void)state;
    uint64_t entries[8];
    fill_entries(entries, 8);
    struct index_head h = expect_open, back;
    h.count = 8;
    uint8_t out[INDEX_HEAD + 64];
    index_open_encode(&h, entries, out);
    struct index_head other[5] = {expect_open, expect_open, expect_open, expect_open, expect_open};
    other[0].uuid[0]++;
    other[1].vid++;
    other[2].generation++;
    other[3].first_seq++;
    other[4].log_end--; /* the log is shorter than the record says */
    for (size_t i = 0; i < KT_ARRAY_LEN(other); i++)
        assert_int_equal(index_open_decode(slice_of(out, sizeof(out)), &other[i], &back),
                         -KT_ERR_CORRUPT);
    assert_int_equal(index_open_decode(slice_of(out, sizeof(out)), &expect_open, &back), 0);
    uint64_t keep = entries[2];
    entries[2] = index_entry(0, 80, 0); /* before the log */
    index_open_encode(&h, entries, out);
    assert_int_equal(index_open_decode(slice_of(out, sizeof(out)), &expect_open, &back),
                     -KT_ERR_CORRUPT);
    entries[2] = index_entry(2u << 20, 80, 0); /* behind the log */
    index_open_encode(&h, entries, out);
    assert_int_equal(index_open_decode(slice_of(out, sizeof(out)), &expect_open, &back),
                     -KT_ERR_CORRUPT);
    entries[2] = keep;
}

/* 100 seqs in two blocks; seq 10 is an exception, every fifth is missing. */
struct sealed_example {
    uint8_t bytes[INDEX_HEAD + 2 * sizeof(struct index_block) + 2 * sizeof(struct index_exception)];
    struct index_head head;
};

static void build_sealed(struct sealed_example *x, uint32_t exception_seq)
{
    struct index_block blocks[2] = {{0}};
    uint64_t at = VOLUME_LOG_START / 8;
    for (uint32_t seq = 0; seq < 100; seq++) {
        if (seq % 64 == 0)
            blocks[seq / 64].base = at;
        uint32_t span = seq % 5 == 4 ? 0 : seq == 10 ? 70000 : 10;
        blocks[seq / 64].span[seq % 64] = (uint16_t)(span > 0xfffe ? INDEX_SPAN_EXCEPTION : span);
        at += span;
    }
    struct index_exception exc = {.seq = exception_seq, .span = 70000};
    x->head = (struct index_head){.uuid = {1, 2, 3},
                                  .vid = 4,
                                  .generation = 1,
                                  .count = 100,
                                  .log_end = at * 8,
                                  .exceptions = 1};
    memcpy(x->bytes + INDEX_HEAD, blocks, sizeof(blocks));
    memcpy(x->bytes + INDEX_HEAD + sizeof(blocks), &exc, sizeof(exc));
    index_sealed_encode(&x->head, x->bytes + INDEX_HEAD, x->bytes);
}

static struct sealed_example sealed_x;
#define SEALED_LEN (INDEX_HEAD + 2 * sizeof(struct index_block) + sizeof(struct index_exception))

static bool accepts_sealed(const uint8_t *p, size_t len)
{
    struct index_head h;
    return index_sealed_decode(slice_of(p, len), &sealed_x.head, &h) == 0;
}

static void sealed_form_round_trips(void **state)
{
    (void)state;
    struct index_head back;
    build_sealed(&sealed_x, 10);
    assert_int_equal(SEALED_LEN, INDEX_HEAD + index_sealed_body(100, 1));
    assert_int_equal(
        index_sealed_decode(slice_of(sealed_x.bytes, SEALED_LEN), &sealed_x.head, &back), 0);
    assert_int_equal(back.count, 100);
    assert_int_equal(back.exceptions, 1);
    assert_int_equal(count_undetected(sealed_x.bytes, SEALED_LEN, accepts_sealed), 0);
    for (size_t cut = 0; cut < SEALED_LEN; cut++)
        assert_false(accepts_sealed(sealed_x.bytes, cut));
    assert_false(accepts_sealed(sealed_x.bytes, SEALED_LEN + 1));
}

static void sealed_form_never_points_outside_the_log(void **state)
{
    (void)state;
    struct index_head back, expect;
    build_sealed(&sealed_x, 11); /* the exception table lacks seq 10 */
    assert_false(accepts_sealed(sealed_x.bytes, SEALED_LEN));
    build_sealed(&sealed_x, 10);
    expect = sealed_x.head;
    expect.log_end -= 8;
    assert_int_equal(index_sealed_decode(slice_of(sealed_x.bytes, SEALED_LEN), &expect, &back),
                     -KT_ERR_CORRUPT);
    sealed_x.head.log_end -= 8; /* a header that agrees, over blocks that reach further */
    index_sealed_encode(&sealed_x.head, sealed_x.bytes + INDEX_HEAD, sealed_x.bytes);
    assert_false(accepts_sealed(sealed_x.bytes, SEALED_LEN));
    build_sealed(&sealed_x, 10);
    store_u64le(sealed_x.bytes + INDEX_HEAD + sizeof(struct index_block),
                5); /* second block before the first */
    index_sealed_encode(&sealed_x.head, sealed_x.bytes + INDEX_HEAD, sealed_x.bytes);
    assert_false(accepts_sealed(sealed_x.bytes, SEALED_LEN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_pack_exactly),
        cmocka_unit_test(open_record_round_trips),
        cmocka_unit_test(open_record_must_fit_the_volume),
        cmocka_unit_test(sealed_form_round_trips),
        cmocka_unit_test(sealed_form_never_points_outside_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
