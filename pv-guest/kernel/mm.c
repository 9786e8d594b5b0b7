/* SPDX-License-Identifier: MIT */
/*
 * Physical pages and the tables that map them.
 *
 * The builder maps the image, its tables and at least 512 KiB behind them; whatever lies beyond is
 * ours but invisible. mm_init() makes it visible at _virt_base + pfn * 4096. A page becomes a page
 * table in three steps: fill it while it is an ordinary page, give up every writable mapping of
 * it, and name it in the level above, which is when the hypervisor checks its entries. What
 * changes here is seen by all vCPUs, hence UVMF_ALL.
 */
#include <pv/lib.h>
#include <pv/lock.h>
#include <pv/mm.h>

/* 64 GiB: far above the direct map, below every provider's limit. */
#define VA_POOL 0x1000000000ul

struct free_page {
	struct free_page *next;
};

static struct lock free_lock, tables_lock;
static struct free_page *free_list;
static pfn_t fresh, fresh_end; /* never handed out, hence not touched: the host may owe us them */
static unsigned long nr_free, nr_total;
static unsigned long va_next = VA_POOL;

unsigned long page_total(void)
{
	return nr_total;
}

unsigned long page_free_count(void)
{
	return nr_free;
}

void page_free(void *page)
{
	struct free_page *f = page;
	bool enabled = lock(&free_lock);

	f->next = free_list;
	free_list = f;
	nr_free++;
	unlock(&free_lock, enabled);
}

void *page_try_alloc(void)
{
	bool enabled = lock(&free_lock);
	struct free_page *f = free_list;

	if (f)
		free_list = f->next;
	else if (fresh < fresh_end)
		f = pfn_to_va(fresh++);
	if (f)
		nr_free--;
	unlock(&free_lock, enabled);
	return f ? page_clear(f) : NULL;
}

void *page_alloc(void)
{
	void *page = page_try_alloc();

	if (!page)
		panic("out of memory");
	return page;
}

long page_set_ro(void *page, bool ro)
{
	uint64_t flags = ro ? PTE_KERN & ~PTE_RW : PTE_KERN;

	return HYPERVISOR_update_va_mapping((unsigned long)page, mfn_pte(va_to_mfn(page), flags),
					    UVMF_INVLPG | UVMF_ALL);
}

/* Hooks a filled table page into the entry at maddr. */
static long table_install(uint64_t maddr, void *table)
{
	long rc = page_set_ro(table, true);

	if (!rc)
		rc = pt_set(maddr, mfn_pte(va_to_mfn(table), PTE_KERN));
	return rc;
}

/* Makes several pages read-only, to be tables, or writable again; one call for all of them. */
void pages_set_ro(void *const *pages, unsigned int n, bool ro)
{
	uint64_t flags = ro ? PTE_KERN & ~PTE_RW : PTE_KERN;
	struct multicall_entry calls[PAGES_SET_MAX];

	for (unsigned int i = 0; i < n; i++)
		calls[i] = (struct multicall_entry){
			.op = __HYPERVISOR_update_va_mapping,
			.args = {(unsigned long)pages[i], mfn_pte(va_to_mfn(pages[i]), flags),
				 i + 1 < n ? UVMF_NONE : UVMF_TLB_FLUSH | UVMF_ALL},
		};
	if (HYPERVISOR_multicall(calls, n))
		panic("multicall");
	for (unsigned int i = 0; i < n; i++)
		if (calls[i].result)
			panic("pages_set_ro: %ld", (long)calls[i].result);
}

/* Makes the tables above va exist, down to and including the one of the given level. */
static long tables_ensure(unsigned long va, unsigned int level)
{
	for (unsigned int l = 4; l > level; l--) {
		uint64_t maddr, entry;
		long rc;

		if (!pt_find(va, l, &maddr, &entry))
			return -XEN_EINVAL;
		if (entry & PTE_PRESENT)
			continue;
		rc = table_install(maddr, page_alloc());
		if (rc)
			return rc;
	}
	return 0;
}

long map_mfn(unsigned long va, mfn_t mfn, uint64_t flags)
{
	bool enabled = lock(&tables_lock);
	long rc = tables_ensure(va, 1);

	unlock(&tables_lock, enabled);
	if (rc)
		return rc;
	return HYPERVISOR_update_va_mapping(va, mfn_pte(mfn, flags), UVMF_INVLPG | UVMF_ALL);
}

long unmap_va(unsigned long va)
{
	return HYPERVISOR_update_va_mapping(va, 0, UVMF_INVLPG | UVMF_ALL);
}

unsigned long va_alloc(unsigned long n)
{
	return __atomic_fetch_add(&va_next, n << PAGE_SHIFT, __ATOMIC_RELAXED);
}

static void fresh_until(pfn_t pfn)
{
	nr_free += pfn - fresh_end;
	fresh_end = pfn;
}

/* Shows the pages from pfn up to the next 2 MiB boundary with one new L1: one call for 512. */
static pfn_t direct_map_block(pfn_t pfn)
{
	unsigned long va = (unsigned long)pfn_to_va(pfn);
	uint64_t *l1 = page_alloc();
	uint64_t maddr, entry;
	long rc = tables_ensure(va, 2);

	if (rc || !pt_find(va, 2, &maddr, &entry) || (entry & PTE_PRESENT))
		panic("direct map: %ld", rc);
	for (unsigned int i = va >> PAGE_SHIFT & 511; i < 512; i++) {
		if (pfn == start_info->nr_pages)
			break;
		l1[i] = mfn_pte(pfn_to_mfn(pfn++), PTE_KERN);
	}
	rc = table_install(maddr, l1);
	if (rc)
		panic("direct map: %ld", rc);
	fresh_until(pfn);
	return pfn;
}

void mm_init(void)
{
	/* The boot stack lies behind the tables; start.S left it. */
	pfn_t pfn = va_to_pfn((void *)start_info->pt_base) + start_info->nr_pt_frames;
	uint64_t entry;

	nr_total = start_info->nr_pages;
	fresh = fresh_end = pfn;
	while (pfn < nr_total && pt_find((unsigned long)pfn_to_va(pfn), 1, NULL, &entry) &&
	       (entry & PTE_PRESENT))
		pfn++;
	fresh_until(pfn);
	while (pfn < nr_total)
		pfn = direct_map_block(pfn);
}
