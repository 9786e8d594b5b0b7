/* SPDX-License-Identifier: MIT */
/*
 * long user_copy(void *dst, const void *src, size_t n): one of them is the user's. A fault at
 * user_copy_insn that cannot be mended goes on at user_copy_fault (user_trap.c).
 */
	.text
	.globl user_copy, user_copy_insn, user_copy_fault
	.type user_copy, @function
user_copy:
	movq	%rdx, %rcx
user_copy_insn:
	rep movsb
	xorl	%eax, %eax
	ret
user_copy_fault:
	movq	$-14, %rax
	ret
	.size user_copy, . - user_copy
	.section .note.GNU-stack, "", @progbits
