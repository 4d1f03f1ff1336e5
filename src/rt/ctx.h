/* ctx: the context switch, the only assembly in kitten (ctx_x86_64.S, ctx_aarch64.S).
 *
 * A suspended context is a stack pointer below which the callee-saved registers and a return
 * address lie. ctx_switch pushes them, stores the stack pointer in *save, takes `load` and pops.
 * Everything else is dead over a call by the ABI. Floating-point control words are not saved:
 * kitten never changes them. Shadow stacks (CET SHSTK) are not supported; the assembly carries no
 * SHSTK note, so that the linker never marks the program as ready for them.
 *
 *     void *sp = ctx_make(stack_top, entry, arg);
 *     ctx_switch(&mine, sp);              // runs entry(arg), which must never return
 *
 * Threads: plain register work; who may run which context is fiber.c's business.
 */
#ifndef KT_RT_CTX_H
#define KT_RT_CTX_H

/* Saves the caller's context in *save and continues the one at `load`. */
void ctx_switch(void **save, void *load);
/* First code of a new context: calls entry(arg) from the registers that ctx_make prepared. */
void ctx_entry(void);
/* Prepares a context at `stack_top` (16-byte aligned, exclusive). `entry` must not return. */
void *ctx_make(void *stack_top, void (*entry)(void *arg), void *arg);

#endif
