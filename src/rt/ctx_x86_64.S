/* Context switch for x86-64 (System V ABI): rbx, rbp, r12-r15 and the stack pointer survive a call. */
#if defined(__x86_64__)
    .text

/* void ctx_switch(void **save [rdi], void *load [rsi]) */
    .globl ctx_switch
    .hidden ctx_switch
    .type ctx_switch, @function
    .balign 16
ctx_switch:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r15, 0
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    .cfi_def_cfa rsp, 8
    popq %rcx /* not ret: the processor's return stack would predict the wrong side */
    .cfi_def_cfa rsp, 0
    .cfi_register rip, rcx
    notrack jmpq *%rcx
    .cfi_endproc
    .size ctx_switch, . - ctx_switch

/* entry in rbx, its argument in r12; the undefined return address ends backtraces here */
    .globl ctx_entry
    .hidden ctx_entry
    .type ctx_entry, @function
    .balign 16
ctx_entry:
    .cfi_startproc
    .cfi_undefined rip
    endbr64
    movq %r12, %rdi
    callq *%rbx
    ud2
    .cfi_endproc
    .size ctx_entry, . - ctx_entry
#endif
    .section .note.GNU-stack, "", %progbits
