/* Context switch for aarch64 (AAPCS64): x19-x30, d8-d15 and the stack pointer survive a call. */
#if defined(__aarch64__)
    .text

/* void ctx_switch(void **save [x0], void *load [x1]) */
    .globl ctx_switch
    .hidden ctx_switch
    .type ctx_switch, %function
    .balign 16
ctx_switch:
    .cfi_startproc
    sub sp, sp, #160
    .cfi_adjust_cfa_offset 160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    .cfi_rel_offset x29, 80
    .cfi_rel_offset x30, 88
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    .cfi_def_cfa sp, 0
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size ctx_switch, . - ctx_switch

/* entry in x19, its argument in x20; the undefined return address ends backtraces here */
    .globl ctx_entry
    .hidden ctx_entry
    .type ctx_entry, %function
    .balign 16
ctx_entry:
    .cfi_startproc
    .cfi_undefined x30
    mov x0, x20
    blr x19
    brk #1
    .cfi_endproc
    .size ctx_entry, . - ctx_entry
#endif
    .section .note.GNU-stack, "", %progbits
