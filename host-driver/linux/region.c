// SPDX-License-Identifier: GPL-2.0-only
/* The regions of a VM: plain bookkeeping. */
#include <linux/mm.h>

#include "driver.h"

int region_check(const struct regions *all, const struct pvhost_region *new, u64 gpa_end,
		 u64 hva_end)
{
	unsigned int i;

	if (new->reserved || !new->size || ((new->gpa | new->hva | new->size) & ~PAGE_MASK))
		return -EINVAL;
	if (new->gpa >= gpa_end || new->size > gpa_end - new->gpa)
		return -EINVAL;
	if (new->hva >= hva_end || new->size > hva_end - new->hva)
		return -EINVAL;
	for (i = 0; i < all->nr; i++)
		if (new->gpa < all->r[i].gpa + all->r[i].size &&
		    all->r[i].gpa < new->gpa + new->size)
			return -EEXIST;
	return all->nr < MAX_REGIONS ? 0 : -ENOSPC;
}

int region_find(const struct regions *all, u64 gpa)
{
	unsigned int i;

	for (i = 0; i < all->nr; i++)
		if (gpa >= all->r[i].gpa && gpa - all->r[i].gpa < all->r[i].size)
			return i;
	return -1;
}

int region_exact(const struct regions *all, const struct pvhost_region *r)
{
	int i = region_find(all, r->gpa);

	return i >= 0 && all->r[i].gpa == r->gpa && all->r[i].hva == r->hva &&
			       all->r[i].size == r->size
		       ? i
		       : -1;
}

bool region_large(const struct pvhost_region *r, u64 gpa)
{
	const u64 start = gpa & ~(PMD_SIZE - 1);

	return !((r->gpa ^ r->hva) & (PMD_SIZE - 1)) && start >= r->gpa &&
	       start + PMD_SIZE <= r->gpa + r->size;
}
