/* SPDX-License-Identifier: GPL-2.0-only */
/* Into the guest and out of it (SDM vol. 3, 27 and 28). */
#include <linux/linkage.h>

#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

#include "../abi/pvhost.h"

#define HOST_RSP 0x6c14

	.section .noinstr.text, "ax"

/*
 * bool pvhost_enter(struct pvhost_run *run, bool resume): the general registers come from and go
 * to the page that the process sees, but rsp, which is in the VMCS. 0 after an exit, 1 if the
 * CPU refused the instruction. Interrupts disabled. Nothing of the guest's is left in registers.
 */
SYM_FUNC_START(pvhost_enter)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi
	mov	$HOST_RSP, %eax
	vmwrite	%rsp, %rax
	UNWIND_HINT_SAVE

	test	%sil, %sil
	mov	PVHOST_RAX(%rdi), %rax
	mov	PVHOST_RCX(%rdi), %rcx
	mov	PVHOST_RDX(%rdi), %rdx
	mov	PVHOST_RBX(%rdi), %rbx
	mov	PVHOST_RBP(%rdi), %rbp
	mov	PVHOST_RSI(%rdi), %rsi
	mov	PVHOST_R8(%rdi), %r8
	mov	PVHOST_R9(%rdi), %r9
	mov	PVHOST_R10(%rdi), %r10
	mov	PVHOST_R11(%rdi), %r11
	mov	PVHOST_R12(%rdi), %r12
	mov	PVHOST_R13(%rdi), %r13
	mov	PVHOST_R14(%rdi), %r14
	mov	PVHOST_R15(%rdi), %r15
	mov	PVHOST_RDI(%rdi), %rdi
	jz	.Llaunch
	vmresume
	jmp	.Lfailed
.Llaunch:
	vmlaunch
.Lfailed:
	pop	%rdi
	mov	$1, %ebx
	jmp	.Lout

SYM_INNER_LABEL(pvhost_exit, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, PVHOST_RAX(%rdi)
	mov	%rcx, PVHOST_RCX(%rdi)
	mov	%rdx, PVHOST_RDX(%rdi)
	mov	%rbx, PVHOST_RBX(%rdi)
	mov	%rbp, PVHOST_RBP(%rdi)
	mov	%rsi, PVHOST_RSI(%rdi)
	mov	%r8, PVHOST_R8(%rdi)
	mov	%r9, PVHOST_R9(%rdi)
	mov	%r10, PVHOST_R10(%rdi)
	mov	%r11, PVHOST_R11(%rdi)
	mov	%r12, PVHOST_R12(%rdi)
	mov	%r13, PVHOST_R13(%rdi)
	mov	%r14, PVHOST_R14(%rdi)
	mov	%r15, PVHOST_R15(%rdi)
	pop	PVHOST_RDI(%rdi)
	pop	%rdi
	xor	%ebx, %ebx
.Lout:
	/* The guest trained the branch predictors; no return before these. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT
	ALTERNATIVE "jmp .Lspec_done", "", X86_FEATURE_KERNEL_IBRS
	mov	$MSR_IA32_SPEC_CTRL, %ecx	/* IBRS holds from its last write on */
	rdmsr
	wrmsr
.Lspec_done:
#ifdef HAVE_CLEAR_BRANCH_HISTORY
	CLEAR_BRANCH_HISTORY_VMEXIT
#endif
	mov	%ebx, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET
SYM_FUNC_END(pvhost_enter)
