/* SPDX-License-Identifier: MIT */
/*
 * Mapping grants (public grant_table.h, GNTTABOP_map_grant_ref and its undoing), of one's own
 * and, through the broker, of another domain's (lend.c says how the page gets here).
 */
#include <unistd.h>

#include "hypercalls/monitor/grant.h"
#include "hypercalls/monitor/mm.h"

#define MAX_HANDLES   PVDOM_MAX_MAPPINGS
#define PTE_ADDR_LOW3 7UL

static struct mapping {
	uint32_t ref;
	uint16_t flags; /* GNTMAP_*, the low ones */
	bool used, foreign;
	uint64_t mfn, broker_handle; /* the latter for a foreign one */
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

static int free_handle(void)
{
	for (uint32_t i = 0; i < MAX_HANDLES; i++) {
		uint32_t h = (handle_hint + i) % MAX_HANDLES;

		if (!mappings[h].used)
			return h;
	}
	return -1;
}

/* Ask the broker for the page; d->lock is dropped meanwhile. GNTST_*, and m->mfn names it. */
static int borrow(struct domain *d, const struct gnttab_map_grant_ref *op, struct mapping *m)
{
	const uint64_t arg[4] = {op->dom, op->ref, op->flags};
	int fds[2];
	long rc;

	pthread_mutex_unlock(&d->lock);
	rc = up_call(d, UP_GRANT_MAP, arg, NULL, 0, NULL, 0, fds);
	pthread_mutex_lock(&d->lock);
	if (fds[1] >= 0)
		close(fds[1]);
	if (rc < 0 || fds[0] < 0)
		return rc == -ESRCH    ? GNTST_bad_domain
		       : rc == -EAGAIN ? GNTST_eagain
				       : GNTST_general_error;
	m->broker_handle = rc;
	m->mfn = frame_borrow(d, fds[0], !(op->flags & GNTMAP_readonly));
	if (m->mfn != INVALID_MFN)
		return GNTST_okay;
	close(fds[0]);
	return GNTST_no_space;
}

/* The grant's use ends. For a foreign one d->lock is dropped meanwhile. */
static void unmap_done(struct domain *d, struct mapping *m)
{
	const uint64_t arg[4] = {m->broker_handle};

	m->used = false; /* first: while the lock is dropped another vCPU may come here */
	if (!m->foreign) {
		grant_unpin(d, m->ref, !(m->flags & GNTMAP_readonly));
		return;
	}
	if (m->mfn != INVALID_MFN)
		frame_give_back(d, m->mfn);
	pthread_mutex_unlock(&d->lock);
	up_call(d, UP_GRANT_UNMAP, arg, NULL, 0, NULL, 0, NULL);
	pthread_mutex_lock(&d->lock);
}

static bool write_entry(struct vcpu *v, const struct gnttab_map_grant_ref *op, struct mapping *m)
{
	const bool write = !(op->flags & GNTMAP_readonly);
	struct domain *d = v->d;
	struct slot s;
	uint64_t pte = m->mfn << PAGE_SHIFT | PTE_P | PTE_US | PTE_A |
		       (write ? PTE_RW | PTE_D : 0) | avail_bits(op->flags);
	bool ok;

	if (!find_slot(v, op->host_addr, op->flags & GNTMAP_contains_pte, &s))
		return false;
	if (m->foreign)
		d->frame[m->mfn].pinned = 1; /* this entry may name it, no other */
	ok = !pte_update(v, s.table, s.index, pte, false);
	if (m->foreign)
		d->frame[m->mfn].pinned = 0;
	return ok;
}

int grant_map(struct vcpu *v, struct gnttab_map_grant_ref *op)
{
	const bool write = !(op->flags & GNTMAP_readonly);
	struct domain *d = v->d;
	struct mapping *m;
	int rc, h = free_handle();

	if (!(op->flags & (GNTMAP_device_map | GNTMAP_host_map)))
		return GNTST_bad_gntref;
	if (op->dom >= DOMID_FIRST_RESERVED && op->dom != DOMID_SELF)
		return GNTST_bad_domain;
	if (h < 0)
		return GNTST_no_space;
	handle_hint = h + 1;
	m = &mappings[h];
	*m = (struct mapping){.ref = op->ref,
			      .flags = op->flags,
			      .used = true,
			      .foreign = !grant_self(d, op->dom)};
	rc = m->foreign ? borrow(d, op, m) : grant_pin(d, op->ref, write, &m->mfn);
	if (rc && rc != GNTST_no_space) {
		m->used = false;
		return rc;
	}
	if (!rc && op->flags & GNTMAP_host_map) {
		rc = write_entry(v, op, m) ? GNTST_okay : GNTST_general_error;
	} else if (!rc && write && !m->foreign) {
		/* For a device only: nothing writes, but the frame must be writable memory. */
		rc = frame_get_type(d, m->mfn, FT_WRITABLE) ? GNTST_general_error : GNTST_okay;
		if (!rc)
			frame_put_type(d, m->mfn, FT_WRITABLE);
	}
	if (rc) {
		unmap_done(d, m);
		return rc;
	}
	op->handle = h;
	op->dev_bus_addr = m->mfn << PAGE_SHIFT;
	return GNTST_okay;
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
	const uint64_t va = m->flags & GNTMAP_contains_pte ? FLUSH_ALL : addr & PAGE_MASK;

	mirror_invalidate(v->d, va);
	tlb_flush(v->d, ALL_VCPUS, va);
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
		flush(v, m, op->new_addr);
	}
	flush(v, m, op->host_addr);
	m->flags &= ~GNTMAP_host_map;
	if (!(m->flags & GNTMAP_device_map))
		unmap_done(v->d, m);
	return GNTST_okay;
}
