/* machine: what a memory.max file says, and that some limit is always found. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "conf/machine.h"

static void limits(void **state)
{
    (void)state;
    assert_true(machine_limit_of(SLICE_LIT("max\n")) == UINT64_MAX);
    assert_true(machine_limit_of(SLICE_LIT("536870912\n")) == MIB(512));
    assert_true(machine_limit_of(SLICE_LIT("536870912")) == MIB(512));
    assert_true(machine_limit_of(SLICE_LIT("")) == UINT64_MAX);
    assert_true(machine_limit_of(SLICE_LIT("12x\n")) == UINT64_MAX);
}

static void this_machine_has_memory(void **state)
{
    (void)state;
    uint64_t bytes = machine_memory_bytes();
    assert_true(bytes >= MIB(16));
    assert_true(bytes <= UINT64_C(1) << 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits),
        cmocka_unit_test(this_machine_has_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
