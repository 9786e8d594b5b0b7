/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("pt-types", "no frame is a page table and writable at once, whatever a guest tries");

static unsigned long va;

static void boot_tables(void)
{
	uint64_t *root = (uint64_t *)start_info->pt_base;
	mfn_t mfn = va_to_mfn(root);
	uint64_t l1_maddr, l2, l2_maddr;

	check_eq("the root is not writable", vector_of(do_write, root), 14);
	check_eq("cannot be mapped writable", map_mfn(va, mfn, PTE_KERN), -XEN_EBUSY);
	check_eq("nor made so where it is", page_set_ro(root, false), -XEN_EBUSY);
	check_eq("can be mapped read-only", map_mfn(va, mfn, PTE_KERN & ~PTE_RW), 0);
	check("and shows its entries", *(volatile uint64_t *)va & PTE_PRESENT);
	unmap_va(va);
	pt_find(va, 1, &l1_maddr, NULL);
	check_eq("an L1 cannot be mapped writable", map_mfn(va, l1_maddr >> PAGE_SHIFT, PTE_KERN),
		 -XEN_EBUSY);
	check_eq("nor by a superpage's bit",
		 (pt_find(va, 2, &l2_maddr, &l2), pt_set(l2_maddr, l2 | 0x80)), -XEN_EINVAL);
	for (unsigned int i = 256; i < 272; i++)
		if (pt_set(((uint64_t)mfn << PAGE_SHIFT) + i * 8, mfn_pte(mfn, PTE_KERN)) >= 0)
			check("an L4 slot of Xen's", false);
	check_eq("an L4 slot of Xen's, emptied", pt_set(((uint64_t)mfn << PAGE_SHIFT) + 260 * 8, 0),
		 -XEN_EINVAL);
	check_eq("the root as L1", mmuext(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL);
	check_eq("an L1 as root", mmuext(MMUEXT_NEW_BASEPTR, l1_maddr >> PAGE_SHIFT), -XEN_EINVAL);
	check_eq("an L1 as L2", pt_set(l2_maddr + 8, mfn_pte(mfn, PTE_KERN)), -XEN_EINVAL);
	pt_find(va, 3, &l2_maddr, NULL);
	check_eq("an L1 where an L2 belongs",
		 pt_set(l2_maddr + 8, mfn_pte(l1_maddr >> PAGE_SHIFT, PTE_KERN)), -XEN_EINVAL);
}

static void pin(void)
{
	uint64_t *table = page_alloc(), *target = page_alloc();
	mfn_t mfn = va_to_mfn(table), target_mfn = va_to_mfn(target);
	uint64_t at = (uint64_t)mfn << PAGE_SHIFT;

	check_eq("pin: still writable", mmuext(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL);
	table[7] = mfn_pte(target_mfn, PTE_KERN);
	check_eq("pin: read-only now", page_set_ro(table, true), 0);
	check_eq("pin: L1", mmuext(MMUEXT_PIN_L1_TABLE, mfn), 0);
	check_eq("pin: twice", mmuext(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL);
	check_eq("pin: as L2 as well", mmuext(MMUEXT_PIN_L2_TABLE, mfn), -XEN_EINVAL);
	check_eq("pin: as L4 as well", mmuext(MMUEXT_PIN_L4_TABLE, mfn), -XEN_EINVAL);
	check_eq("pin: writable while pinned", page_set_ro(table, false), -XEN_EBUSY);
	page_set_ro(target, true);
	check_eq("pin: what it maps writably", mmuext(MMUEXT_PIN_L1_TABLE, target_mfn),
		 -XEN_EINVAL);
	check_eq("pin: an entry for itself, writable", pt_set(at + 8, mfn_pte(mfn, PTE_KERN)),
		 -XEN_EBUSY);
	check_eq("pin: an entry for itself, read-only",
		 pt_set(at + 8, mfn_pte(mfn, PTE_KERN & ~PTE_RW)), 0);
	check_eq("pin: that entry gone", pt_set(at + 8, 0), 0);
	check_eq("pin: an entry gone", pt_set(at + 7 * 8, 0), 0);
	check_eq("pin: reads back", (long)table[7], 0);
	check_eq("pin: now it can", mmuext(MMUEXT_PIN_L1_TABLE, target_mfn), 0);
	check_eq("pin: and be mapped writable no more", pt_set(at, mfn_pte(target_mfn, PTE_KERN)),
		 -XEN_EBUSY);
	check_eq("unpin", mmuext(MMUEXT_UNPIN_TABLE, target_mfn), 0);
	check_eq("unpin: twice", mmuext(MMUEXT_UNPIN_TABLE, target_mfn), -XEN_EINVAL);
	check_eq("unpin: mapped writable again", pt_set(at, mfn_pte(target_mfn, PTE_KERN)), 0);
	check_eq("unpin: the other", mmuext(MMUEXT_UNPIN_TABLE, mfn), 0);
	check_eq("unpin: a frame never pinned", mmuext(MMUEXT_UNPIN_TABLE, target_mfn),
		 -XEN_EINVAL);
	check_eq("unpin: no such frame", mmuext(MMUEXT_UNPIN_TABLE, BAD_MFN), -XEN_EINVAL);
	check_eq("writable after that", page_set_ro(table, false), 0);
	page_set_ro(target, false);
	table[0] = 0;
	table[511] = mfn_pte(BAD_MFN, PTE_KERN);
	page_set_ro(table, true);
	check_eq("pin: its last entry is bad", mmuext(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL);
	check_eq("and nothing of it stuck", page_set_ro(table, false), 0);
	check_eq("pin: no such frame", mmuext(MMUEXT_PIN_L1_TABLE, BAD_MFN), -XEN_EINVAL);
	check_eq("pin: level 5", mmuext(MMUEXT_PIN_L4_TABLE + 60, mfn), -XEN_ENOSYS);
}

void test_main(void)
{
	void *page = page_alloc();

	va = va_alloc(1);
	map_mfn(va, va_to_mfn(page), PTE_KERN); /* makes the tables above va exist */
	unmap_va(va);
	boot_tables();
	pin();
}
