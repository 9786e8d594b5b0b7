/* SPDX-License-Identifier: MIT */
/*
 * Grants, table version 1: which frames of ours another domain may map. References are kept in a
 * free list over an array of the caller's; the table is mapped by the caller
 * (GNTTABOP_setup_table). No locks: one caller at a time for each struct pv_grants.
 */
#ifndef PAVANE_GRANT_H
#define PAVANE_GRANT_H

#include <stdbool.h>
#include <pavane/barrier.h>
#include <pavane/hypercall.h>

#define PV_GRANTS_PER_PAGE ((unsigned int)(4096 / sizeof(struct grant_entry_v1)))
#define PV_GRANT_NONE	   (~(grant_ref_t)0)

struct pv_grants {
	struct grant_entry_v1 *table;
	grant_ref_t *next; /* of each free reference the next one */
	grant_ref_t first;
};

/*
 * `entries` references: PV_GRANTS_PER_PAGE for each page that is mapped at `table`; `next` has as
 * many elements. The first eight belong to the toolstack: console and xenstore are among them.
 */
static inline void pv_grants_init(struct pv_grants *g, struct grant_entry_v1 *table,
				  grant_ref_t *next, unsigned int entries)
{
	g->table = table;
	g->next = next;
	g->first = PV_GRANT_NONE;
	for (grant_ref_t ref = entries; ref-- > GNTTAB_NR_RESERVED_ENTRIES;) {
		next[ref] = g->first;
		g->first = ref;
	}
}

/*
 * A reference by which `domid` may map the whole frame, to read only or to write as well; or
 * PV_GRANT_NONE if there are none left, or the frame is beyond the 32 bits that version 1 has.
 */
static inline grant_ref_t pv_grant(struct pv_grants *g, domid_t domid, xen_pfn_t frame,
				   bool readonly)
{
	grant_ref_t ref = g->first;
	struct grant_entry_v1 *e;

	if (ref == PV_GRANT_NONE || frame >> 32)
		return PV_GRANT_NONE;
	g->first = g->next[ref];
	e = &g->table[ref];
	e->frame = (uint32_t)frame;
	e->domid = domid;
	xen_wmb(); /* the flags make the entry valid, so they come last */
	PV_WRITE(&e->flags, (uint16_t)(GTF_permit_access | (readonly ? GTF_readonly : 0)));
	return ref;
}

/*
 * Takes a grant back. False while the other domain has it mapped: then neither the reference nor
 * the frame may be used for anything else; try again later, or give both up for lost.
 */
static inline bool pv_grant_end(struct pv_grants *g, grant_ref_t ref)
{
	uint16_t *flags = &g->table[ref].flags;
	uint16_t seen = PV_READ(flags);

	/* The hypervisor sets the two bits at any time: only an exchange that sees both clear will
	 * do. */
	do {
		if (seen & (GTF_reading | GTF_writing))
			return false;
	} while (!__atomic_compare_exchange_n(flags, &seen, 0, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	g->next[ref] = g->first;
	g->first = ref;
	return true;
}

#endif
