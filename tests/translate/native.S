/* SPDX-License-Identifier: MIT */
/* Into a case and out of it, with every register the case's. See native.c. */
#include "dfuzz.h"

	.text
/* void native_enter(const struct state *first, struct state *out): returns when it is over. */
	.globl native_enter
native_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rsi
	mov	%rsp, native_rsp(%rip)
	rdfsbase %rax
	mov	%rax, native_fs(%rip)
	rdgsbase %rax
	mov	%rax, native_gs(%rip)
	mov	$XSTATE_MASK, %eax
	xor	%edx, %edx
	xrstor64 S_XSTATE(%rdi)
	mov	S_FS(%rdi), %rax
	wrfsbase %rax
	mov	S_GS(%rdi), %rax
	wrgsbase %rax
	push	S_RFLAGS(%rdi)
	popfq
	mov	S_GPR + 0(%rdi), %rax
	mov	S_GPR + 8(%rdi), %rcx
	mov	S_GPR + 16(%rdi), %rdx
	mov	S_GPR + 24(%rdi), %rbx
	mov	S_GPR + 32(%rdi), %rsp
	mov	S_GPR + 40(%rdi), %rbp
	mov	S_GPR + 48(%rdi), %rsi
	mov	S_GPR + 64(%rdi), %r8
	mov	S_GPR + 72(%rdi), %r9
	mov	S_GPR + 80(%rdi), %r10
	mov	S_GPR + 88(%rdi), %r11
	mov	S_GPR + 96(%rdi), %r12
	mov	S_GPR + 104(%rdi), %r13
	mov	S_GPR + 112(%rdi), %r14
	mov	S_GPR + 120(%rdi), %r15
	mov	S_GPR + 56(%rdi), %rdi
	jmp	*native_target(%rip)

/* It came to its end: every register is the case's, and the flags. */
	.globl native_ended
native_ended:
	mov	%rsp, native_gpr + 32(%rip)
	mov	native_rsp(%rip), %rsp
	mov	%rdi, native_gpr + 56(%rip)
	mov	(%rsp), %rdi
	mov	%rax, S_GPR + 0(%rdi)
	mov	%rcx, S_GPR + 8(%rdi)
	mov	%rdx, S_GPR + 16(%rdi)
	mov	%rbx, S_GPR + 24(%rdi)
	mov	native_gpr + 32(%rip), %rax
	mov	%rax, S_GPR + 32(%rdi)
	mov	%rbp, S_GPR + 40(%rdi)
	mov	%rsi, S_GPR + 48(%rdi)
	mov	native_gpr + 56(%rip), %rax
	mov	%rax, S_GPR + 56(%rdi)
	mov	%r8, S_GPR + 64(%rdi)
	mov	%r9, S_GPR + 72(%rdi)
	mov	%r10, S_GPR + 80(%rdi)
	mov	%r11, S_GPR + 88(%rdi)
	mov	%r12, S_GPR + 96(%rdi)
	mov	%r13, S_GPR + 104(%rdi)
	mov	%r14, S_GPR + 112(%rdi)
	mov	%r15, S_GPR + 120(%rdi)
	pushfq
	pop	S_RFLAGS(%rdi)

/* From the signal handler, too, with native_rsp as the stack and the general registers saved. */
	.globl native_faulted
native_faulted:
	cld
	pop	%rdi
	mov	$XSTATE_MASK, %eax
	xor	%edx, %edx
	xsave64	S_XSTATE(%rdi)
	rdfsbase %rax
	mov	%rax, S_FS(%rdi)
	rdgsbase %rax
	mov	%rax, S_GS(%rdi)
	mov	native_fs(%rip), %rax
	wrfsbase %rax
	mov	native_gs(%rip), %rax
	wrgsbase %rax
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.bss
	.globl native_rsp, native_fs, native_gs, native_target
	.balign	8
native_rsp:	.quad 0
native_fs:	.quad 0
native_gs:	.quad 0
native_target:	.quad 0
native_gpr:	.fill 16, 8, 0

	.section .note.GNU-stack, "", @progbits
