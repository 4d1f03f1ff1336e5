/* fault: one armed window per point, counted with atomics. */
#include "base/fault.h"

#include "base/err.h"
#include <ctype.h>
#include <stdatomic.h>
#include <string.h>

static struct {
    _Atomic uint64_t passed, first, last; /* fires on passages first..last; first 0: disarmed */
} points[FAULT_COUNT];

enum planted_bug fault_bug;

void fault_arm(enum fault_point point, uint64_t n, uint64_t times)
{
    uint64_t last;
    if (__builtin_add_overflow(n, times - 1, &last))
        last = UINT64_MAX;
    atomic_store(&points[point].first, 0);
    atomic_store(&points[point].passed, 0);
    atomic_store(&points[point].last, last);
    atomic_store(&points[point].first, n);
}

void fault_disarm_all(void)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        atomic_store(&points[i].first, 0);
        atomic_store(&points[i].passed, 0);
    }
}

bool fault_hit(enum fault_point point)
{
    uint64_t n = atomic_fetch_add(&points[point].passed, 1) + 1;
    uint64_t first = atomic_load(&points[point].first);
    return first != 0 && n >= first && n <= atomic_load(&points[point].last);
}

uint64_t fault_passed(enum fault_point point)
{
    return atomic_load(&points[point].passed);
}

int fault_set_bug(const char *name)
{
    static const char *const names[BUG_COUNT] = {
        [BUG_NONE] = "NONE",
#define FAULT_POINT(name, text)
#define PLANTED_BUG(name, text) [BUG_##name] = #name,
#include "base/fault_list.h"
#undef FAULT_POINT
#undef PLANTED_BUG
    };
    for (int i = 0; i < BUG_COUNT; i++) {
        if (strcasecmp(names[i], name) == 0) {
            fault_bug = (enum planted_bug)i;
            return 0;
        }
    }
    return err_set(KT_ERR_INVALID, "no planted bug is called '%s'", name);
}
