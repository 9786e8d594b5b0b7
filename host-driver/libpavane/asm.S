/* SPDX-License-Identifier: MIT */
/* Ways between ring 0 and ring 3, and between the inside and the outside of a thread. */
#include "host-driver/libpavane/internal.h"

	.text
	.macro	func name
	.globl	\name
	.hidden	\name
	.type	\name, @function
\name:
	.endm

	.macro	push_regs
	push	%rdi
	push	%rsi
	push	%rdx
	.endm

	.macro	push_rest
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	.endm

	.macro	pop_all_iret
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rsi
	pop	%rdi
	add	$16, %rsp
	iretq
	.endm

/* 256 stubs: vectors 8, 10-14, 17, 21, 29, 30 come with an error code. */
	.balign	VECTOR_STUB_SIZE
func pv_vectors
	vector = 0
	.rept	256
	.balign	VECTOR_STUB_SIZE
	.if	(vector > 31) || (((0x60227d00 >> (vector & 31)) & 1) == 0)
	push	$0
	.endif
	push	$vector
	jmp	pv_trap
	vector = vector + 1
	.endr

/*
 * On the thread's exception stack: vector, error, rip, cs, rflags, rsp, ss. The frame is made on
 * the stack that was interrupted, below its red zone, so that exceptions nest; from ring 3, where
 * pv_user_run left off.
 */
	.globl	pv_trap
	.type	pv_trap, @function
pv_trap:
	push	%rax
	push	%rcx
	mov	%rsp, %rcx
	testb	$3, 40(%rcx)
	jnz	1f
	mov	56(%rcx), %rax
	sub	$128, %rax
	and	$-16, %rax
	mov	%rax, %rsp
	jmp	2f
1:	mov	%rcx, %rax
	and	$-THREAD_SIZE, %rax
	mov	T_KERNEL_RSP(%rax), %rsp
2:	pushq	64(%rcx)
	pushq	56(%rcx)
	pushq	48(%rcx)
	pushq	40(%rcx)
	pushq	32(%rcx)
	pushq	24(%rcx)
	pushq	16(%rcx)
	push_regs
	pushq	(%rcx)
	pushq	8(%rcx)
	push_rest
	cld
	testb	$3, F_CS(%rsp)
	jnz	3f
	mov	%rsp, %rdi
	call	pv_dispatch
	pop_all_iret
3:	mov	%rcx, %rbx
	and	$-THREAD_SIZE, %rbx
	jmp	from_user

/* From the thread's stub: rsp is its entry stack's top, rcx and r11 the caller's rip and flags. */
func pv_syscall_entry
	cmpb	$0, (T_IN_USER - T_ENTRY_TOP)(%rsp)
	jne	1f
	mov	(T_SCRATCH - T_ENTRY_TOP)(%rsp), %rsp
	/* Ring 0 called the host; the other half sees to it and to the return. */
	.globl	pv_syscall_exit
	.type	pv_syscall_exit, @function
pv_syscall_exit:
	vmcall
	ud2
1:	push	%rax
	lea	(8 - T_ENTRY_TOP)(%rsp), %rax
	mov	T_KERNEL_RSP(%rax), %rsp
	pushq	$SEL_USER_DATA
	pushq	T_SCRATCH(%rax)
	push	%r11
	pushq	$SEL_USER_CODE
	push	%rcx
	pushq	$0
	pushq	$256
	push_regs
	push	%rcx
	pushq	(T_ENTRY_TOP - 8)(%rax)
	push_rest
	mov	%rax, %rbx

/* rbx = the thread, rsp = the frame. */
from_user:
	movb	$0, T_IN_USER(%rbx)
	rdfsbase %rax
	mov	%rax, T_USER_FS(%rbx)
	mov	T_FS(%rbx), %rax
	wrfsbase %rax
	mov	%rsp, %rdi
	call	pv_dispatch
	cli
	cmpb	$0, T_STOP(%rbx)
	jne	stop
to_user:
	mov	T_USER_FS(%rbx), %rax
	wrfsbase %rax
	movb	$1, T_IN_USER(%rbx)
	pop_all_iret

/* void pv_user_run_asm(struct pv_frame *regs, struct thread *t) */
func pv_user_run_asm
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	pushfq
	push	%rdi
	mov	%rsi, %rbx
	pushq	T_KERNEL_RSP(%rbx)
	pushq	%rbp
	cli
	sub	$8, %rsp
	mov	%rsp, T_KERNEL_RSP(%rbx)
	movb	$0, T_STOP(%rbx)
	sub	$F_SIZE, %rsp
	mov	%rdi, %rsi
	mov	%rsp, %rdi
	mov	$(F_SIZE / 8), %ecx
	rep movsq
	jmp	to_user

stop:
	mov	T_KERNEL_RSP(%rbx), %rax
	mov	%rsp, %rsi
	lea	8(%rax), %rsp
	pop	%rbp
	popq	T_KERNEL_RSP(%rbx)
	pop	%rdi
	mov	$(F_SIZE / 8), %ecx
	rep movsq
	movb	$0, T_STOP(%rbx)
	popfq
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret

/*
 * void pv_go_inside(struct thread *t, struct pvhost_run *run, void *host_stack): the vCPU starts
 * with this function's return; the thread goes on as its other half.
 */
func pv_go_inside
	mov	(%rsp), %rax
	mov	%rax, PVHOST_RIP(%rsi)
	lea	8(%rsp), %rax
	mov	%rax, PVHOST_RSP(%rsi)
	mov	%rbx, PVHOST_RBX(%rsi)
	mov	%rbp, PVHOST_RBP(%rsi)
	mov	%r12, PVHOST_R12(%rsi)
	mov	%r13, PVHOST_R13(%rsi)
	mov	%r14, PVHOST_R14(%rsi)
	mov	%r15, PVHOST_R15(%rsi)
	mov	%rdx, %rsp
	call	pv_outside
	ud2

/* void pv_become(const struct pvhost_run *run): be where it is, as an ordinary thread. */
func pv_become
	pushq	PVHOST_RFLAGS(%rdi)
	popfq
	mov	PVHOST_RAX(%rdi), %rax
	mov	PVHOST_RIP(%rdi), %rcx	/* lost in any system call */
	mov	PVHOST_RDX(%rdi), %rdx
	mov	PVHOST_RBX(%rdi), %rbx
	mov	PVHOST_RSP(%rdi), %rsp
	mov	PVHOST_RBP(%rdi), %rbp
	mov	PVHOST_RSI(%rdi), %rsi
	mov	PVHOST_R8(%rdi), %r8
	mov	PVHOST_R9(%rdi), %r9
	mov	PVHOST_R10(%rdi), %r10
	mov	PVHOST_R12(%rdi), %r12
	mov	PVHOST_R13(%rdi), %r13
	mov	PVHOST_R14(%rdi), %r14
	mov	PVHOST_R15(%rdi), %r15
	mov	PVHOST_RDI(%rdi), %rdi
	jmp	*%rcx

/*
 * long pv_clone_call(long nr, const struct pvhost_run *run, void *child_stack): clone or clone3
 * as the inside asked. A child on a stack of its own starts with the caller's registers where the
 * caller would go on, as an ordinary thread; its way there waits just below its stack.
 */
func pv_clone_call
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	mov	PVHOST_RCX(%rsi), %rax
	mov	%rax, -8(%rdx)
	mov	PVHOST_RBX(%rsi), %rbx
	mov	PVHOST_RBP(%rsi), %rbp
	mov	PVHOST_R12(%rsi), %r12
	mov	PVHOST_R13(%rsi), %r13
	mov	PVHOST_R14(%rsi), %r14
	mov	PVHOST_R15(%rsi), %r15
	mov	PVHOST_R8(%rsi), %r8
	mov	PVHOST_R9(%rsi), %r9
	mov	PVHOST_R10(%rsi), %r10
	mov	PVHOST_RDX(%rsi), %rdx
	mov	PVHOST_RDI(%rsi), %rdi
	mov	PVHOST_RSI(%rsi), %rsi
	pop	%rax
	syscall
	test	%rax, %rax
	jz	1f
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
1:	jmp	*-8(%rsp)

/* long pv_host_call(nr, a1, ..., a6), pv_raw the same: a system call from either side. */
	.globl	pv_host_call
	.type	pv_host_call, @function
pv_host_call:
func pv_raw
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	mov	%r9, %r8
	mov	8(%rsp), %r9
	syscall
	ret

	.section .note.GNU-stack,"",@progbits
