/* SPDX-License-Identifier: MIT */
/*
 * Into the code cache and out of it.
 *
 * int tr_run(struct vcpu *v) goes to tr.target with v's registers; what ends it returns an EXIT_*
 * with them saved (but rip, which C knows better). Between tr_resume and tr_resume_end nothing has
 * changed yet: a kick there starts over, at tr_abort.
 */
#include "host-driver/providers/process/direct.h"
#include "host-driver/providers/process/translate/translate.h"

#define TR(slot)   %fs:(tr + (slot))@tpoff

	.text
	.globl	tr_run, tr_resume, tr_resume_end
	.type	tr_run, @function
tr_run:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, TR(T_HOST_RSP)
tr_resume:
	cmpl	$0, TR(T_KICKED)
	jne	tr_abort
	mov	R_R14(%rdi), %rax
	mov	%rax, TR(T_R14)
	mov	R_R15(%rdi), %rax
	mov	%rax, TR(T_R15)
	mov	R_RFLAGS(%rdi), %eax
	and	$FLAGS_HOST, %eax
	or	$0x202, %eax
	push	%rax
	popfq
	mov	TR(T_RESUME), %r14
	mov	TR(T_RESUME15), %r15
	mov	R_R13(%rdi), %r13
	mov	R_R12(%rdi), %r12
	mov	R_RBP(%rdi), %rbp
	mov	R_RBX(%rdi), %rbx
	mov	R_R11(%rdi), %r11
	mov	R_R10(%rdi), %r10
	mov	R_R9(%rdi), %r9
	mov	R_R8(%rdi), %r8
	mov	R_RAX(%rdi), %rax
	mov	R_RCX(%rdi), %rcx
	mov	R_RDX(%rdi), %rdx
	mov	R_RSI(%rdi), %rsi
	mov	R_RSP(%rdi), %rsp
	mov	R_RDI(%rdi), %rdi
	jmp	*TR(T_TARGET)
tr_resume_end:

/* A signal handler comes here with the host's stack; v->regs is what it is to be. */
	.globl	tr_abort, tr_trapped, tr_unread, tr_unshown
tr_abort:
	xor	%eax, %eax /* EXIT_KICK */
	jmp	leave
tr_trapped:
	mov	$EXIT_TRAP, %eax
	jmp	leave
tr_unread:
	mov	$EXIT_UPPER, %eax
	jmp	leave
tr_unshown:
	mov	$EXIT_WINDOW, %eax
leave:
	cld
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* r15 = the link or site. */
	.globl	tr_exit_link, tr_exit_memory, tr_exit_step, tr_save
tr_exit_link:
	mov	$EXIT_LINK, %r14d
	jmp	tr_save
tr_exit_memory:
	mov	$EXIT_MEMORY, %r14d
	jmp	tr_save
tr_exit_step:
	mov	$EXIT_STEP, %r14d
tr_save: /* r14d = why */
	mov	%r15, TR(T_ARG)
	mov	%fs:current@tpoff, %r15
	mov	%rsp, R_RSP(%r15)
	mov	TR(T_HOST_RSP), %rsp
	mov	%rax, R_RAX(%r15)
	pushfq
	pop	%rax
	cld
	and	$FLAGS_HOST, %eax
	mov	%rcx, R_RCX(%r15)
	mov	R_RFLAGS(%r15), %rcx
	and	$~FLAGS_HOST, %rcx
	or	%rcx, %rax
	mov	%rax, R_RFLAGS(%r15)
	mov	%rdx, R_RDX(%r15)
	mov	%rbx, R_RBX(%r15)
	mov	%rbp, R_RBP(%r15)
	mov	%rsi, R_RSI(%r15)
	mov	%rdi, R_RDI(%r15)
	mov	%r8, R_R8(%r15)
	mov	%r9, R_R9(%r15)
	mov	%r10, R_R10(%r15)
	mov	%r11, R_R11(%r15)
	mov	%r12, R_R12(%r15)
	mov	%r13, R_R13(%r15)
	mov	TR(T_R14), %rax
	mov	%rax, R_R14(%r15)
	mov	TR(T_R15), %rax
	mov	%rax, R_R15(%r15)
	mov	%r14d, %eax
	jmp	leave

/*
 * To the guest address in r14. Flags and all other registers stay: rcx, which alone can be tested
 * without them, is in its slot from tr_indirect_kept on.
 */
	.globl	tr_indirect, tr_indirect_kept, tr_indirect_end, tr_indirect_miss, tr_indirect_hit
tr_indirect:
	mov	%rcx, TR(T_RCX)
tr_indirect_kept:
	pext	TR(T_IBTC_MASK), %r14, %r15
	mov	TR(T_IBTC), %rcx
	lea	(%r15,%r15), %r15
	lea	(%rcx,%r15,8), %r15
	mov	(%r15), %rcx
	lea	(%rcx,%r14), %rcx
	jrcxz	tr_indirect_hit
	mov	TR(T_RCX), %rcx
tr_indirect_miss:
	mov	%r14, TR(T_EA)
	mov	$EXIT_INDIRECT, %r14d
	jmp	tr_save
tr_indirect_hit:
	mov	TR(T_RCX), %rcx
	jmp	*8(%r15)
tr_indirect_end:

/* The same behind a return, whose call has left where it goes, by the stack's place. */
	.globl	tr_return, tr_return_end
tr_return:
	mov	%rcx, TR(T_RCX)
	pext	TR(T_RET_MASK), %rsp, %r15
	lea	(%r15,%r15), %r15
	mov	TR(T_RETURNS), %rcx
	lea	(%rcx,%r15,8), %r15
	mov	(%r15), %rcx
	lea	(%rcx,%r14), %rcx
	jrcxz	tr_return_hit
	jmp	tr_indirect_kept
tr_return_hit:
	mov	TR(T_RCX), %rcx
	jmp	*8(%r15)
tr_return_end:

	.section .note.GNU-stack,"",@progbits
