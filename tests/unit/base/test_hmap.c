/* hmap: random operations against a plain array, the limit, failed growth, published hash vectors.
 */
#include "tests/lib/unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/hmap.h"
#include "base/rand.h"
#include <stdio.h>

#define KEYS 700u

static char tokens[KEYS];

/* Keys that are few enough to collide and wrap round often. */
static uint64_t number_key(uint32_t i)
{
    return i % 3 == 0 ? i : i % 3 == 1 ? UINT64_MAX - i : (uint64_t)i << 32;
}

static void check_numbers(const struct hmap *m, void *const *model)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        live += model[i] != NULL;
        assert_ptr_equal(hmap_get(m, number_key(i)), model[i]);
    }
    assert_int_equal(m->len, live);
    uint32_t at = 0, seen = 0;
    uint64_t key;
    void *value;
    while (hmap_next(m, &at, &key, &value)) {
        assert_ptr_equal(hmap_get(m, key), value);
        seen++;
    }
    assert_int_equal(seen, live);
}

static void numbers_agree_with_a_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct rand_state r;
        struct hmap m;
        void *model[KEYS] = {0};
        rand_init(&r, seed);
        hmap_init(&m, seed, KEYS);
        for (int step = 0; step < 6000; step++) {
            uint32_t i = (uint32_t)rand_below(&r, KEYS);
            void *want = model[i], *old = NULL;
            if (rand_below(&r, 100) < (step / 1500 % 2 ? 30 : 65)) {
                model[i] = &tokens[rand_below(&r, KEYS)];
                assert_int_equal(hmap_set(&m, number_key(i), model[i], &old), 0);
            } else {
                model[i] = NULL;
                old = hmap_remove(&m, number_key(i));
            }
            assert_ptr_equal(old, want);
            if (step % 500 == 0)
                check_numbers(&m, model);
        }
        check_numbers(&m, model);
        hmap_done(&m);
        assert_null(hmap_get(&m, 1));
    }
}

static void bytes_agree_with_a_model(void **state)
{
    (void)state;
    static char names[KEYS][16];
    struct rand_state r;
    struct bmap m;
    static void *model[KEYS];
    uint32_t live = 0;
    rand_init(&r, 42);
    bmap_init(&m, 7, KEYS);
    for (uint32_t i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof(names[i]), "%.*s%u", (int)(i % 9), "prefix///", i);
    for (int step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rand_below(&r, KEYS);
        void *want = model[i], *old = NULL;
        if (rand_below(&r, 100) < (step / 3000 % 2 ? 30 : 65)) {
            model[i] = &tokens[i];
            assert_int_equal(bmap_set(&m, slice_str(names[i]), model[i], &old), 0);
        } else {
            model[i] = NULL;
            old = bmap_remove(&m, slice_str(names[i]));
        }
        assert_ptr_equal(old, want);
        live = live + (model[i] != NULL) - (want != NULL);
        assert_int_equal(m.len, live);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        assert_ptr_equal(bmap_get(&m, slice_str(names[i])), model[i]);
    uint32_t at = 0, seen = 0;
    struct slice key;
    void *value;
    while (bmap_next(&m, &at, &key, &value)) {
        assert_slice_equal(key, slice_str(names[(char *)value - tokens]));
        seen++;
    }
    assert_int_equal(seen, live);
    bmap_done(&m);
}

static void the_limit_refuses_new_keys_only(void **state)
{
    (void)state;
    struct hmap m;
    struct bmap b;
    hmap_init(&m, 1, 2);
    bmap_init(&b, 1, 1);
    assert_int_equal(hmap_set(&m, 1, tokens, NULL), 0);
    assert_int_equal(hmap_set(&m, 2, tokens, NULL), 0);
    assert_int_equal(hmap_set(&m, 3, tokens, NULL), -KT_ERR_LIMIT);
    assert_int_equal(hmap_set(&m, 2, tokens + 1, NULL), 0);
    assert_ptr_equal(hmap_get(&m, 2), tokens + 1);
    assert_int_equal(bmap_set(&b, SLICE_LIT("a"), tokens, NULL), 0);
    assert_int_equal(bmap_set(&b, SLICE_LIT("b"), tokens, NULL), -KT_ERR_LIMIT);
    assert_int_equal(bmap_set(&b, SLICE_LIT("a"), tokens + 1, NULL), 0);
    hmap_done(&m);
    bmap_done(&b);
}

/* Key 00..0f, input 00..(n-1): from a second implementation, itself checked by the paper's 2-4
 * vector. */
static void hash_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t want;
    } rows[] = {{0, UINT64_C(0xabac0158050fc4dc)},
                {1, UINT64_C(0xc9f49bf37d57ca93)},
                {7, UINT64_C(0xd3927d989bb11140)},
                {8, UINT64_C(0x369095118d299a8e)},
                {15, UINT64_C(0xd320d86d2a519956)}};
    const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    static const uint8_t in[15] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++)
        assert_true(hmap_hash_bytes(key, slice_of(in, rows[i].len)) == rows[i].want);
}

static void hashing_depends_on_every_byte_and_the_seed(void **state)
{
    (void)state;
    const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    const uint64_t other[2] = {key[0] + 1, key[1]};
    uint8_t in[40];
    for (uint8_t i = 0; i < 40; i++)
        in[i] = i;
    for (size_t len = 0; len <= 40; len++) {
        uint64_t h = hmap_hash_bytes(key, slice_of(in, len));
        assert_true(h != hmap_hash_bytes(other, slice_of(in, len)));
        for (size_t i = 0; i < len; i++) {
            in[i] ^= 0x80;
            assert_true(h != hmap_hash_bytes(key, slice_of(in, len)));
            in[i] ^= 0x80;
        }
    }
}

#ifdef KT_FAULTS
static void failed_growth_keeps_the_entries(void **state)
{
    (void)state;
    struct hmap m;
    struct bmap b;
    hmap_init(&m, 1, 100);
    bmap_init(&b, 1, 100);
    for (uint64_t i = 0; i < 12; i++)
        assert_int_equal(hmap_set(&m, i, tokens + i, NULL), 0);
    fault_arm(FAULT_MEM_TRY_ALLOC, 1, 2);
    assert_int_equal(hmap_set(&m, 12, tokens, NULL), -KT_ERR_NO_MEMORY);
    assert_int_equal(bmap_set(&b, SLICE_LIT("x"), tokens, NULL), -KT_ERR_NO_MEMORY);
    for (uint64_t i = 0; i < 12; i++)
        assert_ptr_equal(hmap_get(&m, i), tokens + i);
    assert_null(hmap_get(&m, 12));
    assert_int_equal(hmap_set(&m, 12, tokens, NULL), 0);
    assert_int_equal(m.len, 13);
    fault_disarm_all();
    hmap_done(&m);
    bmap_done(&b);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_agree_with_a_model),
        cmocka_unit_test(bytes_agree_with_a_model),
        cmocka_unit_test(the_limit_refuses_new_keys_only),
        cmocka_unit_test(hash_vectors),
        cmocka_unit_test(hashing_depends_on_every_byte_and_the_seed),
#ifdef KT_FAULTS
        cmocka_unit_test(failed_growth_keeps_the_entries),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
