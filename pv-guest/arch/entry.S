/* SPDX-License-Identifier: MIT */
/*
 * Trap and event entry. Xen "bounces" an exception to the guest by building this frame, from the
 * stack pointer upwards: rcx, r11, [error code], rip, cs | saved_mask << 32, rflags, rsp, ss.
 * Entry drops rcx and r11 back into their registers and makes the frame uniform; exit always takes
 * the iret hypercall, which restores the upcall mask and the frame at once, without a window.
 */
#define ERROR		(16 * 8) /* offset in struct trap_regs */
#define VGCF_IN_SYSCALL 0x100

	.text

	/* struct trap_regs (pv/arch.h) below the uniform frame. */
	.macro save_regs
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	.endm

	.macro trap name, vector, has_error
	.globl \name
	.type \name, @function
\name:
	popq	%rcx
	popq	%r11
	.if !\has_error
	pushq	$0
	.endif
	pushq	$\vector
	jmp	trap_common
	.size \name, . - \name
	.endm

	trap trap_divide_error, 0, 0
	trap trap_debug, 1, 0
	trap trap_nmi, 2, 0
	trap trap_breakpoint, 3, 0
	trap trap_overflow, 4, 0
	trap trap_bounds, 5, 0
	trap trap_invalid_opcode, 6, 0
	trap trap_no_device, 7, 0
	trap trap_double_fault, 8, 1
	trap trap_invalid_tss, 10, 1
	trap trap_no_segment, 11, 1
	trap trap_stack_error, 12, 1
	trap trap_general_protection, 13, 1
	trap trap_page_fault, 14, 1
	trap trap_fpu_error, 16, 0
	trap trap_alignment_check, 17, 1
	trap trap_machine_check, 18, 0
	trap trap_simd_error, 19, 0
	trap trap_soft_0x81, 0x81, 0

trap_common:
	save_regs
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	call	trap_dispatch
	movq	%rbp, %rsp
	jmp	return_from_trap

	.globl event_callback
	.type event_callback, @function
event_callback:
	popq	%rcx
	popq	%r11
	pushq	$0
	pushq	$-1
	save_regs
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	call	event_upcall
	movq	%rbp, %rsp

return_from_trap:
	/* The error code's slot becomes the flags word of the iret frame. */
	movq	$0, ERROR(%rsp)
restore:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	addq	$8, %rsp
	jmp	hypercall_page + 23 * 32
	.size event_callback, . - event_callback

	/* void trap_return(struct trap_regs *regs) */
	.globl trap_return
	.type trap_return, @function
trap_return:
	movq	%rdi, %rsp
	jmp	return_from_trap
	.size trap_return, . - trap_return

/*
 * A system call: the frame is that of an exception without an error code, rcx and r11 are the
 * user's to lose. VGCF_in_syscall tells the hypervisor so; who wants them back clears it in
 * regs->error.
 */
	.globl syscall_callback
	.type syscall_callback, @function
syscall_callback:
	popq	%rcx
	popq	%r11
	pushq	$VGCF_IN_SYSCALL
	pushq	$-2
	save_regs
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbp
	andq	$-16, %rsp
	call	*syscall_from_user(%rip)
	movq	%rbp, %rsp
	jmp	restore
	.size syscall_callback, . - syscall_callback

	/* Xen comes here when an iret of ours named a bad selector; ours never do. */
	.globl failsafe_callback
failsafe_callback:
	ud2

/*
 * int trap_catch(void (*fn)(void *), void *arg, struct trap_regs *regs)
 * Calls fn(arg). Returns 0, or 1 when fn ended in an exception, whose frame is then in *regs.
 */
	.globl trap_catch
	.type trap_catch, @function
trap_catch:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	trap_catch_sp(%rip)
	pushq	trap_catch_regs(%rip)
	movq	%rdx, trap_catch_regs(%rip)
	movq	%rsp, trap_catch_sp(%rip)
	movq	%rdi, %rax
	movq	%rsi, %rdi
	subq	$8, %rsp
	call	*%rax
	addq	$8, %rsp
	xorl	%eax, %eax
	jmp	1f
	.globl trap_catch_resume
trap_catch_resume:
	movl	$1, %eax
1:	popq	trap_catch_regs(%rip)
	popq	trap_catch_sp(%rip)
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.size trap_catch, . - trap_catch

	.bss
	.balign 8
	.globl trap_catch_sp, trap_catch_regs
trap_catch_sp:
	.quad	0
trap_catch_regs:
	.quad	0
	.section .note.GNU-stack, "", @progbits
