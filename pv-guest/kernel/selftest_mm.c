/* SPDX-License-Identifier: MIT */
/* Self-test: mappings, page types, pinning, base pointers. */
#include <pv/mm.h>
#include <pv/thread.h>
#include "kernel.h"

#define BAD_MFN	   0xfffffffffful
#define EOPNOTSUPP 95

static long mmuext(unsigned int cmd, mfn_t mfn)
{
	struct mmuext_op op = {.cmd = cmd, .arg1.mfn = mfn};

	return HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static void try_write(void *arg)
{
	*(volatile char *)arg = 1;
}

static void batches(uint64_t pte_maddr, mfn_t mfn)
{
	struct mmu_update reqs[3];
	unsigned int done = 77;

	for (int i = 0; i < 3; i++)
		reqs[i] = (struct mmu_update){.ptr = pte_maddr, .val = mfn_pte(mfn, PTE_KERN)};
	check_eq("mmu_update: a batch", HYPERVISOR_mmu_update(reqs, 3, &done, DOMID_SELF), 0);
	check_eq("mmu_update: all done", done, 3);
	reqs[1].val = mfn_pte(BAD_MFN, PTE_KERN);
	check("mmu_update: stops at a bad one",
	      HYPERVISOR_mmu_update(reqs, 3, &done, DOMID_SELF) < 0);
	check_eq("mmu_update: one done", done, 1);
	reqs[0].ptr = pte_maddr | MMU_PT_UPDATE_PRESERVE_AD;
	reqs[0].val = mfn_pte(mfn, PTE_PRESENT | PTE_RW | PTE_USER);
	check_eq("mmu_update: preserve accessed and dirty",
		 HYPERVISOR_mmu_update(reqs, 1, &done, DOMID_SELF), 0);
	reqs[0].ptr = ((uint64_t)mfn << PAGE_SHIFT) | MMU_MACHPHYS_UPDATE;
	reqs[0].val = mfn_to_pfn(mfn);
	check_eq("mmu_update: machine-to-physical entry",
		 HYPERVISOR_mmu_update(reqs, 1, &done, DOMID_SELF), 0);
	reqs[0].ptr = ((uint64_t)BAD_MFN << PAGE_SHIFT) | MMU_MACHPHYS_UPDATE;
	check_eq("mmu_update: machine-to-physical of no frame",
		 HYPERVISOR_mmu_update(reqs, 1, &done, DOMID_SELF), -XEN_EINVAL);
	check_eq("mmu_update: in no frame", pt_set((uint64_t)BAD_MFN << PAGE_SHIFT, 0),
		 -XEN_EINVAL);
	check_eq("mmu_update: of nobody", HYPERVISOR_mmu_update(reqs, 1, &done, 0x7abc),
		 -XEN_ESRCH);
	check_eq("mmu_update: nothing", HYPERVISOR_mmu_update(reqs, 0, &done, DOMID_SELF), 0);
}

void selftest_mm(void)
{
	unsigned long va = va_alloc(2);
	volatile char *page = page_alloc(), *alias = (volatile char *)va;
	mfn_t mfn = va_to_mfn((void *)page);
	struct trap_regs regs;
	uint64_t maddr, value;

	check_eq("map: a second address for a page", map_mfn(va, mfn, PTE_KERN), 0);
	page[100] = 42;
	check_eq("map: shows the same byte", alias[100], 42);
	alias[101] = 43;
	check_eq("map: in both directions", page[101], 43);
	check("map: the entry is found", pt_find(va, 1, &maddr, &value));
	check_eq("map: it names the frame", (long)((value & PTE_MFN) >> PAGE_SHIFT), (long)mfn);
	check_eq("map: read-only", map_mfn(va, mfn, PTE_KERN & ~PTE_RW), 0);
	check_eq("map: writing faults", trap_catch(try_write, (void *)alias, &regs), 1);
	check_eq("map: with error code 3", (long)regs.error, 3);
	check_eq("map: unmap", unmap_va(va), 0);
	check_eq("map: access faults", trap_catch(try_write, (void *)alias, &regs), 1);
	check_eq("map: with error code 2", (long)regs.error, 2);
	check_eq("map: no page table there",
		 HYPERVISOR_update_va_mapping(0x3000000000ul, mfn_pte(mfn, PTE_KERN), 0),
		 -XEN_EINVAL);
	check_eq("map: no such frame", map_mfn(va, BAD_MFN, PTE_KERN), -XEN_EINVAL);
	batches(maddr, mfn);
	check_eq("map: without the user bit",
		 map_mfn(va, mfn, PTE_PRESENT | PTE_RW | PTE_ACCESS | PTE_DIRTY), 0);
	pt_find(va, 1, &maddr, &value);
	check("map: Xen adds the user bit", value & PTE_USER);
	alias[102] = 44;
	check_eq("map: and it works", page[102], 44);
	check_eq("tlb flush: local", mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0), 0);
	check_eq("tlb flush: all", mmuext(MMUEXT_TLB_FLUSH_ALL, 0), 0);
	check_eq("tlb flush: one address", mmuext(MMUEXT_INVLPG_LOCAL, va), 0);
	check_eq("mmuext_op: unknown command", mmuext(99, 0), -XEN_ENOSYS);
	unmap_va(va);
	page_free((void *)page);
}

/* The initial state of the boot page tables: types keep them read-only. */
static void table_types(unsigned long va)
{
	void *table = (void *)start_info->pt_base;
	mfn_t mfn = va_to_mfn(table);
	struct trap_regs regs;

	check_eq("types: a page table is not writable", trap_catch(try_write, table, &regs), 1);
	check("types: nor can be mapped writable", map_mfn(va, mfn, PTE_KERN) < 0);
	check_eq("types: mapping it read-only works", map_mfn(va, mfn, PTE_KERN & ~PTE_RW), 0);
	check("types: it shows the entries", *(uint64_t *)va & PTE_PRESENT);
	unmap_va(va);
	check("types: an L4 entry in Xen's range",
	      pt_set(((uint64_t)mfn << PAGE_SHIFT) + 260 * 8, mfn_pte(mfn, PTE_KERN)) < 0);
	check("types: an L4 in an L1's place", mmuext(MMUEXT_PIN_L1_TABLE, mfn) < 0);
}

static void pin_l1(unsigned long va)
{
	uint64_t *table = page_alloc(), *target = page_alloc();
	mfn_t mfn = va_to_mfn(table);

	check("pin: a page with a writable mapping", mmuext(MMUEXT_PIN_L1_TABLE, mfn) < 0);
	table[7] = mfn_pte(va_to_mfn(target), PTE_KERN);
	check_eq("pin: made read-only", page_set_ro(table, true), 0);
	check_eq("pin: as L1", mmuext(MMUEXT_PIN_L1_TABLE, mfn), 0);
	check_eq("pin: twice", mmuext(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL);
	check("pin: as L2 as well", mmuext(MMUEXT_PIN_L2_TABLE, mfn) < 0);
	check("pin: no writable mapping while pinned", page_set_ro(table, false) < 0);
	check("pin: the page it maps writably cannot become a table",
	      page_set_ro(target, true) == 0 && mmuext(MMUEXT_PIN_L1_TABLE, va_to_mfn(target)) < 0);
	check_eq("pin: an entry changed", pt_set(((uint64_t)mfn << PAGE_SHIFT) + 7 * 8, 0), 0);
	check_eq("pin: reads back", (long)table[7], 0);
	check_eq("pin: the page it mapped can now", mmuext(MMUEXT_PIN_L1_TABLE, va_to_mfn(target)),
		 0);
	check_eq("unpin: that page", mmuext(MMUEXT_UNPIN_TABLE, va_to_mfn(target)), 0);
	check_eq("unpin: L1", mmuext(MMUEXT_UNPIN_TABLE, mfn), 0);
	check_eq("unpin: twice", mmuext(MMUEXT_UNPIN_TABLE, mfn), -XEN_EINVAL);
	check_eq("unpin: writable again", page_set_ro(table, false), 0);
	page_set_ro(target, false);
	table[7] = mfn_pte(BAD_MFN, PTE_KERN);
	page_set_ro(table, true);
	check("pin: a table that maps no frame of ours", mmuext(MMUEXT_PIN_L1_TABLE, mfn) < 0);
	page_set_ro(table, false);
	check_eq("pin: no such frame", mmuext(MMUEXT_PIN_L1_TABLE, BAD_MFN), -XEN_EINVAL);
	page_free(table);
	page_free(target);
}

static void descriptors(void)
{
	uint64_t *gdt = page_alloc();
	unsigned long frame = va_to_mfn(gdt);
	uint64_t maddr = (uint64_t)frame << PAGE_SHIFT;

	gdt[1] = 0x00affb000000ffff;
	check("set_gdt: a writable page", HYPERVISOR_set_gdt(&frame, 512) < 0);
	page_set_ro(gdt, true);
	check_eq("set_gdt: too many entries", HYPERVISOR_set_gdt(&frame, 8000), -XEN_EINVAL);
	check_eq("set_gdt: a read-only page", HYPERVISOR_set_gdt(&frame, 512), 0);
	check("set_gdt: keeps it from being writable", page_set_ro(gdt, false) < 0);
	check_eq("update_descriptor: a data segment",
		 HYPERVISOR_update_descriptor(maddr + 16, 0x00cff3000000ffff), 0);
	check_eq("update_descriptor: took effect", (long)gdt[2], 0x00cff3000000ffff);
	check_eq("update_descriptor: a task gate",
		 HYPERVISOR_update_descriptor(maddr + 24, 0x0000850000000000), -XEN_EINVAL);
	check_eq("set_gdt: none", HYPERVISOR_set_gdt(NULL, 0), 0);
	check_eq("set_gdt: lets the page go", page_set_ro(gdt, false), 0);
	page_free(gdt);
}

static void page_operations(void)
{
	uint64_t *a = page_alloc(), *b = page_alloc();
	struct mmuext_op op = {
		.cmd = MMUEXT_COPY_PAGE, .arg1.mfn = va_to_mfn(b), .arg2.src_mfn = va_to_mfn(a)};

	a[0] = 1;
	a[511] = 2;
	check_eq("mmuext_op: copy_page", HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF), 0);
	check("mmuext_op: copied", b[0] == 1 && b[511] == 2);
	check_eq("mmuext_op: clear_page", mmuext(MMUEXT_CLEAR_PAGE, va_to_mfn(b)), 0);
	check("mmuext_op: cleared", b[0] == 0 && b[511] == 0);
	check_eq("mmuext_op: clear_page of no frame", mmuext(MMUEXT_CLEAR_PAGE, BAD_MFN),
		 -XEN_EINVAL);
	page_free(a);
	page_free(b);
}

static void base_pointer(void)
{
	uint64_t *copy = page_alloc();
	mfn_t old = va_to_mfn((void *)start_info->pt_base), new = va_to_mfn(copy);
	volatile uint64_t *page = page_alloc();
	long rc;

	memcpy(copy, (void *)start_info->pt_base, PAGE_SIZE / 2);
	check("baseptr: a page that is writable", mmuext(MMUEXT_NEW_BASEPTR, new) < 0);
	check_eq("baseptr: made read-only", page_set_ro(copy, true), 0);
	check_eq("baseptr: pin as L4", mmuext(MMUEXT_PIN_L4_TABLE, new), 0);
	rc = mmuext(MMUEXT_NEW_BASEPTR, new);
	if (nr_vcpus > 1 && rc == -EOPNOTSUPP) {
		printf("skip baseptr: one root for all vCPUs here\n");
		mmuext(MMUEXT_UNPIN_TABLE, new);
		page_set_ro(copy, false);
		return;
	}
	check_eq("baseptr: switch", rc, 0);
	page[0] = 4711;
	check_eq("baseptr: memory is there", (long)page[0], 4711);
	check_eq("baseptr: unpin in use", mmuext(MMUEXT_UNPIN_TABLE, new), 0);
	check("baseptr: still no writable mapping", page_set_ro(copy, false) < 0);
	check_eq("baseptr: back", mmuext(MMUEXT_NEW_BASEPTR, old), 0);
	check_eq("baseptr: memory is still there", (long)page[0], 4711);
	check_eq("baseptr: the copy is a plain page again", page_set_ro(copy, false), 0);
	check_eq("user baseptr: none", mmuext(MMUEXT_NEW_USER_BASEPTR, 0), 0);
	page_free(copy);
	page_free((void *)page);
}

void selftest_pin(void)
{
	unsigned long va = va_alloc(1);
	void *page = page_alloc();

	/* Makes the tables above va exist. */
	map_mfn(va, va_to_mfn(page), PTE_KERN);
	unmap_va(va);
	table_types(va);
	pin_l1(va);
	base_pointer();
	descriptors();
	page_operations();
	page_free(page);
}
