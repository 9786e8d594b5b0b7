/* SPDX-License-Identifier: MIT */
/* Pages that stay granted to a disk's backend. What links them lies outside, where it is not. */
#include <pv/grant.h>
#include <pv/mm.h>
#include "blk.h"

static struct {
	grant_ref_t ref; /* 0: not granted */
	uint32_t next;	 /* pfn of the next free one */
} * granted;

void *table_alloc(size_t n)
{
	size_t pages = (n + PAGE_SIZE - 1) / PAGE_SIZE;
	unsigned long va = va_alloc(pages);

	for (size_t i = 0; i < pages; i++) {
		void *page = page_try_alloc();

		if (!page || map_mfn(va + i * PAGE_SIZE, va_to_mfn(page), PTE_KERN))
			return NULL;
	}
	return (void *)va;
}

bool pool_init(void)
{
	if (!granted && !grant_init())
		granted = table_alloc(start_info->nr_pages * sizeof(*granted));
	return granted;
}

grant_ref_t pool_ref(const void *page)
{
	return granted[va_to_pfn(page)].ref;
}

void *disk_page_get(struct disk *d)
{
	bool enabled = lock(&d->pool_lock);
	void *page = NULL;
	long ref;

	if (d->pool) {
		page = pfn_to_va(d->pool);
		d->pool = granted[d->pool].next;
	}
	unlock(&d->pool_lock, enabled);
	if (page)
		return page;
	page = page_try_alloc();
	if (!page)
		return NULL;
	ref = grant_access(d->backend, va_to_mfn(page), false);
	if (ref < 0) {
		page_free(page);
		return NULL;
	}
	granted[va_to_pfn(page)].ref = (grant_ref_t)ref;
	return page;
}

void disk_page_put(struct disk *d, void *page)
{
	bool enabled = lock(&d->pool_lock);

	granted[va_to_pfn(page)].next = d->pool;
	d->pool = (uint32_t)va_to_pfn(page);
	unlock(&d->pool_lock, enabled);
}

void pool_destroy(struct disk *d)
{
	while (d->pool) {
		void *page = pfn_to_va(d->pool);

		/* One that a backend still maps is lost rather than shared with who gets it next.
		 */
		if (grant_end(granted[d->pool].ref))
			page_free(page);
		d->pool = granted[d->pool].next;
	}
}
