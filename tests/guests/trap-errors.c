/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("trap-errors", "error codes, cr2 and rip are all a fault handler has to go by");

static void do_ud(void *arg)
{
	__asm__ volatile(".globl at_ud\nat_ud: ud2");
}

static void do_bp(void *arg)
{
	__asm__ volatile("int3; .globl at_bp\nat_bp:");
}

static void do_de(void *arg)
{
	__asm__ volatile("xorl %%ecx, %%ecx; .globl at_de\nat_de: divl %%ecx" ::
				 : "eax", "ecx", "edx", "cc");
}

static void do_overflow(void *arg)
{
	__asm__ volatile("movl $0x80000000, %%eax; movl $-1, %%ecx; cltd; idivl %%ecx" ::
				 : "eax", "ecx", "edx", "cc");
}

static void do_int_none(void *arg)
{
	__asm__ volatile(".globl at_int\nat_int: int $0x21");
}

static void do_int_3(void *arg)
{
	__asm__ volatile("int $0x81; .globl at_int81\nat_int81:");
}

/* Vector 6 has privilege 0 and is set: a guest kernel may call it, its user space may not. */
static void do_int_0(void *arg)
{
	__asm__ volatile("int $6; .globl at_int6\nat_int6:");
}

static void do_non_canonical_read(void *arg)
{
	*(volatile char *)NON_CANON;
}

static void do_non_canonical_write(void *arg)
{
	*(volatile char *)NON_CANON = 1;
}

/* Through rbp, whose segment is the stack's; rsp itself must stay good for the frame. */
static void do_stack_non_canonical(void *arg)
{
	__asm__ volatile(
		"pushq %%rbp; movq %0, %%rbp; movq 8(%%rbp), %%rax; popq %%rbp" ::"r"(NON_CANON)
		: "rax");
}

static void do_load_segment(void *arg)
{
	__asm__ volatile("movw %w0, %%es" ::"r"(0x4560));
}

extern char at_ud[], at_bp[], at_de[], at_int[], at_int81[], at_int6[];

static void simple(const char *name, void (*fn)(void *), unsigned int vector, const char *rip,
		   uint64_t error)
{
	struct trap_regs regs = {.vector = 99};

	trap_catch(fn, NULL, &regs);
	check_eq(name, (long)regs.vector, vector);
	check_eq(name, (long)regs.error, (long)error);
	if (rip)
		check_eq(name, (long)regs.rip, (long)rip);
}

static void page_fault(const char *name, void (*fn)(void *), unsigned long va, long error)
{
	struct trap_regs regs = {.vector = 99};

	this_vcpu->arch.cr2 = 0;
	trap_catch(fn, (void *)va, &regs);
	check_eq(name, (long)regs.vector, 14);
	check_eq(name, (long)this_vcpu->arch.cr2, (long)va);
	check_eq(name, (long)regs.error, error);
}

void test_main(void)
{
	char *page = page_alloc();
	unsigned long va = va_alloc(1);

	simple("#UD", do_ud, 6, at_ud, 0);
	simple("#BP: rip behind it", do_bp, 3, at_bp, 0);
	simple("#DE", do_de, 0, at_de, 0);
	simple("#DE: quotient too large", do_overflow, 0, NULL, 0);
	simple("int without a gate", do_int_none, 13, at_int, 0x21 << 3 | 2);
	simple("int through a gate of privilege 3", do_int_3, 0x81, at_int81, 0);
	simple("int through a gate of privilege 0", do_int_0, 13, NULL, 6 << 3 | 2);
	simple("read, not canonical", do_non_canonical_read, 13, NULL, 0);
	simple("write, not canonical", do_non_canonical_write, 13, NULL, 0);
	simple("stack, not canonical", do_stack_non_canonical, 12, NULL, 0);
	simple("a selector beyond the table", do_load_segment, 13, NULL, 0x4560);

	page_fault("read, no tables", do_read, NOWHERE, 0);
	page_fault("write, no tables", do_write, NOWHERE + 123, 2);
	page_fault("execute, no tables", do_call, NOWHERE + 7, 0x10);
	page_fault("read above the guest", do_read, 0x7f0000000010, 0);
	page_fault("write to page 0", do_write, 8, 2);
	map_mfn(va, va_to_mfn(page), PTE_KERN & ~PTE_RW);
	page_fault("write, read-only", do_write, va + 8, 3);
	check_eq("read, read-only", vector_of(do_read, (void *)va), -1);
	map_mfn(va, va_to_mfn(page), PTE_KERN | PTE_NX);
	page_fault("execute, no-execute", do_call, va, 0x11);
	check_eq("write, no-execute", vector_of(do_write, (void *)va), -1);
	unmap_va(va);
	page_fault("read, unmapped again", do_read, va + 8, 0);
	page_fault("write to Xen's memory", do_write, XEN_RANGE, 2);
}
