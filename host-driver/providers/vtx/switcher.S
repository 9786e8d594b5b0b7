/* SPDX-License-Identifier: MIT */
/*
 * The way between the guest (ring 3, its own root) and the monitor (ring 0, its own root).
 *
 * These two pages are mapped at the start of every vCPU's area, in every root; nothing here may
 * touch an address that is not in the area before CR3 is the monitor's. Interrupts are off.
 */
#include "host-driver/providers/vtx/vtx.h"
#include "hypercalls/monitor/x86.h"

#define S(field) (switcher + AREA_STATE + (field))(%rip)
#define V(field) (switcher + AREA_VCPU + VCPU_SHIFT + (field))(%rip)

	.macro	push_first
	push	%rdi
	push	%rsi
	push	%rdx
	push	%rcx
	push	%rax
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

	.macro	pop_regs
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
	.endm

/* Leaves rsi and rdx alone; rdi = the vCPU. Until here the exceptions' stack is v->regs. */
	.macro	become_monitor
	lea	S(S_STACK_TOP), %rax
	mov	%rax, S(S_IST1)
	movb	$0, S(S_IN_GUEST)
	rdfsbase %rax
	mov	%rax, V(V_FS_BASE)
	mov	S(S_MONITOR_FS), %rax
	wrfsbase %rax
	mov	S(S_MONITOR_CR3), %rax
	mov	%rax, %cr3
	mov	S(S_VCPU), %rdi
	.endm

	.text
	.balign	4096
	.globl	switcher, switcher_vectors, switcher_vectors_high, switcher_syscall, switcher_resume
switcher:

/* Ring 3 is recognized before the vector is noted where struct cpu_user_regs has it. */
	.macro	vector nr, guest=from_guest, ring0=from_ring0
	.balign	VECTOR_STUB_SIZE
	.if	(\nr > 31) || (((0x60227d00 >> (\nr & 31)) & 1) == 0)
	push	$0
	.endif
	testb	$3, 16(%rsp)
	jz	1f
	.if	\nr == VECTOR_PF
	jmp	fast_page_fault
	.else
	movl	$\nr, 4(%rsp)
	jmp	\guest
	.endif
1:	push	$\nr
	jmp	\ring0
	.endm

switcher_vectors:
	vector	0
	vector	VECTOR_DB, debug_guest, debug_trap
	nr = 2
	.rept	30
	vector	nr
	nr = nr + 1
	.endr
	.balign	VECTOR_STUB_SIZE
switcher_vectors_high:
	vector	VECTOR_INT80
	vector	VECTOR_KICK
	vector	VECTOR_TIMER

/* The monitor's own, or the way back to the guest failed. */
from_ring0:
	cmpb	$0, S(S_IN_GUEST)
	jne	from_return
	jmp	*S(S_PV_TRAP)

/*
 * A debug exception has a stack of its own: it may come while pv_trap works on the other one. From
 * ring 3 its frame goes where others are from the beginning.
 */
debug_guest:
	pop	V(V_ERROR)
	pop	V(V_RIP)
	pop	V(V_CS)
	pop	V(V_RFLAGS)
	pop	V(V_RSP)
	pop	V(V_SS)
	lea	V(V_ERROR), %rsp
	jmp	from_guest

/*
 * The monitor came to an address where the guest has a breakpoint: all of them are off until the
 * way back. No address of an area has one. Or a single step, which some CPUs (Bochs) tell behind a
 * `syscall` although that clears TF. What fast.S began takes the slow way, which turns them on.
 */
debug_trap:
	mov	%rax, (%rsp)	/* not the vector any more */
	push	%rcx
	xor	%eax, %eax
	mov	%rax, %dr7
	mov	$DR6_NONE, %eax
	mov	%rax, %dr6
	movb	$1, S(S_DIRTY)
	mov	24(%rsp), %rax
	lea	fast_begin(%rip), %rcx
	sub	%rcx, %rax
	pop	%rcx
	cmp	$(fast_end - fast_begin), %rax
	mov	(%rsp), %rax
	jb	fast_fault
	add	$16, %rsp
	iretq

/* Its frame lies where that of the guest was, which is gone: `before` has it. */
from_return:
	mov	16(%rsp), %rax
	lea	fast_begin(%rip), %rcx
	sub	%rcx, %rax
	cmp	$(fast_end - fast_begin), %rax
	jb	fast_fault
	lea	return_insn(%rip), %rax
	cmp	%rax, 16(%rsp)
	jne	dead
	pop	%rsi
	pop	%rdx
	become_monitor
	mov	S(S_MONITOR_RSP), %rsp
	call	*S(S_FAULT)
	jmp	switcher_resume

/* A fault of these very pages: there is nothing left to stand on. */
dead:
	lidt	S(S_NO_IDT)
	ud2

/* rsp is at error code and vector in v->regs, what the CPU pushed above them. */
from_guest:
	push_first
	mov	%cr2, %rax
slow_trap:
	push_rest
	cld
	mov	%rax, S(S_CR2)
	become_monitor
	mov	S(S_MONITOR_RSP), %rsp
	call	*S(S_TRAP)
	jmp	switcher_resume

/* `syscall`: rcx and r11 are its rip and flags. */
switcher_syscall:
	cmpb	$0, S(S_IN_GUEST)
	je	1f
	mov	%rsp, V(V_RSP)
	lea	V(V_RSP), %rsp
	push	%r11
	push	$SEL_GUEST_CS
	push	%rcx
	push	$0
	push_first
	movq	$SEL_GUEST_SS, V(V_SS)
	cmpb	$0, V(V_KERNEL_MODE)
	je	fast_syscall
	cmp	$HYPERCALL_IRET, %rax
	je	fast_iret
slow_syscall:
	push_rest
	become_monitor
	mov	S(S_MONITOR_RSP), %rsp
	call	*S(S_SYSCALL)

/* al: v->regs is as sysret would leave it. */
switcher_resume:
	mov	$1, %cl
	xchg	%cl, S(S_IN_GUEST)	/* before `flush` is looked at: flush.c looks the other way */
	cmpl	$0, S(S_FLUSH)
	jne	flush
2:	lea	V(V_REGS_END), %rdx
	mov	%rdx, S(S_IST1)
	mov	V(V_FS_BASE), %rdx
	wrfsbase %rdx
	movzbl	V(V_KERNEL_MODE), %ecx
	lea	S(S_CR3), %rdx
	mov	(%rdx,%rcx,8), %rbx
	mov	%rbx, %cr3
	or	S(S_KEEP), %rbx
	mov	%rbx, (%rdx,%rcx,8)
	lea	V(V_R15), %rsp
	test	%al, %al
	jz	3f
	pop_regs
	mov	V(V_RSP), %rsp
	sysretq
3:	pop_regs
	add	$8, %rsp
return_insn:
	iretq

1:	jmp	*S(S_HOST_CALL)

flush:
	xor	%ecx, %ecx
	xchg	%ecx, S(S_FLUSH)
	btrq	$63, S(S_CR3)
	btrq	$63, S(S_CR3 + 8)
	jmp	2b

#include "host-driver/providers/vtx/fast.S"

	.org	switcher + CODE_PAGES * 4096 /* an error if there is more */

/* void vtx_start(struct vtx_state *s, uint64_t resume): this stack is the monitor's from now on. */
	.globl	vtx_start
	.type	vtx_start, @function
vtx_start:
	and	$-16, %rsp
	mov	%rsp, S_MONITOR_RSP(%rdi)
	xor	%eax, %eax
	jmp	*%rsi

/* int vtx_load_selectors(const regs_t *r) */
	.globl	vtx_load_selectors, vtx_load_selectors_end, vtx_load_selectors_failed
	.type	vtx_load_selectors, @function
vtx_load_selectors:
	rdfsbase %rdx		/* the monitor's, without which no fault can be handled */
	mov	V_ES(%rdi), %es
	mov	V_DS(%rdi), %ds
	mov	V_GS(%rdi), %gs
	mov	V_FS(%rdi), %fs
vtx_load_selectors_end:
	wrfsbase %rdx
	xor	%eax, %eax
	ret
vtx_load_selectors_failed:
	mov	$-1, %eax
	ret

	.section .note.GNU-stack,"",@progbits
