/* arena: alignment, limit, reset, failed growth. */
#include "tests/lib/unit.h"

#include "base/arena.h"
#include "base/fault.h"
#include "base/macros.h"

static void first_block_is_used_first(void **state)
{
    (void)state;
    _Alignas(16) uint8_t first[64];
    struct arena a;
    arena_init(&a, first, sizeof(first), KIB(64));
    uint8_t *p = arena_alloc(&a, 1);
    uint8_t *q = arena_alloc(&a, 48);
    assert_ptr_equal(p, first);
    assert_ptr_equal(q, first + 16);
    assert_int_equal(a.used, 0);
    uint8_t *r = arena_alloc(&a, 1);
    assert_true(r < first || r >= first + 64);
    assert_true(a.used >= 16);
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_ptr_equal(arena_alloc(&a, 64), first);
    arena_done(&a);
}

static void allocations_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, NULL, 0, MIB(1));
    uint8_t *last = NULL;
    for (size_t size = 1; size < 300; size++) {
        uint8_t *p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, (int)size & 0xff, size);
        if (last)
            assert_int_equal(last[0], (uint8_t)(size - 1));
        last = p;
    }
    arena_done(&a);
}

static void limit_holds(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, NULL, 0, 10000);
    size_t got = 0;
    while (arena_alloc(&a, 100))
        got += 112;
    assert_in_range(got, 9000, 10000);
    assert_true(a.used <= 10000);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 8));
    arena_reset(&a);
    assert_null(arena_alloc(&a, 10001));
    assert_non_null(arena_alloc(&a, 9984));
    arena_done(&a);
}

static void zero_bytes_are_not_a_failure(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, NULL, 0, KIB(8));
    assert_non_null(arena_alloc(&a, 0));
    arena_done(&a);
}

static void dup_and_printf(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, NULL, 0, KIB(8));
    struct slice s = arena_dup(&a, SLICE_LIT("a\0b"));
    assert_slice_equal(s, SLICE_LIT("a\0b"));
    assert_int_equal(s.p[3], 0);
    assert_non_null(arena_dup(&a, slice_of(NULL, 0)).p);
    assert_string_equal(arena_printf(&a, "%s-%d", "x", 7), "x-7");
    assert_null(arena_printf(&a, "%9000d", 1));
    static const uint8_t big[9000];
    assert_null(arena_dup(&a, slice_of(big, sizeof(big))).p);
    arena_done(&a);
}

#ifdef KT_FAULTS
static void no_memory_is_null(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, NULL, 0, KIB(8));
    fault_arm(FAULT_MEM_TRY_ALLOC, 1, 1);
    assert_null(arena_alloc(&a, 10));
    assert_non_null(arena_alloc(&a, 10));
    fault_disarm_all();
    arena_done(&a);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_block_is_used_first),
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(limit_holds),
        cmocka_unit_test(zero_bytes_are_not_a_failure),
        cmocka_unit_test(dup_and_printf),
#ifdef KT_FAULTS
        cmocka_unit_test(no_memory_is_null),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
