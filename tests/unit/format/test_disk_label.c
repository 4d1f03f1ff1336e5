#include "format/disk_label.h"
#include "format_test.h"

static bool accepts(const uint8_t *p, size_t len)
{
    struct disk_label l;
    return disk_label_decode(slice_of(p, len), &l) == 0;
}

static void round_trips_and_detects_every_bit_flip(void **state)
{
    (void)state;
    uint8_t block[BLOCK_SIZE];
    struct disk_label l = {
        .features = {8, 16, 32},
        .capacity_class = 10,
        .volume_limit_bytes = GIB(2),
        .created_ms = 1700000000001,
    };
    struct disk_label back;
    fill_bytes(l.uuid, UUID_BYTES, 1);
    fill_bytes(l.cell, UUID_BYTES, 2);
    fill_bytes(l.store, UUID_BYTES, 3);
    disk_label_encode(&l, block);
    assert_int_equal(disk_label_decode(slice_of(block, sizeof(block)), &back), 0);
    assert_memory_equal(&back.features, &l.features, sizeof(l.features));
    assert_memory_equal(back.uuid, l.uuid, UUID_BYTES);
    assert_memory_equal(back.cell, l.cell, UUID_BYTES);
    assert_memory_equal(back.store, l.store, UUID_BYTES);
    assert_int_equal(back.capacity_class, 10);
    assert_true(back.volume_limit_bytes == GIB(2) && back.created_ms == l.created_ms);
    assert_int_equal(count_undetected(block, sizeof(block), accepts), 0);
    block[8] = 9;
    block_seal(block, BLOCK_CRC_AT);
    assert_int_equal(disk_label_decode(slice_of(block, sizeof(block)), &back), -KT_ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trips_and_detects_every_bit_flip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
