/* test_ctx: the context switch, and the runtime on top of it, without a test library: the same
 * program is built for aarch64 and run under qemu-user (aarch64.sh). Prints TAP; a failed check
 * aborts.
 */
#include "rt/ctx.h"
#include "rt/rt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            printf("not ok - %s:%d: %s\n", __FILE__, __LINE__, #expr);                             \
            fflush(stdout);                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- bare switches ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif

#ifndef UNDER_SANITIZER /* bare switches are not announced to a sanitizer */
static void *main_sp, *side_sp;
static long rounds;
static double sum;

/* Enough live integers and doubles over the switch that all callee-saved registers are in use. */
static void side(void *arg)
{
    long a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10;
    double p = .5, q = .25, r = 1.5, s = 2.5, t = 3.5, u = 4.5, v = 5.5, w = 6.5;
    CHECK(arg == &rounds);
    CHECK(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
    for (;;) {
        a += b, b += c, c += d, d += e, e += f, f += g, g += h, h += i, i += j, j += 1;
        p += q, q += r, r += s, s += t, t += u, u += v, v += w, w += 1;
        rounds++;
        sum = (double)(a + b + c + d + e + f + g + h + i + j) + p + q + r + s + t + u + v + w;
        ctx_switch(&side_sp, main_sp);
    }
}

static void switches_keep_registers(void)
{
    enum { STACK = 65536, ROUNDS = 10 };
    char *stack = aligned_alloc(16, STACK);
    CHECK(stack);
    side_sp = ctx_make(stack + STACK, side, &rounds);
    long a = 11, b = 22, c = 33, d = 44, e = 55, f = 66, g = 77, h = 88, i = 99, j = 110;
    double p = 1.25, q = 2.25, r = 3.25, s = 4.25, t = 5.25, u = 6.25, v = 7.25, w = 8.25;
    for (int n = 0; n < ROUNDS; n++) {
        ctx_switch(&main_sp, side_sp);
        a++, b++, c++, d++, e++, f++, g++, h++, i++, j++;
        p++, q++, r++, s++, t++, u++, v++, w++;
    }
    CHECK(rounds == ROUNDS);
    CHECK(a + b + c + d + e + f + g + h + i + j == 605 + 10 * ROUNDS);
    CHECK(p + q + r + s + t + u + v + w == 38.0 + 8 * ROUNDS);
    CHECK(sum == 57420.25); /* computed once without switches */
    free(stack);
}
#endif

/* ---- fibers ---- */

static int count_up(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        ++*(int *)arg;
        rt_yield();
    }
    return 0;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return rt_sleep_until(rt_after_ms(60000));
}

static int on_worker(void *arg)
{
    char text[64];
    snprintf(text, sizeof(text), "%.3f", *(double *)arg);
    return strcmp(text, "2.500") == 0 ? 7 : -KT_ERR_INTERNAL;
}

static int remote(void *arg)
{
    *(int *)arg = rt_loop_index();
    return err_set(KT_ERR_QUOTA, "over there");
}

static int body(void *arg)
{
    (void)arg;
    int total = 0, where = -1;
    struct rt_group g;
    rt_group_open(&g);
    for (int i = 0; i < 20; i++)
        CHECK(rt_go(&g, count_up, &total) == 0);
    CHECK(rt_group_wait(&g, 0) == 0);
    CHECK(total == 20000);

    rt_group_open(&g);
    CHECK(rt_go(&g, sleep_long, NULL) == 0);
    CHECK(rt_sleep_until(rt_after_ms(1)) == 0);
    CHECK(rt_group_wait(&g, err_set(KT_ERR_RANGE, "enough")) == -KT_ERR_RANGE);

    double x = 2.5;
    CHECK(rt_offload(on_worker, &x) == 7);
    CHECK(rt_call_on(1, remote, &where) == -KT_ERR_QUOTA);
    CHECK(where == 1);
    CHECK(strcmp(err_text(-KT_ERR_QUOTA), "over there") == 0);
    return 42;
}

static void fibers_run(void)
{
    struct rt_options o = {.loops = 2, .workers = 2};
    CHECK(rt_run(&o, body, NULL) == 42);
}

int main(void)
{
#ifdef UNDER_SANITIZER
    printf("1..1\n");
#else
    printf("1..2\n");
    switches_keep_registers();
    printf("ok - switches_keep_registers\n");
#endif
    fibers_run();
    printf("ok - fibers_run\n");
    return 0;
}
