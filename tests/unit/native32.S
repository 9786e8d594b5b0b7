/* SPDX-License-Identifier: MIT */
/* int native32(struct regs32 *r): a case on the CPU itself; see test_step32.c. */

	.text
	.globl	native32, native32_back, native32_faulted
native32:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, native32_rsp(%rip)
	mov	%rdi, native32_regs(%rip)
	mov	$0x2b, %eax
	mov	%eax, %ds
	mov	%eax, %es
	push	64(%rdi)
	popfq
	mov	0(%rdi), %rax
	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rbx
	mov	32(%rdi), %rsp
	mov	40(%rdi), %rbp
	mov	48(%rdi), %rsi
	mov	56(%rdi), %rdi
	ljmpl	*native32_to(%rip)

/* At its end. Nothing but mov until the flags are safe. */
native32_back:
	mov	%rdi, native32_rdi(%rip)
	mov	native32_regs(%rip), %rdi
	mov	%rax, 0(%rdi)
	mov	%rcx, 8(%rdi)
	mov	%rdx, 16(%rdi)
	mov	%rbx, 24(%rdi)
	mov	%rsp, 32(%rdi)
	mov	%rbp, 40(%rdi)
	mov	%rsi, 48(%rdi)
	mov	native32_rsp(%rip), %rsp
	pushfq
	pop	64(%rdi)
	mov	native32_rdi(%rip), %rax
	mov	%rax, 56(%rdi)
/* The signal handler sends the thread here. */
native32_faulted:
	cld
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	native32_rsp(%rip), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.data
	.globl	native32_to
native32_to:
	.long	0x40000000
	.short	0x23
	.balign	8
native32_rsp:
	.quad	0
native32_regs:
	.quad	0
native32_rdi:
	.quad	0

	.section .note.GNU-stack,"",@progbits
