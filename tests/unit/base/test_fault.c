/* fault: windows, counters, planted bugs by name. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "base/fault.h"

static void fires_on_the_nth_passage(void **state)
{
    (void)state;
    fault_disarm_all();
    fault_arm(FAULT_MEM_TRY_ALLOC, 3, 2);
    static const bool want[] = {false, false, true, true, false, false};
    for (int i = 0; i < 6; i++)
        assert_int_equal(fault_hit(FAULT_MEM_TRY_ALLOC), want[i]);
    assert_int_equal(fault_passed(FAULT_MEM_TRY_ALLOC), 6);
    fault_arm(FAULT_MEM_TRY_ALLOC, 1, 1);
    assert_true(fault_hit(FAULT_MEM_TRY_ALLOC));
    fault_disarm_all();
    assert_int_equal(fault_passed(FAULT_MEM_TRY_ALLOC), 0);
    assert_false(fault_hit(FAULT_MEM_TRY_ALLOC));
}

static void for_ever_does_not_wrap(void **state)
{
    (void)state;
    fault_arm(FAULT_MEM_TRY_ALLOC, 2, UINT64_MAX);
    assert_false(fault_hit(FAULT_MEM_TRY_ALLOC));
    assert_true(fault_hit(FAULT_MEM_TRY_ALLOC));
    assert_true(fault_hit(FAULT_MEM_TRY_ALLOC));
    fault_disarm_all();
}

static void bugs_by_name(void **state)
{
    (void)state;
    assert_int_equal(fault_set_bug("skip_fsync"), 0);
    assert_int_equal(fault_bug, BUG_SKIP_FSYNC);
    assert_int_equal(fault_set_bug("TRUST_PAGE_CACHE"), 0);
    assert_int_equal(fault_bug, BUG_TRUST_PAGE_CACHE);
    assert_int_equal(fault_set_bug("skip"), -KT_ERR_INVALID);
    assert_int_equal(fault_bug, BUG_TRUST_PAGE_CACHE);
    assert_int_equal(fault_set_bug("none"), 0);
    assert_int_equal(fault_bug, BUG_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_on_the_nth_passage),
        cmocka_unit_test(for_ever_does_not_wrap),
        cmocka_unit_test(bugs_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
