/* SPDX-License-Identifier: MIT */
/*
 * Grant table set-up and references. The first references are the toolstack's. The table grows by
 * a frame when it is full: a disk grants its buffers once and keeps them granted.
 */
#include <pv/grant.h>
#include <pv/lib.h>
#include <pv/lock.h>

#define PER_FRAME  (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define MAX_FRAMES 32

static struct lock grant_lock;
static struct grant_entry_v1 *table;
static unsigned int nr_frames;
static grant_ref_t next_ref = GNTTAB_NR_RESERVED_ENTRIES;

static long grow(void)
{
	xen_pfn_t frames[MAX_FRAMES];
	struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = nr_frames + 1};
	long rc;

	if (nr_frames == MAX_FRAMES)
		return -XEN_EBUSY;
	set_xen_guest_handle(setup.frame_list, frames);
	rc = HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1);
	if (rc || setup.status)
		return rc ? rc : setup.status;
	rc = map_mfn((unsigned long)(table + nr_frames * PER_FRAME), frames[nr_frames], PTE_KERN);
	if (!rc)
		nr_frames++;
	return rc;
}

long grant_init(void)
{
	bool enabled = lock(&grant_lock);
	long rc = 0;

	if (!table)
		table = (struct grant_entry_v1 *)va_alloc(MAX_FRAMES);
	if (!nr_frames)
		rc = grow();
	unlock(&grant_lock, enabled);
	return rc;
}

/* The next entry that nobody uses, or 0, which is the toolstack's. */
static grant_ref_t find_free(void)
{
	grant_ref_t entries = (grant_ref_t)(nr_frames * PER_FRAME);

	for (grant_ref_t i = 0; i < entries; i++) {
		grant_ref_t ref = next_ref;

		next_ref = ref + 1 < entries ? ref + 1 : GNTTAB_NR_RESERVED_ENTRIES;
		if (!READ_ONCE(table[ref].flags))
			return ref;
	}
	if (grow())
		return 0;
	next_ref = entries + 1;
	return entries;
}

long grant_access(domid_t domid, mfn_t mfn, bool readonly)
{
	bool enabled = lock(&grant_lock);
	grant_ref_t ref = find_free();

	if (ref) {
		table[ref].frame = (uint32_t)mfn;
		table[ref].domid = domid;
		/* The flags make the entry valid, so they come last. */
		__atomic_store_n(&table[ref].flags,
				 GTF_permit_access | (readonly ? GTF_readonly : 0),
				 __ATOMIC_SEQ_CST);
	}
	unlock(&grant_lock, enabled);
	return ref ? (long)ref : -XEN_EBUSY;
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
