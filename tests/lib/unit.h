/* unit: cmocka and what it wants included before it; the first include of every unit test. */
#ifndef KT_TESTS_LIB_UNIT_H
#define KT_TESTS_LIB_UNIT_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "base/slice.h"

/* Both slices hold the same bytes; prints them otherwise. */
#define assert_slice_equal(a, b)                                                                   \
    do {                                                                                           \
        struct slice a_ = (a), b_ = (b);                                                           \
        if (!slice_eq(a_, b_))                                                                     \
            fail_msg("'%.*s' != '%.*s'", SLICE_ARG(a_), SLICE_ARG(b_));                            \
    } while (0)

#endif
