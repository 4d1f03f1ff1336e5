/* fault: named fault points and planted bugs, for tests only.
 *
 * A fault point is a place where a test may inject a failure (`fault_list.h` names them all). In
 * builds without -Dfaults=true every check is the constant false and costs nothing. A planted bug
 * switches off one safety step, to prove that a test harness notices; it is chosen by
 * KITTEN_BUG=name at start.
 *
 *     if (FAULT(VOLUME_SYNC_EIO)) return err_sys(EIO, "injected");
 *     if (!BUG(SKIP_FSYNC)) rc = rt_fdatasync(...);
 *
 * A point fires on its n-th passage: fault_arm(FAULT_x, n, times). Any thread; atomics only. */
#ifndef KT_BASE_FAULT_H
#define KT_BASE_FAULT_H

#include "base/macros.h"
#include <stdbool.h>
#include <stdint.h>

enum fault_point {
#define FAULT_POINT(name, text) FAULT_##name,
#define PLANTED_BUG(name, text)
#include "base/fault_list.h"
#undef FAULT_POINT
#undef PLANTED_BUG
    FAULT_COUNT
};

enum planted_bug {
    BUG_NONE = 0,
#define FAULT_POINT(name, text)
#define PLANTED_BUG(name, text) BUG_##name,
#include "base/fault_list.h"
#undef FAULT_POINT
#undef PLANTED_BUG
    BUG_COUNT
};

#ifdef KT_FAULTS
#define FAULT(name) KT_UNLIKELY(fault_hit(FAULT_##name))
#define BUG(name) KT_UNLIKELY(fault_bug == BUG_##name)
#else
#define FAULT(name) false
#define BUG(name) false
#endif

/* The planted bug of this process, BUG_NONE normally. */
extern enum planted_bug fault_bug;

/* Arms a point: it fires from its n-th passage on (n >= 1), `times` times (>= 1; UINT64_MAX:
 * from then on always). */
void fault_arm(enum fault_point point, uint64_t n, uint64_t times);
void fault_disarm_all(void);
bool fault_hit(enum fault_point point);
/* How often a point was passed since the last disarm. */
uint64_t fault_passed(enum fault_point point);
/* Sets the planted bug by its lower-case name ("skip_fsync"). Errors: INVALID for an unknown one.
 */
int fault_set_bug(const char *name) KT_MUST_CHECK;

#endif
