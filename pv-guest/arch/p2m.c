/* SPDX-License-Identifier: MIT */
/* Frame numbers and page-table walks. Tables are read where the direct map shows them. */
#include <pv/mm.h>

pfn_t mfn_to_pfn(mfn_t mfn)
{
	/*
	 * Builders hand out runs of frames, so within two megabytes the last answer's distance is
	 * nearly always right. Several vCPUs may be here: a distance is only ever a guess.
	 */
	static unsigned long distances[64];
	unsigned long *distance = &distances[mfn >> 9 & (ARRAY_SIZE(distances) - 1)];
	const mfn_t *p2m = (const mfn_t *)start_info->mfn_list;
	pfn_t pfn = mfn - READ_ONCE(*distance);

	if (pfn < start_info->nr_pages && p2m[pfn] == mfn)
		return pfn;
	for (pfn = 0; pfn < start_info->nr_pages; pfn++) {
		if (p2m[pfn] == mfn) {
			WRITE_ONCE(*distance, mfn - pfn);
			return pfn;
		}
	}
	return ~0ul;
}

long pt_set(uint64_t pte_maddr, uint64_t value)
{
	struct mmu_update req = {.ptr = pte_maddr | MMU_NORMAL_PT_UPDATE, .val = value};

	return HYPERVISOR_mmu_update(&req, 1, NULL, DOMID_SELF);
}

bool pt_find(unsigned long va, unsigned int level, uint64_t *maddr, uint64_t *value)
{
	const uint64_t *table = (const uint64_t *)start_info->pt_base;
	mfn_t mfn = va_to_mfn(table);

	for (unsigned int l = 4;; l--) {
		unsigned int index = va >> (PAGE_SHIFT + 9 * (l - 1)) & 511;
		uint64_t entry = READ_ONCE(table[index]);
		pfn_t pfn;

		if (l == level) {
			if (maddr)
				*maddr = ((uint64_t)mfn << PAGE_SHIFT) + index * sizeof(entry);
			if (value)
				*value = entry;
			return true;
		}
		if (!(entry & PTE_PRESENT))
			return false;
		mfn = (entry & PTE_MFN) >> PAGE_SHIFT;
		pfn = mfn_to_pfn(mfn);
		if (pfn == ~0ul)
			return false;
		table = pfn_to_va(pfn);
	}
}
