/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("pt-linear", "linear page tables: an entry for a table of its own level shows all tables");

#define SLOT	5ul /* of an L4 */
#define RO	(PTE_PRESENT | PTE_USER | PTE_ACCESS)
#define L4_PAGE (SLOT << 39 | SLOT << 30 | SLOT << 21 | SLOT << 12)

static volatile uint64_t *root;

static uint64_t at(const volatile uint64_t *table, unsigned int index)
{
	return ((uint64_t)va_to_mfn((const void *)table) << PAGE_SHIFT) + index * 8;
}

static uint64_t entry(const volatile uint64_t *table, uint64_t flags)
{
	return mfn_pte(va_to_mfn((const void *)table), flags);
}

static volatile uint64_t *new_table(unsigned int pin)
{
	uint64_t *t = page_alloc();

	page_set_ro(t, true);
	check_eq("pin", mmuext(pin, va_to_mfn(t)), 0);
	return t;
}

static void itself(void)
{
	volatile uint64_t *own = (volatile uint64_t *)L4_PAGE;
	unsigned long va = (unsigned long)&root;
	uint64_t pte;

	check_eq("writable", pt_set(at(root, SLOT), entry(root, PTE_KERN)), -XEN_EINVAL);
	check_eq("itself", pt_set(at(root, SLOT), entry(root, RO)), 0);
	for (unsigned int i = 0; i < 256; i++)
		if (own[i] != root[i])
			check("the root's entries", false);
	check_eq("the root cannot be written there", vector_of(do_write, (void *)own), 14);
	pt_find(va, 1, NULL, &pte);
	check_eq("an L1's entry",
		 (long)(((volatile uint64_t *)(SLOT << 39))[va >> PAGE_SHIFT] & PTE_MFN),
		 (long)(pte & PTE_MFN));
	check_eq("nor that", vector_of(do_write, (void *)((SLOT << 39) + (va >> PAGE_SHIFT) * 8)),
		 14);
	check("an L1 is no L1 entry's", HYPERVISOR_update_va_mapping(L4_PAGE, 0, UVMF_INVLPG) < 0);
	check_eq("the root stays one", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((void *)root)), 0);
	check_eq("and pins again", mmuext(MMUEXT_PIN_L4_TABLE, va_to_mfn((void *)root)), 0);
	check_eq("gone", pt_set(at(root, SLOT), 0), 0);
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	check_eq("from there, too", vector_of(do_read, (void *)own), 14);
}

/* The table's page becomes an ordinary one, which may be written to. */
static void check_free(const char *what, const volatile uint64_t *t, bool is)
{
	check_eq(what, page_set_ro((void *)t, false), is ? 0 : -XEN_EBUSY);
}

static void another(void)
{
	const volatile uint64_t *a = new_table(MMUEXT_PIN_L4_TABLE);
	const volatile uint64_t *b = new_table(MMUEXT_PIN_L4_TABLE);
	const volatile uint64_t *c = new_table(MMUEXT_PIN_L4_TABLE);

	check_eq("another, writable", pt_set(at(a, 1), entry(b, PTE_KERN)), -XEN_EINVAL);
	check_eq("another", pt_set(at(a, 1), entry(b, RO)), 0);
	check_eq("again", pt_set(at(a, 2), entry(b, RO)), 0);
	check_eq("back again: a loop", pt_set(at(b, 1), entry(a, RO)), -XEN_EINVAL);
	check_eq("further on: a chain", pt_set(at(b, 1), entry(c, RO)), -XEN_EINVAL);
	check_eq("before it: a chain", pt_set(at(c, 1), entry(a, RO)), -XEN_EINVAL);
	check_eq("beside it", pt_set(at(c, 1), entry(b, RO)), 0);
	check_eq("the target's own", pt_set(at(b, 3), entry(b, RO)), 0);
	check_eq("of use to nobody else", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((void *)b)), 0);
	check_free("but it is still a table", b, false);
	check_eq("one goes", pt_set(at(a, 1), 0), 0);
	check_eq("the next", pt_set(at(a, 2), 0), 0);
	check_free("one is left", b, false);
	check_eq("with its table", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((void *)c)), 0);
	check_free("that was all", b, true);
	check_free("c", c, true);
	check_eq("a has no entries now", pt_set(at(a, 7), entry(a, RO)), 0);
	mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((void *)a));
	check_free("its own entry does not keep it", a, true);
}

static void other_levels(void)
{
	const volatile uint64_t *l4 = new_table(MMUEXT_PIN_L4_TABLE);
	const volatile uint64_t *l3 = new_table(MMUEXT_PIN_L3_TABLE);
	const volatile uint64_t *l2 = new_table(MMUEXT_PIN_L2_TABLE);
	const volatile uint64_t *l2b = new_table(MMUEXT_PIN_L2_TABLE);
	const volatile uint64_t *l1 = new_table(MMUEXT_PIN_L1_TABLE);

	check_eq("L3: itself", pt_set(at(l3, 0), entry(l3, RO)), 0);
	check_eq("L3: a root", pt_set(at(l3, 1), entry(l4, RO)), -XEN_EINVAL);
	check_eq("L4: an L2", pt_set(at(l4, 1), entry(l2, RO)), -XEN_EINVAL);
	check_eq("L2: itself", pt_set(at(l2, 0), entry(l2, RO)), 0);
	check_eq("L2: another", pt_set(at(l2, 1), entry(l2b, RO)), 0);
	check_eq("L2: an L3", pt_set(at(l2, 2), entry(l3, RO)), -XEN_EINVAL);
	check_eq("L3: that L2", pt_set(at(l3, 2), entry(l2, PTE_KERN)), 0);
	check_eq("L4: that L3", pt_set(at(l4, 2), entry(l3, PTE_KERN)), 0);
	check_eq("L1: maps a table", pt_set(at(l1, 0), entry(l4, RO)), 0);
	check_eq("unpin", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((void *)l2)), 0);
	check_eq("unpin", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((void *)l2b)), 0);
	check_eq("unpin", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((void *)l3)), 0);
	check_free("all below the root", l2b, false);
	check_eq("unpin", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn((void *)l4)), 0);
	check_free("an L2 of an L2", l2b, true);
	check_free("L2", l2, true);
	check_free("L3", l3, true);
	check_free("L4", l4, true);
	check_free("L1", l1, false);
}

/* Seen as a page, a table goes when the entry for it does. */
static void replaced(void)
{
	const volatile uint64_t *seen =
		(const volatile uint64_t *)(SLOT << 39 | (SLOT + 1) << 30 | 7ul << 12);
	const volatile uint64_t *l3 = new_table(MMUEXT_PIN_L3_TABLE);
	const volatile uint64_t *l2 = new_table(MMUEXT_PIN_L2_TABLE);
	const volatile uint64_t *first = new_table(MMUEXT_PIN_L1_TABLE);
	const volatile uint64_t *second = new_table(MMUEXT_PIN_L1_TABLE);

	pt_set(at(root, SLOT), entry(root, RO));
	pt_set(at(root, SLOT + 1), entry(l3, PTE_KERN));
	pt_set(at(l3, 0), entry(l2, PTE_KERN));
	pt_set(at(l2, 7), entry(first, PTE_KERN));
	pt_set(at(first, 0), 0x10); /* not present: the table has nothing else in any TLB */
	pt_set(at(second, 0), 0x20);
	check_eq("a table", (long)*seen, 0x10);
	pt_set(at(l2, 7), entry(second, PTE_KERN));
	mmuext(MMUEXT_TLB_FLUSH_ALL, 0);
	check_eq("another in its place", (long)*seen, 0x20);
	pt_set(at(root, SLOT + 1), 0);
	pt_set(at(root, SLOT), 0);
}

/* What was checked when it was promoted. */
static void promoted(void)
{
	uint64_t *t = page_alloc(), *u = page_alloc();
	const mfn_t mfn = va_to_mfn(t);

	t[3] = entry(t, PTE_KERN);
	page_set_ro(t, true);
	check_eq("itself, writable", mmuext(MMUEXT_PIN_L4_TABLE, mfn), -XEN_EINVAL);
	check_free("nothing stuck", t, true);
	t[3] = entry(t, RO);
	t[4] = entry(u, RO);
	page_set_ro(t, true);
	page_set_ro(u, true);
	check_eq("itself", mmuext(MMUEXT_PIN_L4_TABLE, mfn), 0);
	check_eq("the other became an L3", mmuext(MMUEXT_PIN_L4_TABLE, va_to_mfn(u)), -XEN_EINVAL);
	mmuext(MMUEXT_UNPIN_TABLE, mfn);
	check_free("unpinned", t, true);
	check_free("and the other", u, true);
}

void test_main(void)
{
	root = (volatile uint64_t *)start_info->pt_base;
	itself();
	another();
	other_levels();
	replaced();
	promoted();
}
