/* SPDX-License-Identifier: MIT */
/*
 * From user code to the guest's kernel by a system call, and back by the iret hypercall, without
 * leaving the cache: what tr_syscall(), syscall_deliver() and do_iret() of traps.c do, for the case
 * that all is as usual. Whatever is not goes their way, with the registers as they were.
 *
 * For other threads the vCPU is in the cache all the time: it says in_guest, and who wants it to
 * see something kicks it. A kick is looked at in the end (`_late` to `_end`; signal.c). Guest memory
 * is found by the kernel's TLB, as by the guest itself; it is read once, for others may change it.
 * If the frame's page moves (lend.c) before the last store to it, at `_kept`, this way is left.
 *
 * The registers that `syscall` or the frame replace are free: rcx and r11, and rax of an iret.
 */
#include "host-driver/providers/process/direct.h"
#include "host-driver/providers/process/translate/translate.h"
#include "host-driver/providers/process/translate/upper.h"

#define TR(slot)  %fs:(tr + (slot))@tpoff
#define TLB(what) %fs:(tr_kernel_tlb + (what))@tpoff

#define GUEST_CS   0xe033
#define GUEST_SS   0xe02b
#define FLAG_ONE   0x2
#define FLAG_IF	   0x200
#define FLAG_DF	   0x400
#define FLAGS_ELSE 0x77100 /* AC VM RF NT IOPL TF: none of them is usual */
#define FLAGS_USUAL 0x2008d5 /* ID, and the arithmetic ones */
#define IN_SYSCALL 1	   /* VGCF_in_syscall, in the second byte of iret_context.flags */

/* Frames, bytes: of a system call, below the kernel's stack pointer; iret_context. */
#define CALL_SIZE   56
#define CALL_RCX    0
#define CALL_R11    8
#define CALL_RIP    16
#define CALL_CS	    24
#define CALL_FLAGS  32
#define CALL_RSP    40
#define CALL_SS	    48
#define IRET_SIZE   72
#define IRET_RAX    0
#define IRET_R11    8
#define IRET_RCX    16
#define IRET_BITS   25 /* the second byte of `flags` */
#define IRET_RIP    32
#define IRET_CS	    40
#define IRET_FLAGS  48
#define IRET_RSP    56
#define IRET_SS	    64

/* Nobody wants to see this, and no descriptor or vm_assist changed (provider.h, load_tables). */
	.macro	usual scratch, slow
	cmpl	$0, TR(T_CROSSES)
	je	\slow
	cmpl	$0, trace_what(%rip)
	jne	\slow
	mov	descriptor_changes(%rip), \scratch
	cmp	\scratch, TR(T_DESCRIPTORS)
	jne	\slow
	.endm

/* `place` = the host's address of the frame at rsp, by what the kernel's TLB has for it. */
	.macro	frame_find place, index, neg, page, size, slow
	rorx	$(12 - TLB_SHIFT), %rsp, \index
	and	$((KERNEL_TLB_SIZE - 1) << TLB_SHIFT), \index
	mov	TLB(\neg)(\index), \place
	add	%rsp, \place
	cmp	$(4096 - \size), \place
	ja	\slow
	add	TLB(\page)(\index), \place
	.endm

/* The flags of T_SCRATCH, where DF is clear; rax is lost. */
	.macro	flags_load
	mov	TR(T_SCRATCH), %eax
	shl	$8, %eax	/* ah: but for OF */
	bt	$19, %eax
	setc	%al
	add	$0x7f, %al	/* OF */
	sahf
	.endm

/*
 * To the guest address in r14, of the context in r15. Each has a jump of its own, for the CPU to
 * foresee where it goes.
 */
	.macro	enter name
	mov	%r15, TR(T_CONTEXT)
	lea	C_RETURNS(%r15), %rax
	mov	%rax, TR(T_RETURNS)
	add	$C_IBTC, %r15
	mov	%r15, TR(T_IBTC)
	mov	%r14d, %eax
	shl	$3, %eax
	and	$((IBTC_SIZE - 1) << 4), %eax
	add	%rax, %r15
\name\()_late:
	cmpl	$0, TR(T_KICKED)
	jne	tr_crossed
	mov	(%r15), %rax
	add	%r14, %rax
	jne	tr_crossed
	flags_load
	mov	TR(T_RAX), %rax
	jmp	*8(%r15)
\name\()_end:
	.endm

	.text
	.globl	tr_exit_syscall, tr_call_kept, tr_call_late, tr_call_end, tr_call_slow
	.globl	tr_exit_hypercall, tr_iret, tr_iret_kept, tr_iret_late, tr_iret_end, tr_iret_slow
	.globl	tr_crossed

/* The way is gone, to the address in r14, but the cache is to be left, or does not know it. */
tr_crossed:
	flags_load
	mov	TR(T_RAX), %rax
	jmp	tr_indirect_miss

/* `syscall` of user code: r14 = the address behind it, r15 = the site. */
tr_exit_syscall:
	mov	%r15, TR(T_ARG)
	mov	%rcx, TR(T_RCX)
	mov	%r11, TR(T_R11)
	mov	%rax, TR(T_RAX)
	mov	%rsp, TR(T_RSP)
	mov	TR(T_HOST_RSP), %rsp
	pushfq
	pop	%r11
	mov	%r11, TR(T_SCRATCH)
	mov	%fs:current@tpoff, %r15
	usual	%rcx, tr_call_slow
	and	$FLAGS_HOST, %r11d
	mov	R_RFLAGS(%r15), %rcx
	and	$~FLAGS_HOST, %rcx
	or	%rcx, %r11
	test	$(FLAGS_ELSE | FLAG_DF), %r11d
	jnz	tr_call_slow
	or	$FLAG_IF, %r11
	mov	V_INFO(%r15), %rcx
	cmpb	$0, INFO_MASK(%rcx)
	jne	tr_call_slow
	mov	V_KERNEL_SP(%r15), %rsp
	and	$-16, %rsp
	sub	$CALL_SIZE, %rsp
	frame_find %rax, %rcx, E_WRITE_NEG, E_WRITE, CALL_SIZE, tr_call_slow
	mov	%r14, CALL_RCX(%rax)
	mov	%r14, CALL_RIP(%rax)
	mov	%r11, CALL_FLAGS(%rax)
	or	$2, %r11
	mov	%r11, CALL_R11(%rax)
	movq	$GUEST_CS, CALL_CS(%rax)
	movq	$GUEST_SS, CALL_SS(%rax)
	mov	TR(T_RSP), %rcx
	mov	%rcx, CALL_RSP(%rax)
	mov	V_INFO(%r15), %rcx
	movb	$1, INFO_MASK(%rcx)
tr_call_kept:
	mov	%r14, %rcx
	movb	$1, V_KERNEL_MODE(%r15)
	mov	$GUEST_CS, %eax
	mov	%ax, V_CS(%r15)
	mov	$GUEST_SS, %eax
	mov	%ax, V_SS(%r15)
	mov	V_GS_KERNEL(%r15), %rax
	mov	%rax, TR(T_GS_BASE)
	mov	$UPPER_BASE, %rax
	wrgsbase %rax
	mov	V_SYSCALL_CALLBACK(%r15), %r14
	mov	TR(T_NOW_KERNEL), %r15
	enter	tr_call

tr_call_slow:
	mov	TR(T_HOST_RSP), %rsp
	push	TR(T_SCRATCH)
	popfq
	mov	TR(T_RSP), %rsp
	mov	TR(T_RAX), %rax
	mov	TR(T_RCX), %rcx
	mov	TR(T_R11), %r11
	jmp	exit_syscall

/* `syscall` of the guest's kernel: r15 = the site. */
tr_exit_hypercall:
	mov	%r15, TR(T_ARG)
	mov	%rcx, TR(T_RCX)
	lea	-CALL_IRET(%rax), %rcx
	jrcxz	2f
1:	mov	TR(T_RCX), %rcx
exit_syscall:
	mov	TR(T_ARG), %r15
	mov	$EXIT_SYSCALL, %r14d
	jmp	tr_save
2:	mov	TR(T_CROSSES), %rcx
	jrcxz	1b /* check.c compares the flags */

/* What they are is of no matter any more, nor is r11. */
tr_iret:
	mov	%rsp, TR(T_RSP)
	mov	%fs:current@tpoff, %r15
	usual	%rcx, tr_iret_slow
	frame_find %rcx, %r14, E_READ_NEG, E_READ, IRET_SIZE, tr_iret_slow
	movzwl	IRET_CS(%rcx), %eax
	cmp	TR(T_USER_CS), %rax
	jne	tr_iret_slow
	not	%eax
	test	$3, %al
	jnz	tr_iret_slow
	movzwl	IRET_SS(%rcx), %eax
	or	$3, %eax
	cmp	TR(T_USER_SS), %rax
	jne	tr_iret_slow
	mov	IRET_FLAGS(%rcx), %r11d
	mov	%r11d, %eax
	and	$~FLAGS_USUAL, %eax
	cmp	$(FLAG_IF | FLAG_ONE), %eax
	jne	tr_iret_slow
	mov	%r11, TR(T_SCRATCH)
	cmpb	$0, V_NMI_PENDING(%r15)
	jne	tr_iret_slow
	mov	V_INFO(%r15), %r14
	cmpb	$0, INFO_PENDING(%r14)
	jne	tr_iret_slow
	mov	IRET_RAX(%rcx), %rax
	mov	%rax, TR(T_RAX)
	mov	IRET_RIP(%rcx), %rax
	mov	IRET_RSP(%rcx), %rsp
	testb	$IN_SYSCALL, IRET_BITS(%rcx)
	jz	1f
	cmpl	$GUEST_CS, TR(T_USER_CS) /* they are these then, whatever the frame has */
	jne	tr_iret_slow
	cmpl	$GUEST_SS, TR(T_USER_SS)
	jne	tr_iret_slow
	mov	%rax, %rcx
	jmp	2f
1:	mov	IRET_R11(%rcx), %r11
	mov	IRET_RCX(%rcx), %rcx
2:	movb	$0, INFO_MASK(%r14)
tr_iret_kept:
	mov	%rax, %r14
	cld
	movb	$0, V_KERNEL_MODE(%r15)
	movb	$0, V_NMI_MASKED(%r15)
	mov	TR(T_SCRATCH), %rax
	mov	%rax, R_RFLAGS(%r15)
	mov	TR(T_USER_CS), %rax
	mov	%ax, V_CS(%r15)
	mov	TR(T_USER_SS), %rax
	mov	%ax, V_SS(%r15)
	mov	V_GS_USER(%r15), %rax
	mov	%rax, TR(T_GS_BASE)
	mov	TR(T_USER_GS), %rax
	wrgsbase %rax
	mov	TR(T_NOW_USER), %r15
	enter	tr_iret

tr_iret_slow:
	mov	TR(T_RSP), %rsp
	mov	$CALL_IRET, %eax
	mov	TR(T_RCX), %rcx
	jmp	exit_syscall

	.section .note.GNU-stack,"",@progbits
