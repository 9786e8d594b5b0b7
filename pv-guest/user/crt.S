/* SPDX-License-Identifier: MIT */
/* Where a program begins: argc in rdi, argv in rsi. */
	.text
	.globl _start
	.type _start, @function
_start:
	xorl	%ebp, %ebp
	andq	$-16, %rsp
	call	start
	ud2
	.size _start, . - _start
	.section .note.GNU-stack, "", @progbits
