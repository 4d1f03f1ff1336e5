/* ctx: builds the frame that ctx_switch pops at a fiber's first run; the layouts match the .S
 * files. */
#include "rt/ctx.h"

#include "base/assert.h"
#include <stdint.h>
#include <string.h>

/* 9 words, not 7: after the pops and the return, ctx_entry must find the stack 16-byte aligned. */
#if defined(__x86_64__)
enum { FRAME_WORDS = 9, SLOT_ENTRY = 4 /* rbx */, SLOT_ARG = 3 /* r12 */, SLOT_RETURN = 6 };
#elif defined(__aarch64__)
enum {
    FRAME_WORDS = 20,
    SLOT_ENTRY = 0 /* x19 */,
    SLOT_ARG = 1 /* x20 */,
    SLOT_RETURN = 11 /* x30 */
};
#else
#error "no context switch for this processor: write src/rt/ctx_<arch>.S"
#endif

void *ctx_make(void *stack_top, void (*entry)(void *arg), void *arg)
{
    kt_assert(((uintptr_t)stack_top & 15) == 0);
    uintptr_t *frame = (uintptr_t *)stack_top - FRAME_WORDS;
    memset(frame, 0, FRAME_WORDS * sizeof(*frame));
    frame[SLOT_ENTRY] = (uintptr_t)entry;
    frame[SLOT_ARG] = (uintptr_t)arg;
    frame[SLOT_RETURN] = (uintptr_t)ctx_entry;
    return frame;
}
