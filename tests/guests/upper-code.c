/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
/*
 * A jump from one page of the upper half to the next, whose table is replaced by another with all
 * that it leads to, or differs from root to root. The page behind it is code that needs flags,
 * instead of code that does not.
 */
#include "common.h"
#include "vcpu.h"

TEST("upper-code", "code of the upper half goes on in what its tables show, whichever has changed");

#define SLOT 290ul /* of an L4: the first of those that are used */
#define LAST 511
#define FILL 300 /* entries */

static uint64_t *root;

static uint64_t at(const void *table, unsigned long index)
{
	return ((uint64_t)va_to_mfn(table) << PAGE_SHIFT) + index * 8;
}

static uint64_t entry(const void *page)
{
	return mfn_pte(va_to_mfn(page), PTE_KERN);
}

/* A page table with this page at one index, and at another one a second page, if there is one. */
static uint64_t *table(unsigned index, const void *page, unsigned index2, const void *page2)
{
	uint64_t *t = page_alloc();

	t[index] = entry(page);
	if (page2)
		t[index2] = entry(page2);
	page_set_ro(t, true);
	return t;
}

/* An L1 table, nearly full. */
static uint64_t *full_table(const void *page)
{
	uint64_t *t = page_alloc();

	for (unsigned i = 0; i < FILL; i++)
		t[i] = entry(page);
	page_set_ro(t, true);
	return t;
}

static void *code(const void *bytes, size_t n)
{
	return memcpy(page_alloc(), bytes, n);
}

/* test %rdi, %rdi; push %rdi; pop %rcx; jmp to the next page */
static const uint8_t first[] = {0x48, 0x85, 0xff, 0x57, 0x59, 0xe9, 0xf6, 0x0f, 0, 0};
/* xor %eax, %eax; mov $7, %eax; ret */
static const uint8_t seven[] = {0x31, 0xc0, 0xb8, 7, 0, 0, 0, 0xc3};
/* sete %al; movzbl %al, %eax; ret */
static const uint8_t is_zero[] = {0x0f, 0x94, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3};

static void *before, *next, *after; /* pages of that code */

static void call(void *va)
{
	((void (*)(long))va)(0);
}

/* The code at va, whose next page is by the entry at `slot`: then it is what `other` leads to. */
static void replaced(const char *level, uint64_t va, uint64_t slot, const void *other)
{
	long (*const f)(long) = (long (*)(long))va;
	long sum = 0;

	for (int i = 0; i < 100; i++)
		sum += f(i);
	check_eq(level, sum, 700);
	check_eq("replaced", pt_set(slot, entry(other)), 0);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	check_eq("of zero", f(0), 1);
	check_eq("of five", f(5), 0);
	check_eq("of zero again", f(0), 1);
	check_eq("removed", pt_set(slot, 0), 0);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	check_eq("nowhere", vector_of(call, (void *)va), 14);
}

static uint64_t address(unsigned long slot, unsigned l3, unsigned l2)
{
	return 0xfffful << 48 | slot << 39 | (uint64_t)l3 << 30 | (uint64_t)l2 << 21 |
	       (uint64_t)LAST << 12;
}

static void by_l2(void)
{
	uint64_t *l2 = table(0, table(LAST, before, 0, NULL), 1, full_table(next));

	pt_set(at(root, SLOT), entry(table(0, l2, 0, NULL)));
	if (vector_of(call, (void *)address(SLOT, 0, 0)) != -1)
		skip("the upper half is not the guest's here");
	replaced("an L1 table", address(SLOT, 0, 0), at(l2, 1), full_table(after));
}

static void by_l3(void)
{
	uint64_t *l2 = table(LAST, table(LAST, before, 0, NULL), 0, NULL);
	uint64_t *l3 = table(0, l2, 1, table(0, table(0, next, 0, NULL), 0, NULL));

	pt_set(at(root, SLOT + 1), entry(l3));
	replaced("an L2 table", address(SLOT + 1, 0, LAST), at(l3, 1),
		 table(0, table(0, after, 0, NULL), 0, NULL));
}

static uint64_t *l3_of(unsigned index, const void *page)
{
	return table(index, table(index, table(index, page, 0, NULL), 0, NULL), 0, NULL);
}

static void by_l4(void)
{
	pt_set(at(root, SLOT + 2), entry(l3_of(LAST, before)));
	pt_set(at(root, SLOT + 3), entry(l3_of(0, next)));
	replaced("an L3 table", address(SLOT + 2, LAST, LAST), at(root, SLOT + 3), l3_of(0, after));
}

/* As the root of all, but its slot leads to that L3 table, or nowhere; pinned. */
static uint64_t *root_with(unsigned long slot, const void *l3)
{
	uint64_t *r = page_alloc();

	memcpy(r, root, PAGE_SIZE);
	memset(&r[256], 0, 16 * 8);
	r[slot] = l3 ? entry(l3) : 0;
	page_set_ro(r, true);
	check_eq("a root", mmuext(MMUEXT_PIN_L4_TABLE, va_to_mfn(r)), 0);
	return r;
}

/* Code at the end of one slot, which goes on in the next one; returns its address. */
static uint64_t two_slots(unsigned long slot)
{
	pt_set(at(root, slot), entry(l3_of(LAST, before)));
	pt_set(at(root, slot + 1), entry(l3_of(0, next)));
	return address(slot, LAST, LAST);
}

/* Each root is loaded again and again. */
static void by_root(void)
{
	static const char *const name[] = {"the first root's", "the second's", "the third's"};
	const uint64_t va = two_slots(SLOT + 4);
	long (*const f)(long) = (long (*)(long))va;
	uint64_t *const roots[3] = {root, root_with(SLOT + 5, l3_of(0, after)),
				    root_with(SLOT + 5, NULL)};

	for (int k = 0; k < 60; k++) {
		const int i = k % 3;

		check_eq("load", mmuext(MMUEXT_NEW_BASEPTR, va_to_mfn(roots[i])), 0);
		if (i == 2)
			check_eq(name[i], vector_of(call, (void *)va), 14);
		for (int n = 0; i < 2 && n < 3; n++)
			check_eq(name[i], f(5 * n), i ? !n : 7);
	}
	mmuext(MMUEXT_NEW_BASEPTR, va_to_mfn(root));
}

/* Of vCPU 1. */
static char stack1[PAGE_SIZE] __attribute__((aligned(16)));
static uint64_t code1;
static volatile unsigned long calls, wrong;
static volatile bool stop;

static void main1(void)
{
	for (; !stop; calls++)
		wrong += ((long (*)(long))code1)(calls & 1) != !(calls & 1);
	HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL);
}

/* Each vCPU has its own all the time. */
static void by_vcpu(void)
{
	static struct vcpu_guest_context c;
	long (*const f)(long) = (long (*)(long))(code1 = two_slots(SLOT + 6));
	unsigned long bad = 0;

	vcpu_context(&c, (void *)main1, stack1, sizeof(stack1));
	c.ctrlreg[3] = xen_pfn_to_cr3(va_to_mfn(root_with(SLOT + 7, l3_of(0, after))));
	vcpu_start(1, &c);
	for (unsigned long n = 0; n < 1000 || calls < 1000; n++)
		bad += f(n & 1) != 7;
	stop = true;
	while (HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL))
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	check_eq("vCPU 0 goes on in its own", (long)bad, 0);
	check_eq("and vCPU 1", (long)wrong, 0);
}

void test_main(void)
{
	root = (uint64_t *)start_info->pt_base;
	before = code(first, sizeof(first));
	next = code(seven, sizeof(seven));
	after = code(is_zero, sizeof(is_zero));
	by_l2();
	by_l3();
	by_l4();
	by_vcpu();
	by_root();
}
