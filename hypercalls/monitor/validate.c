/* SPDX-License-Identifier: MIT */
/*
 * Page-table validation: what a frame must hold to be used as an L1..L4 table, and the
 * references its entries stand for. Recursion is bounded by the number of levels.
 *
 * Linear page tables: an entry may also name a table of its own table's level, read-only, which
 * then serves as one of the level below. An entry for the table itself holds no reference. One for
 * another table does, so there must be no cycles: a table that has such entries is the target of
 * none.
 */
#include "hypercalls/monitor/mm.h"

#define PTE_PWT		 0x008UL
#define PTE_PCD		 0x010UL
#define PTE_GUEST_KERNEL (1UL << 52) /* Xen's mark: the guest asked for a supervisor page */

uint64_t entry_adjust(uint64_t e, enum frame_type level, int *rc)
{
	*rc = 0;
	if (!(e & PTE_P))
		return e;
	if (level != FT_L1) {
		if (e & (PTE_PS | PTE_PWT | PTE_PCD | PTE_G))
			*rc = -EINVAL;
		return e | PTE_US | (level == FT_L4 ? PTE_A : 0);
	}
	if (e & (PTE_PWT | PTE_PCD | PTE_PS)) /* PS is PAT in an L1 */
		*rc = -EINVAL;
	if (!(e & PTE_US))
		e |= PTE_GUEST_KERNEL | PTE_US;
	if (!(e & PTE_GUEST_KERNEL))
		e |= PTE_G;
	return e;
}

static bool is_table(const struct domain *d, uint64_t mfn, enum frame_type level)
{
	return mfn < d->nr_frames && d->frame[mfn].type_count && d->frame[mfn].type == level;
}

static int linear_get(struct domain *d, uint64_t table, uint64_t e, enum frame_type level)
{
	const uint64_t mfn = pte_mfn(e);
	struct frame *from = &d->frame[table], *to;
	int rc;

	if (e & PTE_RW || !is_table(d, mfn, level))
		return -EINVAL;
	if (mfn == table)
		return 0;
	to = &d->frame[mfn];
	if (from->linear < 0 || to->linear > 0 || to->linear == INT16_MIN)
		return -EINVAL;
	rc = frame_get_type(d, mfn, level);
	if (rc)
		return rc;
	from->linear++;
	to->linear--;
	return 0;
}

static void linear_put(struct domain *d, uint64_t table, uint64_t mfn, enum frame_type level)
{
	if (mfn == table)
		return;
	d->frame[table].linear--;
	d->frame[mfn].linear++;
	frame_put_type(d, mfn, level);
}

int entry_get(struct domain *d, uint64_t table, uint64_t e, enum frame_type level)
{
	uint64_t mfn = pte_mfn(e);
	int rc;

	if (!(e & PTE_P))
		return 0;
	if (level != FT_L1) {
		rc = frame_get_type(d, mfn, level - 1);
		if (rc == -EINVAL)
			rc = linear_get(d, table, e, level);
		return rc;
	}
	if (e & PTE_RW && frame_is_owned(d, mfn))
		return frame_get_type(d, mfn, FT_WRITABLE) ? -EBUSY : 0;
	return frame_get(d, mfn);
}

void entry_put(struct domain *d, uint64_t table, uint64_t e, enum frame_type level)
{
	uint64_t mfn = pte_mfn(e);

	/* A frame number out of range was not validated: someone wrote behind the monitor's back.
	 */
	if (!(e & PTE_P) || mfn >= d->nr_frames)
		return;
	if (level != FT_L1 && is_table(d, mfn, level))
		linear_put(d, table, mfn, level);
	else if (level != FT_L1)
		frame_put_type(d, mfn, level - 1);
	else if (e & PTE_RW && d->frame[mfn].kind != FRAME_HEAP)
		frame_put_type(d, mfn, FT_WRITABLE);
	else
		frame_put(d, mfn);
}

static void drop_entries(struct domain *d, uint64_t mfn, unsigned n, enum frame_type level)
{
	const uint64_t *table = frame_ptr(d, mfn);

	for (unsigned i = 0; i < n; i++)
		if (level != FT_L4 || !l4_slot_is_xens(i))
			entry_put(d, mfn, __atomic_load_n(&table[i], __ATOMIC_RELAXED), level);
}

static int validate_table(struct domain *d, uint64_t mfn, enum frame_type level)
{
	uint64_t *table = frame_ptr(d, mfn);

	for (unsigned i = 0; i < 512; i++) {
		uint64_t e;
		int rc;

		if (level == FT_L4 && l4_slot_is_xens(i))
			continue;
		e = entry_adjust(__atomic_load_n(&table[i], __ATOMIC_RELAXED), level, &rc);
		if (!rc)
			rc = entry_get(d, mfn, e, level);
		if (rc) {
			drop_entries(d, mfn, i, level);
			return rc;
		}
		table[i] = e;
	}
	if (level == FT_L4) { /* whatever the guest left there */
		memcpy(&table[256], d->l4_slot, sizeof(d->l4_slot));
		if (!m2p_strict(d)) /* with its first use as a kernel's root */
			table[256] = 0;
	}
	return 0;
}

static int validate_descriptors(uint64_t *desc)
{
	for (unsigned i = 0; i < 512; i++)
		if (!descriptor_check(&desc[i]))
			return -EINVAL;
	return 0;
}

int frame_validate(struct domain *d, uint64_t mfn, enum frame_type type)
{
	void *p = frame_ptr(d, mfn);

	switch (type) {
	case FT_L1:
	case FT_L2:
	case FT_L3:
	case FT_L4: return validate_table(d, mfn, type);
	case FT_SEGDESC: return validate_descriptors(p);
	default: return 0;
	}
}

void frame_invalidate(struct domain *d, uint64_t mfn, enum frame_type type)
{
	uint64_t *p = frame_ptr(d, mfn);

	if (type >= FT_L1 && type <= FT_L4)
		drop_entries(d, mfn, 512, type);
	if (type ==
	    FT_L4) /* the guest's page again, and the provider's tables are not its business */
		memset(&p[256], 0, sizeof(d->l4_slot));
}
