#include "cmd/bench_data.h"

#include "base/crc32c.h"
#include "base/err.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t *assemble(uint64_t seed, uint64_t index, uint32_t size)
{
    uint8_t label[DATA_LABEL_LEN];
    struct iovec iov[DATA_PIECES_MAX];
    int n = data_pieces(seed, index, size, label, iov);
    uint8_t *all = malloc(size + 1u);
    size_t at = 0;
    assert_non_null(all);
    for (int i = 0; i < n; i++) {
        memcpy(all + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    assert_int_equal(at, size);
    return all;
}

static void bytes_match_wherever_they_are_cut(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 15, 16, 17, 1024, 65537, 3000000};
    data_pattern_make();
    for (size_t i = 0; i < KT_ARRAY_LEN(sizes); i++) {
        uint8_t *all = assemble(7, i, sizes[i]);
        for (uint32_t at = 0; at < sizes[i]; at += 1 + sizes[i] / 7)
            assert_true(data_matches(7, i, at, slice_of(all + at, sizes[i] - at)));
        assert_int_equal(crc32c(0, all, sizes[i]), data_crc(7, i, sizes[i]));
        free(all);
    }
}

static void every_kind_of_damage_is_seen(void **state)
{
    (void)state;
    const uint32_t size = 3000000;
    data_pattern_make();
    uint8_t *all = assemble(7, 5, size);
    assert_true(data_matches(7, 5, 0, slice_of(all, size)));
    assert_false(data_matches(7, 6, 0, slice_of(all, size)));      /* another object */
    assert_false(data_matches(8, 5, 0, slice_of(all, size)));      /* another run */
    assert_false(data_matches(7, 5, 0, slice_of(all + 1, 5000)));  /* shifted */
    assert_false(data_matches(7, 5, 65536, slice_of(all, 65536))); /* a block out of place */
    assert_false(data_matches(7, 5, MIB(1), slice_of(all + 65536, 65536)));
    static const uint32_t places[] = {0, 15, 16, 1023, 2999999};
    for (size_t i = 0; i < KT_ARRAY_LEN(places); i++) {
        all[places[i]] ^= 1;
        assert_false(data_matches(7, 5, 0, slice_of(all, size)));
        all[places[i]] ^= 1;
    }
    free(all);
}

static void sizes_stay_in_range(void **state)
{
    (void)state;
    struct data_sizes s;
    assert_int_equal(data_sizes_parse("1KiB", &s), 0);
    assert_int_equal(data_size(&s, 1, 99), 1024);
    assert_int_equal(data_sizes_parse("4KiB-64KiB", &s), 0);
    uint32_t low = UINT32_MAX, high = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        uint32_t size = data_size(&s, 1, i);
        low = KT_MIN(low, size);
        high = KT_MAX(high, size);
        assert_int_equal(size, data_size(&s, 1, i));
    }
    assert_true(low >= 4096 && low < 4200 && high <= 65536 && high > 64000);
    assert_int_equal(data_sizes_parse("photo", &s), 0);
    uint64_t below = 0;
    for (uint64_t i = 0; i < 20000; i++)
        below += data_size(&s, 1, i) < KIB(24);
    assert_true(below > 9500 && below < 10500);
    static const char *const bad[] = {"",      "x",      "64KiB-4KiB", "0-4",
                                      "33MiB", "photo:", "photos",     "-"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        assert_int_equal(data_sizes_parse(bad[i], &s), -KT_ERR_INVALID);
}

static void keys_follow_their_distribution(void **state)
{
    (void)state;
    enum { KEYS = 1000, PICKS = 100000 };
    static uint32_t hits[KEYS];
    struct data_keys k;
    struct rand_state r;
    rand_init(&r, 1);
    assert_int_equal(data_keys_parse("uniform", &k), 0);
    data_keys_size(&k, KEYS);
    for (int i = 0; i < PICKS; i++)
        hits[data_keys_pick(&k, &r)]++;
    for (int i = 0; i < KEYS; i++)
        assert_true(hits[i] > 40 && hits[i] < 180);
    memset(hits, 0, sizeof(hits));
    assert_int_equal(data_keys_parse("zipf:0.99", &k), 0);
    data_keys_size(&k, KEYS);
    for (int i = 0; i < PICKS; i++)
        hits[data_keys_pick(&k, &r)]++;
    uint32_t top = 0;
    for (int i = 0; i < KEYS; i++)
        top = KT_MAX(top, hits[i]);
    assert_true(top > PICKS / 10 && top < PICKS / 4); /* 1 / H(1000, 0.99) = 0.13 */
    assert_int_equal(data_keys_parse("zipf:1", &k), -KT_ERR_INVALID);
    assert_int_equal(data_keys_parse("zipfel", &k), -KT_ERR_INVALID);
    assert_int_equal(data_keys_parse("random", &k), -KT_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_match_wherever_they_are_cut),
        cmocka_unit_test(every_kind_of_damage_is_seen),
        cmocka_unit_test(sizes_stay_in_range),
        cmocka_unit_test(keys_follow_their_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
