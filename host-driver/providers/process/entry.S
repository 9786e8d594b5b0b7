/* SPDX-License-Identifier: MIT */
/*
 * The way into the monitor and back, without the host kernel.
 *
 * A stub of the hypercall page loads the number into eax and jumps to a gate, which leads to
 * direct_entry. FS stays the monitor's while the guest runs (GS is the guest's), so FS finds the
 * vCPU. All general registers and the flags are kept in v->regs; vector registers are left alone
 * by a monitor that is compiled without them.
 *
 * Once a vCPU of the domain has an FS base of its own the gates lead to direct_trap instead: the
 * alternate stack finds the vCPU then, and every way into the monitor is a signal.
 */
#include "host-driver/providers/process/direct.h"

	.text
	.globl	direct_gate, direct_gate_iret, direct_trap, direct_trap_iret
direct_gate:
	jmp	*direct_gate_to(%rip)
direct_gate_iret:
	jmp	*direct_gate_iret_to(%rip)
direct_trap:
	ud2
direct_trap_iret:
	ud2

	.globl	direct_entry, direct_entry_iret
	.type	direct_entry, @function
	.type	direct_entry_iret, @function

/* iret: jumped to, nothing to return to, its frame on top of the guest's stack. */
direct_entry_iret:
	mov	%rcx, %fs:direct_scratch@tpoff
	mov	%fs:current@tpoff, %rcx
	mov	%rdx, R_RDX(%rcx)
	mov	%rsp, %rdx
	jmp	1f

/* The guest `call`ed the stub, so its return address is what rip becomes. */
direct_entry:
	mov	%rcx, %fs:direct_scratch@tpoff
	mov	%fs:current@tpoff, %rcx
	mov	%rdx, R_RDX(%rcx)
	mov	(%rsp), %rdx
	.globl	direct_entry_saved
direct_entry_saved:
	mov	%rdx, R_RIP(%rcx)
	lea	8(%rsp), %rdx
1:	mov	%rdx, R_RSP(%rcx)
	mov	%fs:direct_scratch@tpoff, %rdx
	mov	%rdx, R_RCX(%rcx)
	mov	%fs:direct_stack@tpoff, %rsp
	pushfq
	popq	R_RFLAGS(%rcx)
	mov	%r15, R_R15(%rcx)
	mov	%r14, R_R14(%rcx)
	mov	%r13, R_R13(%rcx)
	mov	%r12, R_R12(%rcx)
	mov	%rbp, R_RBP(%rcx)
	mov	%rbx, R_RBX(%rcx)
	mov	%r11, R_R11(%rcx)
	mov	%r10, R_R10(%rcx)
	mov	%r9, R_R9(%rcx)
	mov	%r8, R_R8(%rcx)
	mov	%rax, R_RAX(%rcx)
	mov	%rsi, R_RSI(%rcx)
	mov	%rdi, R_RDI(%rcx)
	cld
	/* A guest that runs with AC or TF set must not make the monitor fault. */
	testl	$0x40100, R_RFLAGS(%rcx)
	jnz	3f
2:	mov	%eax, %esi
	mov	%rcx, %rdi
	call	direct_hypercall
	mov	%rax, %rdi
	jmp	direct_resume
3:	pushq	$0x202
	popfq
	jmp	2b

/*
 * rdi = the vCPU. From here to direct_resume_end nothing but v->regs holds the guest's state:
 * a signal handler that finds rip in between starts the sequence again, so a kick is never
 * missed between the test and the guest's next instruction.
 */
	.globl	direct_resume, direct_resume_end, direct_by_signal
direct_resume:
	cmpb	$0, %fs:direct_kicked@tpoff
	jne	direct_slow
	cmpb	$0, direct_fs_owned(%rip)
	jne	direct_by_signal
	testl	$0x100, R_RFLAGS(%rdi)	/* single step: only sigreturn sets TF and rip at once */
	jnz	direct_by_signal
	mov	R_RIP(%rdi), %rax
	mov	%rax, %fs:direct_scratch@tpoff
	pushq	R_RFLAGS(%rdi)
	popfq
	mov	R_R15(%rdi), %r15
	mov	R_R14(%rdi), %r14
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
	jmp	*%fs:direct_scratch@tpoff
direct_resume_end:

direct_slow:
	call	direct_work
	mov	%rax, %rdi
	jmp	direct_resume

direct_by_signal:
	ud2

/* void direct_start(struct vcpu *v): give this stack to the monitor and enter the guest. */
	.globl	direct_start
	.type	direct_start, @function
direct_start:
	and	$-16, %rsp
	mov	%rsp, %fs:direct_stack@tpoff
	jmp	direct_resume

/*
 * Every signal handler: rdi, rsi, rdx as POSIX has them. FS may be the guest's, and so may AC: the
 * monitor's FS lies at the bottom of the thread's alternate stack (none: a thread that runs no
 * guest). signals_handle says what to leave in FS.
 */
	.globl	direct_signal
	.type	direct_signal, @function
direct_signal:
	sub	$8, %rsp
	pushq	$0x202
	popfq
	rdfsbase %rcx
	mov	UC_STACK_SP(%rdx), %rax
	test	%rax, %rax
	jz	1f
	mov	(%rax), %rax
	wrfsbase %rax
1:	call	signals_handle
	wrfsbase %rax
	add	$8, %rsp
	ret

	.section .note.GNU-stack,"",@progbits
