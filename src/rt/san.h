/* san: what the sanitizers must be told about stacks that are switched by hand.
 *
 * ASan keeps a fake stack and the bounds of the current one, TSan a shadow state per fiber, LSan
 * looks for pointers only in stacks it knows. In builds without sanitizers all of this is empty.
 *
 *     san_switch_start(&from->san, &to->san, from_ends);  ctx_switch(...);
 * san_switch_done(&from->san);
 *
 * Threads: each struct san_ctx belongs to the context that it describes. Never yields.
 */
#ifndef KT_RT_SAN_H
#define KT_RT_SAN_H

#include "base/macros.h"
#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define KT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define KT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KT_TSAN 1
#endif
#endif

#ifdef KT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef KT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* TSan counts calls and returns per fiber: a switch in a function of its own would return on the
 * other side. */
#define SAN_INLINE inline __attribute__((always_inline))

struct san_ctx {
    const void *stack; /* lowest address; learned at the first switch for a thread's own stack */
    size_t size;
    void *fake_stack; /* ASan's, while suspended */
    void *tsan;       /* TSan's fiber */
    unsigned uses;
};

/* A fiber's stack has been mapped, or is about to be unmapped. */
static SAN_INLINE void san_stack_born(struct san_ctx *c KT_UNUSED, void *stack KT_UNUSED,
                                      size_t size KT_UNUSED)
{
    c->stack = stack;
    c->size = size;
#ifdef KT_ASAN
    __lsan_register_root_region(stack, size);
#endif
#ifdef KT_TSAN
    c->tsan = __tsan_create_fiber(0);
#endif
}

static SAN_INLINE void san_stack_gone(struct san_ctx *c KT_UNUSED)
{
#ifdef KT_ASAN
    __asan_unpoison_memory_region(c->stack, c->size);
    __lsan_unregister_root_region(c->stack, c->size);
#endif
#ifdef KT_TSAN
    __tsan_destroy_fiber(c->tsan);
#endif
}

/* A pooled stack gets a new fiber: frames of the last one, which never returned, are forgotten. */
static SAN_INLINE void san_stack_reuse(struct san_ctx *c KT_UNUSED, size_t size KT_UNUSED)
{
    c->fake_stack = NULL;
#ifdef KT_ASAN
    __asan_unpoison_memory_region(c->stack, size);
#endif
#ifdef KT_TSAN
    if (++c->uses % 1024 == 0) { /* each use leaves a frame or two behind; making one is slow */
        __tsan_destroy_fiber(c->tsan);
        c->tsan = __tsan_create_fiber(0);
    }
#endif
}

static SAN_INLINE void san_thread_init(struct san_ctx *c KT_UNUSED)
{
#ifdef KT_TSAN
    c->tsan = __tsan_get_current_fiber();
#endif
}

static SAN_INLINE void san_switch_start(struct san_ctx *from KT_UNUSED,
                                        const struct san_ctx *to KT_UNUSED,
                                        bool from_ends KT_UNUSED)
{
#ifdef KT_ASAN
    __sanitizer_start_switch_fiber(from_ends ? NULL : &from->fake_stack, to->stack, to->size);
#endif
#ifdef KT_TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

/* First thing on the side that was switched to. `came_from` learns its own bounds (threads'
 * stacks). */
static SAN_INLINE void san_switch_done(struct san_ctx *me KT_UNUSED,
                                       struct san_ctx *came_from KT_UNUSED)
{
#ifdef KT_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(me->fake_stack, &bottom, &size);
    came_from->stack = bottom;
    came_from->size = size;
#endif
}

#endif
