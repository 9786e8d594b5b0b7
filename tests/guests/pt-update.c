/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("pt-update", "mmu_update and update_va_mapping: what is written, and what is refused");

static char *page;
static unsigned long va;
static mfn_t mfn;
static uint64_t pte;

static uint64_t entry(void)
{
	uint64_t value = 0;

	pt_find(va, 1, NULL, &value);
	return value;
}

static long update(uint64_t ptr, uint64_t val, domid_t dom)
{
	struct mmu_update req = {.ptr = ptr, .val = val};

	return HYPERVISOR_mmu_update(&req, 1, NULL, dom);
}

static void flags(void)
{
	static const unsigned long ok[] = {
		UVMF_NONE,
		UVMF_TLB_FLUSH | UVMF_LOCAL,
		UVMF_TLB_FLUSH | UVMF_ALL,
		UVMF_INVLPG | UVMF_LOCAL,
		UVMF_INVLPG | UVMF_ALL,
	};
	unsigned long vcpus = 1;

	for (unsigned int i = 0; i < ARRAY_SIZE(ok); i++) {
		check_eq("flags", HYPERVISOR_update_va_mapping(va, mfn_pte(mfn, PTE_KERN), ok[i]),
			 0);
		*(volatile char *)(va + i) = (char)i;
		check_eq("it maps", page[i], i);
		check_eq("flags", HYPERVISOR_update_va_mapping(va, 0, ok[i] ? ok[i] : UVMF_INVLPG),
			 0);
		check_eq("it is gone", vector_of(do_read, (void *)va), 14);
	}
	check_eq("flags: a bitmap of vcpus",
		 HYPERVISOR_update_va_mapping(va, mfn_pte(mfn, PTE_KERN),
					      UVMF_INVLPG | (unsigned long)&vcpus),
		 0);
	check_eq("the bitmap may be bad if nobody reads it",
		 HYPERVISOR_update_va_mapping(va, mfn_pte(mfn, PTE_KERN), NOWHERE), 0);
	check_eq("no table there", HYPERVISOR_update_va_mapping(NOWHERE, mfn_pte(mfn, PTE_KERN), 0),
		 -XEN_EINVAL);
	check_eq("in Xen's range",
		 HYPERVISOR_update_va_mapping(XEN_RANGE, mfn_pte(mfn, PTE_KERN), 0), -XEN_EINVAL);
	check_eq("no such frame", HYPERVISOR_update_va_mapping(va, mfn_pte(BAD_MFN, PTE_KERN), 0),
		 -XEN_EINVAL);
	/* All ones is Xen's own "no frame"; any other number that is not memory is not permitted.
	 */
	check_eq("beyond memory",
		 HYPERVISOR_update_va_mapping(va, mfn_pte(BAD_MFN - 7, PTE_KERN), 0), -XEN_EPERM);
	check_eq("the old one stays", (long)((entry() & PTE_MFN) >> PAGE_SHIFT), (long)mfn);
	check_eq("of nobody",
		 PV_HYPERCALL4(__HYPERVISOR_update_va_mapping_otherdomain, va, 0, 0, 0x7abc),
		 -XEN_ESRCH);
}

static void adjusted(void)
{
	check_eq("without the user bit",
		 map_mfn(va, mfn, PTE_PRESENT | PTE_RW | PTE_ACCESS | PTE_DIRTY), 0);
	check("Xen adds it", entry() & PTE_USER);
	check_eq("with it", map_mfn(va, mfn, PTE_KERN), 0);
	check("still there", entry() & PTE_USER);
	check_eq("software bits", map_mfn(va, mfn, PTE_KERN | 0xe00), 0);
	check_eq("are the guest's", (long)(entry() & 0xe00), 0xe00);
	check_eq("a value not present", map_mfn(va, 0, 0xabcd000000000ull & PTE_MFN), 0);
	check_eq("is not looked at", (long)entry(), 0xabcd000000000l);
	check_eq("even with Xen's frame bits", map_mfn(va, BAD_MFN, 0), 0);
}

static void preserve(void)
{
	map_mfn(va, mfn, PTE_PRESENT | PTE_RW | PTE_USER);
	*(volatile char *)va = 1;
	check_eq("preserve accessed and dirty",
		 update(pte | MMU_PT_UPDATE_PRESERVE_AD, mfn_pte(mfn, PTE_PRESENT | PTE_USER),
			DOMID_SELF),
		 0);
	check_eq("preserved", (long)(entry() & (PTE_ACCESS | PTE_DIRTY)), PTE_ACCESS | PTE_DIRTY);
}

static void batches(void)
{
	struct mmu_update reqs[3];
	unsigned int done = 77;

	for (int i = 0; i < 3; i++)
		reqs[i] = (struct mmu_update){.ptr = pte, .val = mfn_pte(mfn, PTE_KERN)};
	check_eq("batch", HYPERVISOR_mmu_update(reqs, 3, &done, DOMID_SELF), 0);
	check_eq("all done", done, 3);
	reqs[1].val = mfn_pte(BAD_MFN, PTE_KERN);
	check("a bad one in the middle", HYPERVISOR_mmu_update(reqs, 3, &done, DOMID_SELF) < 0);
	check_eq("one done", done, 1);
	check_eq("nothing", HYPERVISOR_mmu_update(reqs, 0, &done, DOMID_SELF), 0);
	check_eq("no such command", update(pte | 3, 0, 0x7abc), -XEN_ESRCH);
	check_eq("of nobody", update(pte, 0, 0x7abc), -XEN_ESRCH);
	check_eq("machine-to-physical",
		 update(((uint64_t)mfn << PAGE_SHIFT) | MMU_MACHPHYS_UPDATE, va_to_pfn(page),
			DOMID_SELF),
		 0);
	check_eq("machine-to-physical of no frame",
		 update((BAD_MFN << PAGE_SHIFT) | MMU_MACHPHYS_UPDATE, 1, DOMID_SELF), -XEN_EINVAL);
	check_eq("in no frame", update(BAD_MFN << PAGE_SHIFT, 0, DOMID_SELF), -XEN_EINVAL);
}

/* An ordinary page is no page table: Xen writes there, but as an ordinary word. */
static void ordinary(void)
{
	uint64_t *words = page_alloc();
	uint64_t at = (uint64_t)va_to_mfn(words) << PAGE_SHIFT;

	check_eq("a word of an ordinary page", update(at + 16, 0x123456789, DOMID_SELF), 0);
	check_eq("is written as it is", (long)words[2], 0x123456789);
}

void test_main(void)
{
	page = page_alloc();
	mfn = va_to_mfn(page);
	va = va_alloc(1);
	check_eq("map", map_mfn(va, mfn, PTE_KERN), 0);
	pt_find(va, 1, &pte, NULL);
	flags();
	adjusted();
	preserve();
	batches();
	ordinary();
}
