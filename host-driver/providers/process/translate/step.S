/* SPDX-License-Identifier: MIT */
/*
 * Into one instruction with all of the guest's registers, and back. Where the code was written a
 * moment ago, through another mapping, the way there must serialize: iretq. A jump is five times
 * as fast.
 */
#include "host-driver/providers/process/translate/step.h"

	.macro	load_registers /* but rsp and rdi, by rdi */
	mov	0(%rdi), %rax
	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rbx
	mov	40(%rdi), %rbp
	mov	48(%rdi), %rsi
	mov	64(%rdi), %r8
	mov	72(%rdi), %r9
	mov	80(%rdi), %r10
	mov	88(%rdi), %r11
	mov	96(%rdi), %r12
	mov	104(%rdi), %r13
	mov	112(%rdi), %r14
	mov	120(%rdi), %r15
	.endm

	.text
	.globl	step_enter, step_leave, step_faulted

step_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, N_HOST_RSP(%rdi)
	mov	%rdi, %fs:step_running@tpoff
	cmpb	$0, N_FRESH(%rdi)
	jne	1f
	mov	N_CODE(%rdi), %rax
	mov	%rax, %fs:step_saved@tpoff
	push	N_RFLAGS(%rdi)
	popf
	load_registers
	mov	N_RSP(%rdi), %rsp
	mov	56(%rdi), %rdi
	jmp	*%fs:step_saved@tpoff
1:	mov	%ss, %eax
	push	%rax
	push	N_RSP(%rdi)
	push	N_RFLAGS(%rdi)
	mov	%cs, %eax
	push	%rax
	push	N_CODE(%rdi)
	load_registers
	mov	56(%rdi), %rdi
	iretq

/* Nothing but mov until the flags are safe. */
step_leave:
	mov	%rdi, %fs:step_saved@tpoff
	mov	%fs:step_running@tpoff, %rdi
	mov	%rax, 0(%rdi)
	mov	%rcx, 8(%rdi)
	mov	%rdx, 16(%rdi)
	mov	%rbx, 24(%rdi)
	mov	%rsp, N_RSP(%rdi)
	mov	%rbp, 40(%rdi)
	mov	%rsi, 48(%rdi)
	mov	%r8, 64(%rdi)
	mov	%r9, 72(%rdi)
	mov	%r10, 80(%rdi)
	mov	%r11, 88(%rdi)
	mov	%r12, 96(%rdi)
	mov	%r13, 104(%rdi)
	mov	%r14, 112(%rdi)
	mov	%r15, 120(%rdi)
	mov	N_HOST_RSP(%rdi), %rsp
	pushf
	pop	N_RFLAGS(%rdi)
	mov	%fs:step_saved@tpoff, %rax
	mov	%rax, 56(%rdi)
	mov	$1, %eax
	jmp	1f

/* tr_step_fault() sends the thread here, with the stack as step_enter left it. */
step_faulted:
	xor	%eax, %eax
1:	cld
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.section .note.GNU-stack,"",@progbits
