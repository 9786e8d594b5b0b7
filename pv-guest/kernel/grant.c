/* SPDX-License-Identifier: MIT */
/* Grant table set-up and references. The first references are the toolstack's. */
#include <pv/grant.h>
#include <pv/lib.h>

#define ENTRIES (PAGE_SIZE / sizeof(struct grant_entry_v1))

static struct grant_entry_v1 *table;
static grant_ref_t next_ref = GNTTAB_NR_RESERVED_ENTRIES;

long grant_init(void)
{
	xen_pfn_t frame = 0;
	struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 1};
	unsigned long va;
	long rc;

	if (table)
		return 0;
	set_xen_guest_handle(setup.frame_list, &frame);
	rc = HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1);
	if (rc || setup.status)
		return rc ? rc : setup.status;
	va = va_alloc(1);
	rc = map_mfn(va, frame, PTE_KERN);
	if (!rc)
		table = (struct grant_entry_v1 *)va;
	return rc;
}

long grant_access(domid_t domid, mfn_t mfn, bool readonly)
{
	for (unsigned int i = 0; i < ENTRIES; i++) {
		grant_ref_t ref = next_ref;

		next_ref = ref + 1 < ENTRIES ? ref + 1 : GNTTAB_NR_RESERVED_ENTRIES;
		if (table[ref].flags)
			continue;
		table[ref].frame = (uint32_t)mfn;
		table[ref].domid = domid;
		/* The flags make the entry valid, so they come last. */
		__atomic_store_n(&table[ref].flags,
				 GTF_permit_access | (readonly ? GTF_readonly : 0),
				 __ATOMIC_SEQ_CST);
		return ref;
	}
	return -XEN_EBUSY;
}

bool grant_end(grant_ref_t ref)
{
	uint16_t flags = READ_ONCE(table[ref].flags);

	do {
		if (flags & (GTF_reading | GTF_writing))
			return false;
	} while (!__atomic_compare_exchange_n(&table[ref].flags, &flags, 0, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	return true;
}

long grant_copy(struct gnttab_copy *op)
{
	long rc = HYPERVISOR_grant_table_op(GNTTABOP_copy, op, 1);

	return rc ? rc : op->status;
}
