/* SPDX-License-Identifier: MIT */
/*
 * The Xen ELF notes, the first instructions, and the pages the hypervisor fills or replaces.
 *
 * The image is linked in the lower half, away from page 0: a provider that runs the guest inside
 * an ordinary process can map neither page 0 nor the upper half.
 */
#define ELFNOTE(type, value)                                                                       \
	.pushsection .note.Xen, "a", @note;                                                        \
	.align 4;                                                                                  \
	.long 2f - 1f, 4f - 3f, type;                                                              \
1:	.asciz "Xen";                                                                              \
2:	.align 4;                                                                                  \
3:	value;                                                                                     \
4:	.align 4;                                                                                  \
	.popsection

#define XEN_ELFNOTE_ENTRY          1
#define XEN_ELFNOTE_HYPERCALL_PAGE 2
#define XEN_ELFNOTE_VIRT_BASE      3
#define XEN_ELFNOTE_PADDR_OFFSET   4
#define XEN_ELFNOTE_XEN_VERSION    5
#define XEN_ELFNOTE_GUEST_OS       6
#define XEN_ELFNOTE_GUEST_VERSION  7
#define XEN_ELFNOTE_LOADER         8
#define XEN_ELFNOTE_PAE_MODE       9
#define XEN_ELFNOTE_FEATURES       10

#ifndef PV_GUEST_VERSION
#define PV_GUEST_VERSION "0.1"
#endif

	ELFNOTE(XEN_ELFNOTE_GUEST_OS, .asciz "pv-guest")
	ELFNOTE(XEN_ELFNOTE_GUEST_VERSION, .asciz PV_GUEST_VERSION)
	ELFNOTE(XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0")
	ELFNOTE(XEN_ELFNOTE_LOADER, .asciz "generic")
	ELFNOTE(XEN_ELFNOTE_PAE_MODE, .asciz "yes")
	ELFNOTE(XEN_ELFNOTE_FEATURES, .asciz "!writable_page_tables|pae_pgdir_above_4gb")
	ELFNOTE(XEN_ELFNOTE_ENTRY, .quad _start)
	ELFNOTE(XEN_ELFNOTE_HYPERCALL_PAGE, .quad hypercall_page)
	/* p_paddr equals p_vaddr in our linker script, so the two offsets are equal as well. */
	ELFNOTE(XEN_ELFNOTE_VIRT_BASE, .quad _virt_base)
	ELFNOTE(XEN_ELFNOTE_PADDR_OFFSET, .quad _virt_base)

	.text
	.globl _start
	.type _start, @function
_start:
	cld
	leaq	boot_stack_end(%rip), %rsp
	xorl	%ebp, %ebp
	movq	%rsi, %rdi
	call	arch_main
	ud2
	.size _start, . - _start

	.section .text.hypercall_page, "ax", @progbits
	.balign	4096
	.globl hypercall_page
	.type hypercall_page, @object
hypercall_page:
	/*
	 * For a debugger, which meets a sleeping vCPU in here: Xen's stubs are push rcx, push r11,
	 * mov eax, syscall, pop r11, pop rcx, ret.
	 */
	.cfi_sections .debug_frame
	.rept	128
	.cfi_startproc
	.skip	1, 0xcc
	.cfi_adjust_cfa_offset 8
	.skip	2, 0xcc
	.cfi_adjust_cfa_offset 8
	.skip	9, 0xcc
	.cfi_adjust_cfa_offset -8
	.skip	1, 0xcc
	.cfi_adjust_cfa_offset -8
	.skip	19, 0xcc
	.cfi_endproc
	.endr
	.size hypercall_page, . - hypercall_page

	/* The page behind this address is exchanged for the real shared_info in arch_main(). */
	.section .bss.page_aligned, "aw", @nobits
	.balign	4096
	.globl pv_shared_info
pv_shared_info:
	.skip	4096

	.globl boot_stack
boot_stack:
	.skip	32768
boot_stack_end:
	.section .note.GNU-stack, "", @progbits
