/* SPDX-License-Identifier: MIT */
/*
 * Between grant.c (the table, copies) and grant_map.c (mappings). All with d->lock held.
 */
#ifndef PAVANE_GRANT_H
#define PAVANE_GRANT_H

#include "hypercalls/monitor/monitor.h"

#define GRANTS_PER_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define MAX_GRANTS	 (PVDOM_GRANT_FRAMES * GRANTS_PER_FRAME)

static inline bool grant_self(const struct domain *d, uint16_t dom)
{
	return dom == DOMID_SELF || dom == d->id;
}

/*
 * Use our own grant `ref` as the domain it is granted to: marks the entry read (and written),
 * counts the use, gives the frame number. GNTST_*.
 */
int grant_pin(struct domain *d, uint32_t ref, bool write, uint64_t *mfn);
void grant_unpin(struct domain *d, uint32_t ref, bool write);

int grant_map(struct vcpu *v, struct gnttab_map_grant_ref *op);
int grant_unmap(struct vcpu *v, const struct gnttab_unmap_grant_ref *op);
int grant_replace(struct vcpu *v, const struct gnttab_unmap_and_replace *op);

#endif
