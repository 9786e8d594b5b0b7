/* SPDX-License-Identifier: MIT */
/* The bare machine: from the boot loader (Multiboot 1, 32 bits) to long mode, and interrupts. */
#define MAGIC	   0x1badb002
#define PAGE_TABLE 0x003 /* present, writable */
#define PAGE_2M	   0x083 /* and large */
#define CODE64	   8

	.section .multiboot, "a"
	.balign	4
	.long	MAGIC, 0, -MAGIC

	.text
	.code32
	.globl _start
_start:
	/* One gigabyte of memory, at its own addresses. */
	movl	$l3 + PAGE_TABLE, l4
	movl	$l2 + PAGE_TABLE, l3
	movl	$PAGE_2M, %eax
	xorl	%ecx, %ecx
1:	movl	%eax, l2(, %ecx, 8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$512, %ecx
	jne	1b
	movl	$l4, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x20, %eax /* PAE */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax /* EFER.LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax /* PG */
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$CODE64, $long_mode

	.code64
long_mode:
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	leaq	stack_end(%rip), %rsp
	call	metal_main
2:	cli
	hlt
	jmp	2b

	/* All lines of the PIC that are enabled come here: there is one. */
	.globl irq_entry
irq_entry:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	cld
	call	irq_dispatch
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

	.section .rodata
	.balign	8
gdt:	.quad	0, 0x00af9b000000ffff
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.long	gdt

	.bss
	.balign	4096
l4:	.skip	4096
l3:	.skip	4096
l2:	.skip	4096
	.skip	16384
stack_end:
	.section .note.GNU-stack, "", @progbits
