/* SPDX-License-Identifier: MIT */
/*
 * The part of the switcher that finishes the commonest entries by itself, in the guest's own
 * address space and without the monitor: a user's system call, a page fault, the iret hypercall.
 * What each does is what traps.c does; where anything is out of the ordinary it leaves all as it
 * was and goes the slow way, to traps.c. So it does wherever area.c says that an event waits.
 *
 * To other threads the vCPU has not left the guest: whoever changes something that it must see
 * kicks it, and the interrupt comes with its next instruction. Guest memory is written and read
 * through the guest's page tables, as the guest itself would, but by ring 0: so no address of the
 * hypervisor's slots may get that far. A fault on the way is the slow way's (fast_fault). Frames
 * are therefore touched at their lowest address first: what begins below those slots and ends
 * within them has a first word that is not canonical.
 *
 * On entry rsp points at rax in v->regs: it and the four registers above it are saved, and free.
 */
#define IST_OWN	  (0xff & (AREA_STATE + S_STACK_TOP))
#define IST_GUEST (0xff & (AREA_VCPU + VCPU_SHIFT + V_REGS_END))

#define FLAGS_TRAP    0x74100 /* AC VM RF NT TF: cleared on the way to a handler */
#define FLAGS_IRET    0x23000 /* VM IOPL: not a guest's to set */
#define IN_SYSCALL    0x01    /* VGCF_in_syscall, in the second byte of iret_context.flags */
#define MASK_EVENTS   0x04    /* trap_info.flags */
#define SYSCALL_MASKS 0x10    /* VGCF_syscall_disables_events */
#define PF_PLAIN      0x1f

/* struct vcpu_info */
#define INFO_PENDING 0
#define INFO_MASK    1
#define INFO_CR2     16

/*
 * Where exceptions of these pages go while guest memory is touched, of which the vCPU's info is a
 * part (the host may refuse a write while lend.c moves a frame): not over v->regs.
 */
	.macro	ist	which
	movb	$\which, S(S_IST1)
	.endm

/* The 16 slots are the addresses whose upper 21 bits are these. */
	.macro	check_address va, scratch, low, slow
	mov	\va, \scratch
	shr	$43, \scratch
	cmp	$0x1ffff0, \low
	je	\slow
	.endm

/* The other root. */
	.macro	toggle_root cr3
	mov	S(\cr3), %rax
	mov	%rax, %cr3
	or	S(S_KEEP), %rax
	mov	%rax, S(\cr3)
	.endm

/* The other GS base; `from` and `to` are where the two are kept. */
	.macro	toggle_gs from, to, scratch
	rdgsbase \scratch
	mov	\scratch, V(\from)
	mov	V(\to), \scratch
	wrgsbase \scratch
	.endm

fast_begin:

/* rcx and r11 are the frame's rip and flags, and lost to the user. */
fast_syscall:
	cmpb	$0, S(S_DIRTY)
	jne	slow_syscall
	mov	S(S_INFO), %rdx
	cmpw	$0, INFO_PENDING(%rdx)	/* nor masked: a user's flag IF is always set */
	jne	slow_syscall
	mov	V(V_SYSCALL_CALLBACK), %rsi
	test	%rsi, %rsi
	jz	slow_syscall
	mov	V(V_KERNEL_SP), %rdi
	and	$-16, %rdi
	sub	$56, %rdi
	check_address %rdi, %rax, %eax, slow_syscall
	toggle_root S_CR3_KERNEL
	mov	V(V_RSP), %rax
	ist	IST_OWN
	mov	%rcx, (%rdi)
	mov	%r11, 8(%rdi)
	mov	%rcx, 16(%rdi)
	movq	$SEL_GUEST_CS, 24(%rdi)
	mov	%r11, 32(%rdi)
	mov	%rax, 40(%rdi)
	movq	$SEL_GUEST_SS, 48(%rdi)
	testb	$SYSCALL_MASKS, V(V_CALLBACK_FLAGS)
	jz	1f
	movb	$1, INFO_MASK(%rdx)
1:	ist	IST_GUEST
	toggle_gs V_GS_USER, V_GS_KERNEL, %rax
	movb	$1, V(V_KERNEL_MODE)
	and	$~(FLAGS_TRAP | FLAG_DF), %r11d
	mov	%rsi, %rcx
	jmp	fast_sysret

/*
 * The frame is at the guest's rsp: rax, r11, rcx, flags, rip, cs, rflags, rsp, ss. An event that
 * waits, or selectors that might not load, are for the slow way, which reads all of it again.
 */
fast_iret:
	cmpb	$0, S(S_DIRTY)
	jne	slow_syscall
	cmpb	$0, V(V_NMI_MASKED)
	jne	slow_syscall
	mov	V(V_RSP), %rsi
	check_address %rsi, %rax, %eax, slow_syscall
	ist	IST_OWN
	mov	(%rsi), %rax
	mov	32(%rsi), %rcx
	mov	40(%rsi), %edx
	mov	48(%rsi), %r11
	mov	%rcx, %rdi
	sar	$47, %rdi
	inc	%edi
	cmp	$1, %edi
	ja	slow_iret		/* not canonical */
	mov	S(S_INFO), %rdi
	cmpb	$0, INFO_PENDING(%rdi)
	jne	slow_iret
	test	$FLAG_TF, %r11d
	jnz	slow_iret
	test	$FLAG_IF, %r11d
	jz	4f
	movb	$0, INFO_MASK(%rdi)
1:	and	$~FLAGS_IRET, %r11d
	testb	$IN_SYSCALL, 25(%rsi)
	jz	iret_whole

	/* As Xen has it: by sysret, whatever the selectors are, as long as it is to 64-bit code. */
	cmp	$SEL_GUEST_CS32, %dx
	je	slow_iret
	and	$3, %edx
	cmp	$3, %edx
	jne	2f
	cmpq	$0, V(V_USER_CR3)
	je	slow_iret
	mov	56(%rsi), %rdi
	ist	IST_GUEST
	mov	%rax, V(V_RAX)
	toggle_gs V_GS_KERNEL, V_GS_USER, %rax
	toggle_root S_CR3
	movb	$0, V(V_KERNEL_MODE)
	jmp	fast_sysret
2:	mov	56(%rsi), %rdi
	ist	IST_GUEST
	mov	%rax, V(V_RAX)

/* rcx and r11: rip and flags; rdi: rsp. The rest is in v->regs. */
fast_sysret:
	mov	V(V_RAX), %rax
	mov	V(V_RDX), %rdx
	mov	V(V_RSI), %rsi
	mov	%rdi, %rsp
	mov	V(V_RDI), %rdi
	sysretq

4:	movb	$1, INFO_MASK(%rdi)
	or	$FLAG_IF, %r11d
	jmp	1b

/* All registers, but only to the flat selectors, which v->regs has already. */
iret_whole:
	movzwl	64(%rsi), %edi
	or	$3, %edi
	cmp	$SEL_GUEST_SS, %edi
	jne	slow_iret
	cmp	$SEL_GUEST_CS, %dx
	je	1f
	cmp	$(SEL_GUEST_CS & ~3), %dx
	jne	slow_iret
	jmp	2f
1:	cmpq	$0, V(V_USER_CR3)
	je	slow_iret
2:	mov	%rcx, V(V_RIP)
	mov	%r11, V(V_RFLAGS)
	mov	8(%rsi), %r11
	mov	16(%rsi), %rcx
	mov	56(%rsi), %rdi
	ist	IST_GUEST
	mov	%rax, V(V_RAX)		/* no sooner: the slow way looks there for the call */
	mov	%rdi, V(V_RSP)
	test	$3, %dl
	jz	3f
	toggle_gs V_GS_KERNEL, V_GS_USER, %rax
	toggle_root S_CR3
	movb	$0, V(V_KERNEL_MODE)
3:	mov	V(V_RAX), %rax
	mov	V(V_RDX), %rdx
	mov	V(V_RSI), %rsi
	mov	V(V_RDI), %rdi
	lea	V(V_RIP), %rsp
	iretq

slow_iret:
	ist	IST_GUEST
	mov	V(V_RFLAGS), %r11
	jmp	slow_syscall

/*
 * To the guest's handler, with rcx and r11 lost as sysret does: the frame has them. From here on
 * in two versions, of the kernel's own faults and of its user's.
 */
	.macro	page_fault_from user
	mov	%rsi, V(V_CR2)
	.if	\user
	mov	V(V_KERNEL_SP), %rdi
	.else
	mov	V(V_RSP), %rdi
	.endif
	and	$-16, %rdi
	sub	$64, %rdi
	check_address %rdi, %rax, %eax, slow_page_fault
	.if	\user
	toggle_root S_CR3_KERNEL
	.endif
	ist	IST_OWN
	mov	%rsi, INFO_CR2(%rdx)
	mov	V(V_RCX), %rax
	mov	%rax, (%rdi)
	mov	%r11, 8(%rdi)
	mov	V(V_ERROR), %eax
	.if	!\user
	and	$~PF_USER, %eax
	.endif
	mov	%rax, 16(%rdi)
	mov	V(V_RIP), %rax
	mov	%rax, 24(%rdi)
	movzwl	V(V_CS), %eax
	.if	!\user
	and	$~3, %eax
	.endif
	mov	%eax, 32(%rdi)
	mov	V(V_RFLAGS), %rsi
	movzbl	INFO_MASK(%rdx), %eax
	mov	%eax, 36(%rdi)
	mov	%rsi, 40(%rdi)
	test	%eax, %eax
	jz	1f
	andb	$~(FLAG_IF >> 8), 41(%rdi)
1:	mov	V(V_RSP), %rax
	mov	%rax, 48(%rdi)
	mov	V(V_SS), %rax
	mov	%rax, 56(%rdi)
	testb	$MASK_EVENTS, V(V_TRAP_PF + 10)
	jz	2f
	movb	$1, INFO_MASK(%rdx)
2:	ist	IST_GUEST
	.if	\user
	toggle_gs V_GS_USER, V_GS_KERNEL, %rax
	movb	$1, V(V_KERNEL_MODE)
	.endif
	and	$~FLAGS_TRAP, %esi
	mov	%rsi, %r11
	jmp	fast_sysret
	.endm

/*
 * rsp is at what the CPU pushed. Not for the slots' addresses (the LDT is there), the host's
 * refusals, and a kernel's writes to what it may only read, its page tables among it.
 */
fast_page_fault:
	push_first
	cmpb	$0, S(S_DIRTY)
	jne	slow_page_fault
	mov	S(S_INFO), %rdx
	cmpb	$0, INFO_PENDING(%rdx)
	jne	slow_page_fault
	mov	V(V_TRAP_PF), %rcx
	test	%rcx, %rcx
	jz	slow_page_fault
	mov	%cr2, %rsi
	check_address %rsi, %rax, %eax, slow_page_fault
	mov	V(V_ERROR), %eax
	test	$~PF_PLAIN, %eax
	jnz	slow_page_fault
	cmpb	$0, V(V_KERNEL_MODE)
	je	3f
	and	$3, %eax
	cmp	$3, %eax
	je	slow_page_fault
	page_fault_from 0
3:	page_fault_from 1

slow_page_fault:
	mov	%cr2, %rax
1:	movl	$VECTOR_PF, V(V_ERROR + 4)
	jmp	slow_trap

fast_end:

/*
 * A fault of the code above: rsp is at vector, error code, rip. Back to where it began; only the
 * root may be another, which the slow way leaves at once.
 */
fast_fault:
	mov	16(%rsp), %rax
	lea	fast_page_fault(%rip), %rcx
	lea	V(V_RAX), %rsp
	cmp	%rcx, %rax
	jb	slow_iret
	ist	IST_GUEST
	mov	V(V_CR2), %rax
	jmp	1b
