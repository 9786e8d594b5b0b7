/* SPDX-License-Identifier: MIT */
/*
 * The guest kernel's side of the rows that enter it: as little as an entry can do. On each the
 * stack holds rcx, r11, [error code], rip, cs, rflags, rsp, ss; the iret hypercall takes a word of
 * flags in the error code's place.
 */
#include "tests/bench/pv/bench.h"

#define HYPERCALL_IRET (hypercall_page + 23 * 32)
#define IN_SYSCALL     0x100 /* VGCF_in_syscall: rcx and r11 are nobody's */
#define USER_SS	       0xe02b
#define USER_CS	       0xe033
#define FLAGS	       0x202

	.text
	/* The store that faulted is left out. */
	.globl	bench_page_fault
bench_page_fault:
	popq	%rcx
	popq	%r11
	movq	$0, (%rsp)
	addq	$STORE_LENGTH, 8(%rsp)
	jmp	HYPERCALL_IRET

	/* All that tells of the event goes, as an upcall's loop would have it. */
	.globl	bench_event
bench_event:
	popq	%rcx
	popq	%r11
	pushq	%rax
	movb	$0, pv_shared_info + UPCALL_PENDING
	movq	$0, pv_shared_info + PENDING_SEL
	movl	bench_port, %eax
	lock btrq %rax, pv_shared_info + PENDING
	popq	%rax
	pushq	$0
	jmp	HYPERCALL_IRET

	/* eax: 0 is the call that is measured, and does nothing; 1 ends bench_user(). */
	.globl	bench_syscall
bench_syscall:
	testl	%eax, %eax
	jnz	1f
	popq	%rcx
	popq	%r11
	pushq	$IN_SYSCALL
	jmp	HYPERCALL_IRET
1:	movq	bench_sp, %rsp
	movq	%rdi, %rax
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	/* uint64_t bench_user(unsigned n, uint64_t address, uint64_t rip) */
	.globl	bench_user
bench_user:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, bench_sp
	pushq	$USER_SS
	pushq	$0
	pushq	$FLAGS
	pushq	$USER_CS
	pushq	%rdx
	pushq	$0
	jmp	HYPERCALL_IRET

	/* void bench_iret(unsigned n): to the next instruction, as from the end of a trap */
	.globl	bench_iret
bench_iret:
	pushq	%rbp
	movq	%rsp, %rbp
1:	pushq	$USER_SS
	pushq	%rbp
	pushq	$FLAGS
	pushq	$(USER_CS - 3)
	pushq	$2f
	pushq	$0
	jmp	HYPERCALL_IRET
2:	decl	%edi
	jnz	1b
	popq	%rbp
	ret

	/* void bench_faults(unsigned n, uint64_t address) */
	.globl	bench_faults
bench_faults:
	movb	$0, (%rsi)
	decl	%edi
	jnz	bench_faults
	ret

/*
 * What runs in user mode, copied to a page there: edi rounds, rsi an address that has no page;
 * the TSC's difference is what the last system call carries back.
 */
	.macro	user_loop what:req, more:vararg
	movl	%edi, %ebx
	rdtsc
	shlq	$32, %rdx
	orq	%rax, %rdx
	movq	%rdx, %r8
1:	\what
	\more
	decl	%ebx
	jnz	1b
	rdtsc
	shlq	$32, %rdx
	orq	%rdx, %rax
	subq	%r8, %rax
	movq	%rax, %rdi
	movl	$1, %eax
	syscall
	.endm

	.globl	user_code, user_faults, user_code_end
user_code:
	user_loop "xorl %eax, %eax", syscall
user_faults:
	user_loop "movb $0, (%rsi)"
user_code_end:

	.bss
	.balign	8
bench_sp:
	.quad	0
	.globl	bench_port
bench_port:
	.quad	0
	.section .note.GNU-stack, "", @progbits
