/* buf: limits, injected allocation failures, formatting. */
#include "tests/lib/unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/macros.h"

static void add_and_consume(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1000);
    assert_int_equal(buf_add_str(&b, "hello "), 0);
    assert_int_equal(buf_add_slice(&b, SLICE_LIT("world")), 0);
    assert_int_equal(buf_addf(&b, " %d", 42), 0);
    assert_slice_equal(buf_slice(&b), SLICE_LIT("hello world 42"));
    buf_consume(&b, 6);
    assert_slice_equal(buf_slice(&b), SLICE_LIT("world 42"));
    buf_consume(&b, 8);
    assert_int_equal(b.len, 0);
    buf_done(&b);
    assert_null(b.p);
    assert_int_equal(buf_add_str(&b, "again"), 0);
    buf_done(&b);
}

static void limit_is_exact_and_leaves_the_content(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(300);
    uint8_t bytes[301];
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(buf_add(&b, bytes, 301), -KT_ERR_TOO_LARGE);
    assert_int_equal(buf_add(&b, bytes, 300), 0);
    assert_int_equal(buf_add(&b, bytes, 1), -KT_ERR_TOO_LARGE);
    assert_int_equal(buf_add(&b, bytes, 0), 0);
    assert_int_equal(b.len, 300);
    assert_true(b.cap <= 300);
    buf_done(&b);
}

static void huge_reserve_ends(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(SIZE_MAX);
    /* Used to double the capacity past SIZE_MAX to 0, and loop for ever. */
    assert_int_equal(buf_reserve(&b, SIZE_MAX / 2 + 2), -KT_ERR_NO_MEMORY);
    assert_int_equal(buf_add_str(&b, "x"), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -KT_ERR_TOO_LARGE);
    buf_done(&b);
}

#ifdef KT_FAULTS
static void failed_growth_keeps_the_bytes(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(MIB(1));
    assert_int_equal(buf_add_str(&b, "kept"), 0);
    fault_arm(FAULT_MEM_TRY_ALLOC, 1, 1);
    assert_int_equal(buf_reserve(&b, 4096), -KT_ERR_NO_MEMORY);
    assert_slice_equal(buf_slice(&b), SLICE_LIT("kept"));
    assert_int_equal(buf_reserve(&b, 4096), 0);
    assert_slice_equal(buf_slice(&b), SLICE_LIT("kept"));
    fault_disarm_all();
    buf_done(&b);
}
#endif

static void growth_keeps_content(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(MIB(1));
    for (uint32_t i = 0; i < 20000; i++)
        assert_int_equal(buf_add(&b, &i, sizeof(i)), 0);
    for (uint32_t i = 0; i < 20000; i++)
        assert_memory_equal(b.p + 4 * i, &i, sizeof(i));
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_and_consume),
        cmocka_unit_test(limit_is_exact_and_leaves_the_content),
        cmocka_unit_test(huge_reserve_ends),
#ifdef KT_FAULTS
        cmocka_unit_test(failed_growth_keeps_the_bytes),
#endif
        cmocka_unit_test(growth_keeps_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
