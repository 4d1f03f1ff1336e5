/* rt_test: shared by the runtime's tests. Each test runs its body on a fiber of a fresh runtime.
 *
 *     static int body(void *arg) { assert_int_equal(1, 1); return 0; }
 *     static void test_x(void **state) { run_on(1, body, NULL); }
 *
 * cmocka's failed asserts longjmp, which must not happen on a fiber: bodies use CHECK, which
 * aborts.
 */
#ifndef KT_TEST_RT_TEST_H
#define KT_TEST_RT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "rt/rt.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #expr);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_) {                                                                            \
            fprintf(stderr, "%s:%d: %s is %lld, expected %lld (%s)\n", __FILE__, __LINE__, #a, a_, \
                    b_, err_text((int)a_));                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void run_on(int loops, int (*body)(void *), void *arg)
{
    struct rt_options o = {.loops = loops, .workers = 4};
    int rc = rt_run(&o, body, arg);
    CHECK_EQ(rc, 0);
}

#endif
