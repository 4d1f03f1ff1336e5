#include "format/deadlog.h"
#include "format_test.h"

#define GROUP 8u /* records per synced group in the example */

/* A log of `n` records; each knows the groups before its own to be synced. */
static uint32_t build(uint8_t *out, uint32_t n)
{
    struct deadlog_head head = {.uuid = {1, 2}, .instance = 5};
    uint8_t block[BLOCK_SIZE];
    uint32_t first = deadlog_head_encode(&head, block), chain = first;
    for (uint32_t i = 0; i < n; i++) {
        struct deadlog_record r = {.id = {7, i * 3, 0x1111 * i},
                                   .counter = 1,
                                   .durable = i / GROUP * GROUP,
                                   .time_s = 1700000000};
        chain = deadlog_record_encode(&r, chain, out + i * DEADLOG_RECORD);
    }
    return first;
}

static bool accepts_head(const uint8_t *p, size_t len)
{
    struct deadlog_head h;
    uint32_t chain;
    return deadlog_head_decode(slice_of(p, len), &h, &chain) == 0;
}

static void header_round_trips(void **state)
{
    (void)state;
    struct deadlog_head head = {.uuid = {9, 8, 7}, .instance = 12}, back;
    uint8_t block[BLOCK_SIZE];
    uint32_t chain = deadlog_head_encode(&head, block), chain_back;
    assert_int_equal(deadlog_head_decode(slice_of(block, sizeof(block)), &back, &chain_back), 0);
    assert_int_equal(chain, chain_back);
    assert_int_equal(back.instance, 12);
    assert_memory_equal(back.uuid, head.uuid, UUID_BYTES);
    assert_int_equal(count_undetected(block, sizeof(block), accepts_head), 0);
    head.instance = 13; /* records of the log before a fold don't chain to the new one */
    assert_int_not_equal(deadlog_head_encode(&head, block), chain);
}

static void records_round_trip_in_their_chain_only(void **state)
{
    (void)state;
    uint8_t log[4 * DEADLOG_RECORD];
    uint32_t chain = build(log, 4), start = chain;
    struct deadlog_record r;
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(deadlog_record_decode(log + i * DEADLOG_RECORD, &chain, &r));
        assert_int_equal(r.id.vid, 7);
        assert_int_equal(r.id.seq, i * 3);
        assert_int_equal(r.id.cookie, 0x1111 * i);
        assert_int_equal(r.counter, 1);
        assert_int_equal(r.time_s, 1700000000);
    }
    assert_false(deadlog_record_decode(log + DEADLOG_RECORD, &start, &r)); /* out of order */
    for (size_t bit = 0; bit < 8 * DEADLOG_RECORD; bit++) {
        uint32_t at = start;
        log[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(deadlog_record_decode(log, &at, &r));
        assert_int_equal(at, start);
        log[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void scan_of_a_whole_log_is_clean(void **state)
{
    (void)state;
    uint8_t log[32 * DEADLOG_RECORD];
    uint32_t chain = build(log, 32);
    struct deadlog_scan s;
    deadlog_scan(slice_of(log, sizeof(log)), chain, &s);
    assert_int_equal(s.verdict, DEADLOG_CLEAN);
    assert_int_equal(s.records, 32);
    assert_int_equal(s.durable, 24);
    deadlog_scan(slice_of(log, 0), chain, &s);
    assert_int_equal(s.verdict, DEADLOG_CLEAN);
    assert_int_equal(s.records, 0);
    assert_int_equal(s.chain, chain);
}

/* The last group is unsynced: any damage within it is a torn tail, and the cut keeps what lies
 * before. */
static void scan_cuts_a_torn_tail(void **state)
{
    (void)state;
    uint8_t log[32 * DEADLOG_RECORD];
    struct deadlog_scan s;
    for (uint32_t broken = 24; broken < 32; broken++) {
        uint32_t chain = build(log, 32);
        memset(log + broken * DEADLOG_RECORD, 0xff, DEADLOG_RECORD);
        deadlog_scan(slice_of(log, sizeof(log)), chain, &s);
        assert_int_equal(s.verdict, DEADLOG_TORN);
        assert_int_equal(s.records, broken);
        /* Zeros are space kept for later, not a torn record. */
        memset(log + broken * DEADLOG_RECORD, 0, sizeof(log) - broken * DEADLOG_RECORD);
        deadlog_scan(slice_of(log, sizeof(log)), chain, &s);
        assert_int_equal(s.verdict, DEADLOG_CLEAN);
        assert_int_equal(s.records, broken);
    }
    for (size_t cut = 31 * DEADLOG_RECORD + 1; cut < sizeof(log); cut++) {
        uint32_t chain = build(log, 32);
        deadlog_scan(slice_of(log, cut), chain, &s);
        assert_int_equal(s.verdict, DEADLOG_TORN);
        assert_int_equal(s.records, 31);
    }
}

/* Every bit below the mark of a later record: damage, never a cut. */
static void scan_calls_damage_below_the_mark_damage(void **state)
{
    (void)state;
    uint8_t log[32 * DEADLOG_RECORD];
    uint32_t chain = build(log, 32);
    struct deadlog_scan s;
    for (size_t bit = 0; bit < 24ul * DEADLOG_RECORD * 8; bit++) {
        log[bit / 8] ^= (uint8_t)(1u << bit % 8);
        deadlog_scan(slice_of(log, sizeof(log)), chain, &s);
        if (s.verdict != DEADLOG_DAMAGED || s.records != bit / 8 / DEADLOG_RECORD)
            fail_msg("bit %zu: verdict %d, %u records", bit, (int)s.verdict, s.records);
        log[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* A whole block of zeros in the middle. */
    memset(log + 4 * DEADLOG_RECORD, 0, 10 * DEADLOG_RECORD);
    deadlog_scan(slice_of(log, sizeof(log)), chain, &s);
    assert_int_equal(s.verdict, DEADLOG_DAMAGED);
    assert_int_equal(s.records, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_round_trips),
        cmocka_unit_test(records_round_trip_in_their_chain_only),
        cmocka_unit_test(scan_of_a_whole_log_is_clean),
        cmocka_unit_test(scan_cuts_a_torn_tail),
        cmocka_unit_test(scan_calls_damage_below_the_mark_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
