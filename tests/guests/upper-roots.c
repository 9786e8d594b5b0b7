/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
/*
 * The upper half, read by code that is there itself: as a kernel's own roots differ in it, come and
 * go, and show page tables as pages.
 */
#include "common.h"
#include "vcpu.h"

TEST("upper-roots", "what a kernel reads in its upper half is what its root shows, at any time");

#define TEXT   290ul /* slots of an L4 */
#define DATA   300ul
#define OWN    301ul
#define LINEAR 302ul
#define TABLES 303ul
#define ALIAS  304ul
#define RO     (PTE_PRESENT | PTE_USER | PTE_ACCESS)

#define INVLPG (UVMF_INVLPG | UVMF_ALL)
#define ROUNDS (is_slow() ? 20 : 500)

static uint64_t (*read_there)(const volatile void *va);
static uint64_t *root;

/* Of vCPU 1. */
static char stack1[4096] __attribute__((aligned(16)));
static volatile unsigned long reads, wrong;
static volatile bool stop;

static const volatile uint64_t *at_slot(unsigned long slot)
{
	return (const volatile uint64_t *)(0xfffful << 48 | slot << 39);
}

static uint64_t at(const void *table, unsigned long index)
{
	return ((uint64_t)va_to_mfn(table) << PAGE_SHIFT) + index * 8;
}

static uint64_t entry(const void *page, uint64_t flags)
{
	return mfn_pte(va_to_mfn(page), flags);
}

/* A page table with one entry, for that page. */
static uint64_t *table(const void *page, uint64_t flags)
{
	uint64_t *t = page_alloc();

	t[0] = entry(page, flags);
	page_set_ro(t, true);
	return t;
}

/* Three tables that show a page; [0] is the L3. */
struct tree {
	uint64_t *level[3], *page;
};

static struct tree tree_of(uint64_t value)
{
	struct tree t = {.page = page_alloc()};

	t.page[0] = value;
	t.level[2] = table(t.page, PTE_KERN);
	t.level[1] = table(t.level[2], PTE_KERN);
	t.level[0] = table(t.level[1], PTE_KERN);
	return t;
}

/* As the first, but for one slot; pinned. */
static uint64_t *root_with(unsigned long slot, const struct tree *t)
{
	uint64_t *r = page_alloc();

	memcpy(r, root, PAGE_SIZE);
	memset(&r[256], 0, 16 * 8);
	r[slot] = t ? entry(t->level[0], PTE_KERN) : 0;
	page_set_ro(r, true);
	check_eq("a root", mmuext(MMUEXT_PIN_L4_TABLE, va_to_mfn(r)), 0);
	return r;
}

static void load(const uint64_t *r)
{
	check_eq("load", mmuext(MMUEXT_NEW_BASEPTR, va_to_mfn(r)), 0);
}

static void do_read_there(void *va)
{
	read_there(va);
}

static void text_there(void)
{
	static const uint8_t code[] = {0x48, 0x8b, 0x07, 0xc3}; /* mov (%rdi), %rax; ret */
	struct tree t = tree_of(0);

	memcpy(t.page, code, sizeof(code));
	pt_set(at(root, TEXT), entry(t.level[0], PTE_KERN));
	read_there = (uint64_t(*)(const volatile void *))at_slot(TEXT);
	if (vector_of(do_read_there, root) != -1)
		skip("the upper half is not the guest's here");
}

static void differing(void)
{
	const volatile uint64_t *data = at_slot(DATA);
	struct tree a = tree_of(0xa), b = tree_of(0xb);
	uint64_t *other;

	pt_set(at(root, DATA), entry(a.level[0], PTE_KERN));
	check_eq("read", (long)read_there(data), 0xa);
	other = root_with(DATA, NULL);
	load(other);
	check_eq("another root has nothing there", vector_of(do_read_there, (void *)data), 14);
	pt_set(at(other, DATA), entry(b.level[0], PTE_KERN));
	check_eq("now it has", (long)read_there(data), 0xb);
	load(root);
	check_eq("the first has its own", (long)read_there(data), 0xa);
	load(other);
	check_eq("and the other", (long)read_there(data), 0xb);
	load(root);
}

/* The same tables, that were none meanwhile, show another page. */
static void dying(void)
{
	const volatile uint64_t *own = at_slot(OWN);
	struct tree t = tree_of(0xc);
	uint64_t *next = page_alloc(), *other = root_with(OWN, &t);
	struct mmuext_op op[2] = {
		{.cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = va_to_mfn(root)},
		{.cmd = MMUEXT_UNPIN_TABLE, .arg1.mfn = va_to_mfn(other)},
	};

	next[0] = 0xd;
	load(other);
	check_eq("its own", (long)read_there(own), 0xc);
	check_eq("and gone", HYPERVISOR_mmuext_op(op, 2, NULL, DOMID_SELF), 0);
	check_eq("no table any longer", page_set_ro(t.level[2], false), 0);
	t.level[2][0] = entry(next, PTE_KERN);
	page_set_ro(t.level[2], true);
	pt_set(at(root, OWN), entry(t.level[0], PTE_KERN));
	check_eq("a table again", (long)read_there(own), 0xd);
}

/* A page table's entries by a linear one: L4, L3, and an L2 in the place of an L1. */
static void linear(void)
{
	const volatile uint64_t *l1 =
		(const volatile uint64_t *)((uint64_t)at_slot(LINEAR) | TABLES << 30);
	struct tree a = tree_of(0), b = tree_of(0);

	if (pt_set(at(root, LINEAR), entry(root, RO)))
		return; /* where there are none */
	pt_set(at(root, TABLES), entry(a.level[0], PTE_KERN));
	check_eq("an L1", (long)(read_there(l1) & PTE_MFN), (long)(a.level[2][0] & PTE_MFN));
	pt_set(at(a.level[1], 0), entry(b.level[2], PTE_KERN));
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	check_eq("another L1", (long)(read_there(l1) & PTE_MFN), (long)(b.level[2][0] & PTE_MFN));
}

/* One L1 at two places; then another L1 at one of them, and the second goes. */
static void aliases(void)
{
	struct tree a = tree_of(0x10), b = tree_of(0x20);
	const volatile uint64_t *data = at_slot(ALIAS), *alias = data + (1ul << 21) / 8;
	const unsigned long va = (unsigned long)data;
	uint64_t *page = page_alloc();

	page[0] = 0x30;
	pt_set(at(root, ALIAS), entry(a.level[0], PTE_KERN));
	check_eq("read", (long)read_there(data), 0x10);
	check_eq("another page", HYPERVISOR_update_va_mapping(va, entry(page, PTE_KERN), INVLPG),
		 0);
	check_eq("is there", (long)read_there(data), 0x30);
	pt_set(at(a.level[1], 1), entry(a.level[2], PTE_KERN));
	check_eq("and at the other place", (long)read_there(alias), 0x30);
	HYPERVISOR_update_va_mapping(va, entry(a.page, PTE_KERN), UVMF_TLB_FLUSH | UVMF_ALL);
	check_eq("the first again", (long)read_there(data), 0x10);
	check_eq("at both", (long)read_there(alias), 0x10);
	pt_set(at(a.level[1], 0), entry(b.level[2], PTE_KERN));
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	check_eq("another table", (long)read_there(data), 0x20);
	check_eq("not for both", (long)read_there(alias), 0x10);
	pt_set(at(a.level[1], 1), 0);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	check_eq("none", vector_of(do_read_there, (void *)alias), 14);
	check_eq("the other stays", (long)read_there(data), 0x20);
	HYPERVISOR_update_va_mapping(va, 0, INVLPG);
	check_eq("no page", vector_of(do_read_there, (void *)data), 14);
	HYPERVISOR_update_va_mapping(va, entry(page, PTE_KERN), 0);
	check_eq("and one again", (long)read_there(data), 0x30);
}

static void main1(void)
{
	while (!stop) {
		wrong += read_there(at_slot(DATA)) != 0xb;
		reads++;
	}
	HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL);
}

static void start1(const uint64_t *its_root)
{
	static struct vcpu_guest_context c;

	vcpu_context(&c, (void *)main1, stack1, sizeof(stack1));
	c.ctrlreg[3] = xen_pfn_to_cr3(va_to_mfn(its_root));
	vcpu_start(1, &c);
}

/* Two vCPUs have different pages there at the same time; the one's comes and goes. */
static void both(void)
{
	const volatile uint64_t *data = at_slot(DATA);
	struct tree a = tree_of(0xa), b = tree_of(0xb);
	long bad = 0, faults = 0;

	pt_set(at(root, DATA), 0);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	start1(root_with(DATA, &b));
	for (int i = 0; i < ROUNDS; i++) {
		const unsigned long before = reads;

		pt_set(at(root, DATA), entry(a.level[0], PTE_KERN));
		for (int k = 0; k < 4 || reads < before + 4; k++)
			bad += read_there(data) != 0xa;
		pt_set(at(root, DATA), 0);
		mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0);
		faults += vector_of(do_read_there, (void *)data) == 14;
	}
	stop = true;
	while (HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL))
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	check_eq("vCPU 0 reads its own", bad, 0);
	check_eq("or nothing", faults, ROUNDS);
	check_eq("vCPU 1 reads its own", (long)wrong, 0);
}

void test_main(void)
{
	root = (uint64_t *)start_info->pt_base;
	text_there();
	differing();
	dying();
	linear();
	aliases();
	both();
}
