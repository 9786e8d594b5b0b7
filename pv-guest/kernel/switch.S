/* SPDX-License-Identifier: MIT */
/* void thread_switch(struct thread *from, struct thread *to): sp is the first member. */
	.text
	.globl thread_switch
	.type thread_switch, @function
thread_switch:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	(%rsi), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.size thread_switch, . - thread_switch

	/* A new thread's first return address; thread.c built its stack so that rsp is aligned. */
	.globl thread_entry
thread_entry:
	call	thread_main
	ud2
	.section .note.GNU-stack, "", @progbits
