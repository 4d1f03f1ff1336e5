#include "format/superblock.h"
#include "format_test.h"

static struct superblock example_superblock(void)
{
    struct superblock sb = {
        .features = {1, 2, 4},
        .vid = 0xbeef,
        .secret = 0x12345678,
        .policy = 9,
        .expiry_class = 30,
        .limit_bytes = GIB(1),
        .created_ms = 1700000000123,
    };
    fill_bytes(sb.cell, UUID_BYTES, 1);
    fill_bytes(sb.uuid, UUID_BYTES, 2);
    return sb;
}

static struct state_slot example_slot(const struct superblock *sb)
{
    struct state_slot s = {
        .counter = 7,
        .vid = sb->vid,
        .epoch = 3,
        .generation = 2,
        .state = VOLUME_SEALED,
        .nreplicas = 2,
        .nhistory = 2,
        .sealed_length = 1u << 20,
        .changed_ms = 1700000000999,
        .reason = "limit reached",
        .history = {{1, 12288}, {3, 65536}},
    };
    memcpy(s.uuid, sb->uuid, UUID_BYTES);
    fill_bytes(s.replicas[0], 2 * UUID_BYTES, 3);
    return s;
}

static bool accepts_superblock(const uint8_t *p, size_t len)
{
    struct superblock sb;
    return superblock_decode(slice_of(p, len), &sb) == 0;
}

static bool accepts_slot(const uint8_t *p, size_t len)
{
    struct superblock sb = example_superblock();
    struct state_slot s;
    return slot_decode(slice_of(p, len), &sb, &s) == 0;
}

static void superblock_round_trips(void **state)
{
    (void)state;
    static uint8_t block[BLOCK_SIZE];
    struct superblock sb = example_superblock(), back;
    superblock_encode(&sb, block);
    assert_int_equal(superblock_decode(slice_of(block, sizeof(block)), &back), 0);
    assert_memory_equal(back.cell, sb.cell, UUID_BYTES);
    assert_memory_equal(back.uuid, sb.uuid, UUID_BYTES);
    assert_memory_equal(&back.features, &sb.features, sizeof(sb.features));
    assert_int_equal(back.vid, sb.vid);
    assert_int_equal(back.secret, sb.secret);
    assert_int_equal(back.policy, sb.policy);
    assert_int_equal(back.expiry_class, sb.expiry_class);
    assert_true(back.limit_bytes == sb.limit_bytes && back.created_ms == sb.created_ms);
    assert_int_equal(count_undetected(block, sizeof(block), accepts_superblock), 0);
    assert_int_equal(superblock_decode(slice_of(block, BLOCK_SIZE - 1), &back), -KT_ERR_CORRUPT);
}

/* Regression: a limit beyond what an index can address was taken, and failed an assertion later. */
static void refuses_impossible_sizes(void **state)
{
    (void)state;
    static uint8_t block[BLOCK_SIZE];
    struct superblock sb = example_superblock(), back;
    struct state_slot s = example_slot(&sb);
    sb.limit_bytes = VOLUME_LIMIT_MAX + 1;
    superblock_encode(&sb, block);
    assert_int_equal(superblock_decode(slice_of(block, sizeof(block)), &back), -KT_ERR_CORRUPT);
    s.sealed_length = VOLUME_LIMIT_MAX + 8;
    slot_encode(&s, block);
    assert_int_equal(slot_decode(slice_of(block, sizeof(block)), &sb, &s), -KT_ERR_CORRUPT);
}

static void refuses_unknown_versions_and_features(void **state)
{
    (void)state;
    static uint8_t block[BLOCK_SIZE];
    struct superblock sb = example_superblock(), back;
    superblock_encode(&sb, block);
    block[8] = 2;
    block_seal(block, BLOCK_CRC_AT);
    assert_int_equal(superblock_decode(slice_of(block, sizeof(block)), &back), -KT_ERR_FORMAT);
    const struct feature_words known = {0, 0, 0};
    struct feature_words has = {UINT64_MAX, 0, 0};
    assert_int_equal(feature_check(&has, &known, "volume"), 0);
    has.ro_compat = 1;
    assert_int_equal(feature_check(&has, &known, "volume"), 1);
    has.incompat = UINT64_C(1) << 63;
    assert_int_equal(feature_check(&has, &known, "volume"), -KT_ERR_FORMAT);
    assert_non_null(strstr(err_text(-KT_ERR_FORMAT), "newer version"));
}

static void slot_round_trips(void **state)
{
    (void)state;
    static uint8_t block[BLOCK_SIZE];
    struct superblock sb = example_superblock();
    struct state_slot s = example_slot(&sb), back;
    slot_encode(&s, block);
    assert_int_equal(slot_decode(slice_of(block, sizeof(block)), &sb, &back), 0);
    assert_int_equal(back.counter, 7);
    assert_int_equal(back.epoch, 3);
    assert_int_equal(back.generation, 2);
    assert_int_equal(back.state, VOLUME_SEALED);
    assert_int_equal(back.sealed_length, 1u << 20);
    assert_string_equal(back.reason, "limit reached");
    assert_int_equal(back.nreplicas, 2);
    assert_memory_equal(back.replicas, s.replicas, sizeof(s.replicas));
    assert_int_equal(back.nhistory, 2);
    assert_int_equal(back.history[1].epoch, 3);
    assert_int_equal(back.history[1].start, 65536);
    assert_int_equal(count_undetected(block, sizeof(block), accepts_slot), 0);
    struct superblock other = sb;
    other.uuid[0] ^= 1;
    assert_int_equal(slot_decode(slice_of(block, sizeof(block)), &other, &back), -KT_ERR_CORRUPT);
    other = sb;
    other.vid++;
    assert_int_equal(slot_decode(slice_of(block, sizeof(block)), &other, &back), -KT_ERR_CORRUPT);
}

static void refuses_impossible_slots(void **state)
{
    (void)state;
    static uint8_t block[BLOCK_SIZE];
    struct superblock sb = example_superblock();
    struct state_slot s = example_slot(&sb), back;
    s.history[1].epoch = 1;
    slot_encode(&s, block);
    assert_int_equal(slot_decode(slice_of(block, sizeof(block)), &sb, &back), -KT_ERR_CORRUPT);
    s = example_slot(&sb);
    s.state = 0;
    slot_encode(&s, block);
    assert_int_equal(slot_decode(slice_of(block, sizeof(block)), &sb, &back), -KT_ERR_CORRUPT);
    s = example_slot(&sb);
    s.sealed_length = 100;
    slot_encode(&s, block);
    assert_int_equal(slot_decode(slice_of(block, sizeof(block)), &sb, &back), -KT_ERR_CORRUPT);
    s = example_slot(&sb);
    slot_encode(&s, block);
    block[45] = SLOT_REPLICAS_MAX + 1;
    block_seal(block, BLOCK_CRC_AT);
    assert_int_equal(slot_decode(slice_of(block, sizeof(block)), &sb, &back), -KT_ERR_CORRUPT);
}

static void chooses_the_valid_slot_with_the_higher_counter(void **state)
{
    (void)state;
    static uint8_t a[BLOCK_SIZE], b[BLOCK_SIZE];
    struct superblock sb = example_superblock();
    struct state_slot s = example_slot(&sb), got;
    unsigned bad;
    slot_encode(&s, a);
    s.counter = 8;
    s.epoch = 4;
    slot_encode(&s, b);
    assert_int_equal(slot_choose(slice_of(a, 4096), slice_of(b, 4096), &sb, &got, &bad), 1);
    assert_int_equal(got.epoch, 4);
    assert_int_equal(bad, 0);
    assert_int_equal(slot_choose(slice_of(b, 4096), slice_of(a, 4096), &sb, &got, &bad), 0);
    assert_int_equal(got.epoch, 4);
    b[2000] ^= 1; /* a torn write of the newer slot: the state before */
    assert_int_equal(slot_choose(slice_of(a, 4096), slice_of(b, 4096), &sb, &got, &bad), 0);
    assert_int_equal(got.epoch, 3);
    assert_int_equal(bad, SLOT_BAD_B);
    assert_int_equal(slot_choose(slice_of(b, 4096), slice_of(a, 4096), &sb, &got, &bad), 1);
    assert_int_equal(bad, SLOT_BAD_A);
    a[0] ^= 1;
    assert_int_equal(slot_choose(slice_of(a, 4096), slice_of(b, 4096), &sb, &got, &bad),
                     -KT_ERR_CORRUPT);
    s.epoch = 5;
    slot_encode(&s, a);
    s.epoch = 6;
    slot_encode(&s, b);
    assert_int_equal(slot_choose(slice_of(a, 4096), slice_of(b, 4096), &sb, &got, &bad),
                     -KT_ERR_CORRUPT);
    assert_int_equal(slot_choose(slice_of(a, 4096), slice_of(a, 4096), &sb, &got, &bad), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(superblock_round_trips),
        cmocka_unit_test(refuses_impossible_sizes),
        cmocka_unit_test(refuses_unknown_versions_and_features),
        cmocka_unit_test(slot_round_trips),
        cmocka_unit_test(refuses_impossible_slots),
        cmocka_unit_test(chooses_the_valid_slot_with_the_higher_counter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
