/* SPDX-License-Identifier: MIT */
/*
 * Mapping grants (public grant_table.h, GNTTABOP_map_grant_ref and its undoing): of one's own
 * grants only. A foreign frame has no number in this domain's frame table, so its mapping is
 * refused with GNTST_general_error; a back end in another domain copies instead.
 */
#include "hypercalls/monitor/grant.h"

#define MAX_HANDLES   8192
#define PTE_ADDR_LOW3 7UL

static struct mapping {
	uint32_t ref;
	uint16_t flags; /* GNTMAP_*, the low ones */
	bool used;
	uint64_t mfn;
} mappings[MAX_HANDLES];
static uint32_t handle_hint;

/* A level-1 entry: its table's frame, its index. */
struct slot {
	uint64_t table;
	unsigned index;
};

static uint64_t *slot_ptr(struct domain *d, struct slot s)
{
	return (uint64_t *)frame_ptr(d, s.table) + s.index;
}

static bool is_l1(struct domain *d, uint64_t mfn)
{
	return frame_is_ram(d, mfn) && d->frame[mfn].type == FT_L1 && d->frame[mfn].type_count;
}

/* The entry that maps linear address va, by v's root; or the one at machine address va. */
static bool find_slot(struct vcpu *v, uint64_t va, bool machine, struct slot *s)
{
	struct domain *d = v->d;
	uint64_t mfn = v->cr3_mfn;

	if (machine) {
		s->table = va >> PAGE_SHIFT;
		s->index = (va & ~PAGE_MASK) / 8;
		return !(va & PTE_ADDR_LOW3) && is_l1(d, s->table);
	}
	if (va >= HYPERVISOR_START && va < HYPERVISOR_END)
		return false;
	for (int shift = 39; shift > PAGE_SHIFT; shift -= 9) {
		const uint64_t *table = frame_ptr(d, mfn);
		uint64_t e;

		if (!table)
			return false;
		e = table[va >> shift & 511];
		if (!(e & PTE_P) || (shift < 39 && (e & PTE_PS)))
			return false;
		mfn = pte_mfn(e);
	}
	s->table = mfn;
	s->index = va >> PAGE_SHIFT & 511;
	return is_l1(d, mfn);
}

/* The available bits 9..11 and 52.. that the caller wants in the entry. */
static uint64_t avail_bits(uint32_t flags)
{
	return (uint64_t)(flags >> _GNTMAP_guest_avail0 & 7) << 9;
}

int grant_map(struct vcpu *v, struct gnttab_map_grant_ref *op)
{
	const bool write = !(op->flags & GNTMAP_readonly);
	struct domain *d = v->d;
	uint32_t h = 0, i;
	struct slot s;
	uint64_t mfn;
	int rc;

	if (!(op->flags & (GNTMAP_device_map | GNTMAP_host_map)))
		return GNTST_bad_gntref;
	if (!grant_self(d, op->dom))
		return op->dom < DOMID_FIRST_RESERVED ? GNTST_general_error : GNTST_bad_domain;
	for (i = 0; i < MAX_HANDLES; i++) {
		h = (handle_hint + i) % MAX_HANDLES;
		if (!mappings[h].used)
			break;
	}
	if (i == MAX_HANDLES)
		return GNTST_no_space;
	rc = grant_pin(d, op->ref, write, &mfn);
	if (rc)
		return rc;
	rc = GNTST_general_error;
	if (op->flags & GNTMAP_host_map) {
		uint64_t pte = mfn << PAGE_SHIFT | PTE_P | PTE_US | PTE_A |
			       (write ? PTE_RW | PTE_D : 0) | avail_bits(op->flags);

		if (!find_slot(v, op->host_addr, op->flags & GNTMAP_contains_pte, &s) ||
		    pte_update(v, s.table, s.index, pte, false))
			goto fail;
	} else if (write) {
		/* For a device only: nothing writes, but the frame must be writable memory. */
		if (frame_get_type(d, mfn, FT_WRITABLE))
			goto fail;
		frame_put_type(d, mfn, FT_WRITABLE);
	}
	mappings[h] = (struct mapping){op->ref, op->flags, true, mfn};
	handle_hint = h + 1;
	op->handle = h;
	op->dev_bus_addr = mfn << PAGE_SHIFT;
	return GNTST_okay;
fail:
	grant_unpin(d, op->ref, write);
	return rc;
}

static void unmap_done(struct domain *d, struct mapping *m)
{
	grant_unpin(d, m->ref, !(m->flags & GNTMAP_readonly));
	m->used = false;
}

/* The slot of a host mapping, if it still maps the granted frame. */
static bool mapped_slot(struct vcpu *v, const struct mapping *m, uint64_t addr, struct slot *s)
{
	uint64_t pte;

	if (!(m->flags & GNTMAP_host_map) || !find_slot(v, addr, m->flags & GNTMAP_contains_pte, s))
		return false;
	pte = *slot_ptr(v->d, *s);
	return (pte & PTE_P) && pte_mfn(pte) == m->mfn;
}

static void flush(struct vcpu *v, const struct mapping *m, uint64_t addr)
{
	if (m->flags & GNTMAP_contains_pte)
		v->d->provider->invalidate_all(v->d);
	else
		v->d->provider->invalidate(v->d, addr & PAGE_MASK);
}

int grant_unmap(struct vcpu *v, const struct gnttab_unmap_grant_ref *op)
{
	struct mapping *m;
	struct slot s;

	if (op->handle >= MAX_HANDLES || !mappings[op->handle].used)
		return GNTST_bad_handle;
	m = &mappings[op->handle];
	if (op->dev_bus_addr && (m->flags & GNTMAP_device_map) &&
	    op->dev_bus_addr != m->mfn << PAGE_SHIFT)
		return GNTST_general_error;
	if (op->host_addr) {
		if (!mapped_slot(v, m, op->host_addr, &s) ||
		    pte_update(v, s.table, s.index, 0, false))
			return GNTST_general_error;
		flush(v, m, op->host_addr);
		m->flags &= ~GNTMAP_host_map;
	}
	if (op->dev_bus_addr)
		m->flags &= ~GNTMAP_device_map;
	/* The grant is in use as long as either of its mappings is. */
	if (!(m->flags & (GNTMAP_host_map | GNTMAP_device_map)))
		unmap_done(v->d, m);
	return GNTST_okay;
}

int grant_replace(struct vcpu *v, const struct gnttab_unmap_and_replace *op)
{
	struct slot s, n;
	struct mapping *m;
	uint64_t pte;

	if (op->handle >= MAX_HANDLES || !mappings[op->handle].used)
		return GNTST_bad_handle;
	m = &mappings[op->handle];
	if (!mapped_slot(v, m, op->host_addr, &s) || (m->flags & GNTMAP_contains_pte))
		return GNTST_general_error;
	if (!op->new_addr) {
		if (pte_update(v, s.table, s.index, 0, false))
			return GNTST_general_error;
	} else {
		if (!find_slot(v, op->new_addr, false, &n) ||
		    (n.table == s.table && n.index == s.index))
			return GNTST_general_error;
		pte = *slot_ptr(v->d, n);
		/* First the copy, so that the frame never loses its last reference. */
		if (pte_update(v, s.table, s.index, pte, false) ||
		    pte_update(v, n.table, n.index, 0, false))
			return GNTST_general_error;
		v->d->provider->invalidate(v->d, op->new_addr & PAGE_MASK);
	}
	v->d->provider->invalidate(v->d, op->host_addr & PAGE_MASK);
	m->flags &= ~GNTMAP_host_map;
	if (!(m->flags & GNTMAP_device_map))
		unmap_done(v->d, m);
	return GNTST_okay;
}
