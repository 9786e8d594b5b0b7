/* SPDX-License-Identifier: MIT */
/* Between the files of the memory families: frames, page-table validation, descriptors. */
#ifndef PAVANE_MM_H
#define PAVANE_MM_H

#include "hypercalls/monitor/monitor.h"

/* The guest's: in the reservation, or given back while still referenced. */
static inline bool frame_is_owned(struct domain *d, uint64_t mfn)
{
	return mfn < d->nr_frames &&
	       (d->frame[mfn].kind == FRAME_RAM || d->frame[mfn].kind == FRAME_DYING);
}

/* A plain reference (a read-only mapping). -EPERM: no such frame; -EBUSY, -EINVAL: not the
 * guest's.
 */
int frame_get(struct domain *d, uint64_t mfn);
void frame_put(struct domain *d, uint64_t mfn);
/* Contents to zeroes, memory back to the host until touched. */
void frame_scrub(struct domain *d, uint64_t mfn, unsigned order);

/* An entry of a page table, or which frames are tables: copy.c must look again. d->lock held. */
static inline void map_changed(struct domain *d)
{
	__atomic_store_n(&d->map_clock, d->map_clock + 1, __ATOMIC_RELEASE);
}

/* Of the page tables that v runs on. */
static inline uint64_t root_of(const struct vcpu *v)
{
	return v->kernel_mode ? v->cr3_mfn : v->user_cr3_mfn;
}

/*
 * The place of va's leaf entry below the root `mfn`; NULL for the hypervisor's addresses, and where
 * a table is missing or a large page in its place. *rights, of the levels above: PTE_RW if all
 * have it, PTE_NX if one has it. The entry itself may be anything.
 */
static inline uint64_t *walk_to(struct domain *d, uint64_t mfn, uint64_t va, uint64_t *rights)
{
	uint64_t rw = PTE_RW, nx = 0, *table;

	if ((uint64_t)((int64_t)(va << 16) >> 16) != va ||
	    (va >= HYPERVISOR_START && va < HYPERVISOR_END))
		return NULL;
#pragma GCC unroll 4
	for (int shift = 39; shift > 12; shift -= 9) {
		uint64_t e;

		table = frame_ptr(d, mfn);
		if (!table)
			return NULL;
		e = __atomic_load_n(&table[va >> shift & 511], __ATOMIC_RELAXED);
		if (!(e & PTE_P) || (shift < 39 && e & PTE_PS))
			return NULL;
		rw &= e;
		nx |= e & PTE_NX;
		mfn = pte_mfn(e);
	}
	*rights = rw | nx;
	table = frame_ptr(d, mfn);
	return table ? &table[va >> PAGE_SHIFT & 511] : NULL;
}

/* validate.c: take, or drop, all references that the contents of a frame of this type hold. */
int frame_validate(struct domain *d, uint64_t mfn, enum frame_type type);
void frame_invalidate(struct domain *d, uint64_t mfn, enum frame_type type);
/* The entry as Xen would store it, or -EINVAL in *rc for bits no guest may set. */
uint64_t entry_adjust(uint64_t e, enum frame_type level, int *rc);
/* References of one present entry of the table `table`, which has this level. */
int entry_get(struct domain *d, uint64_t table, uint64_t e, enum frame_type level);
void entry_put(struct domain *d, uint64_t table, uint64_t e, enum frame_type level);

/* The machine-to-physical table is for kernels: only with this assist no user root shows it. */
static inline bool m2p_strict(const struct domain *d)
{
	return d->vm_assist >> VMASST_TYPE_m2p_strict & 1;
}
/* As an L4 becomes a user root: does it show the table? mmuext.c */
void m2p_for_user(struct domain *d, uint64_t l4);

/*
 * tlb.c. What a provider that mirrors page tables, or a CPU that caches them, may still have of
 * the page `va` (FLUSH_ALL: of any).
 */
void mirror_invalidate(struct domain *d, uint64_t va);
void tlb_flush(struct domain *d, uint32_t vcpus, uint64_t va);
void tlb_note_loss(struct domain *d, struct frame *f); /* f's last typed reference went */
void tlb_flush_for_retype(struct domain *d, const struct frame *f, enum frame_type type);
int tlb_vcpus(struct vcpu *v, uint64_t bitmap, uint32_t *vcpus); /* -EFAULT */
#define ALL_VCPUS (~0U)

/* descriptor.c: may a guest have it in a descriptor table? Raises its DPL to the guest kernel's. */
bool descriptor_check(uint64_t *desc);
/* The LDT's pages become descriptor tables when they are first used, and none at another LDT. */
bool ldt_map(struct vcpu *v, unsigned page);
void ldt_drop(struct vcpu *v);
void ldt_set(struct vcpu *v, uint64_t base, uint32_t entries);

/* mmu.c: the L1 table that maps va in the kernel's root, or INVALID_MFN. */
uint64_t l1_of(struct vcpu *v, uint64_t va);
/* Of a page table: one entry, if it is `old` still; -EAGAIN if not, else as pte_update(). */
int pte_exchange(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old, uint64_t new);

/*
 * mmu.c: the guest's list of `count` requests of `size` bytes, one after the other until one
 * fails. How many were done goes to `pdone`. -E2BIG beyond `max`.
 */
union mmu_request {
	struct mmu_update update;
	struct mmuext_op op;
};
#define MMU_UPDATE_PREEMPTED 0x80000000U /* in a count: Xen's mark on a call it continues */
long mmu_requests(struct vcpu *v, uint64_t list, uint64_t count, uint64_t pdone, uint32_t max,
		  size_t size, int (*one)(struct vcpu *v, const union mmu_request *r));

static inline bool l4_slot_is_xens(unsigned i)
{
	return i >= 256 && i < 272;
}

/*
 * DOMID_SELF or its own number; a domU has no business with any other. Domain 0 surely exists;
 * of the rest the monitor knows none.
 */
static inline int check_self(struct domain *d, uint64_t domid)
{
	if (domid == DOMID_SELF || domid == d->id)
		return 0;
	return domid ? -ESRCH : -EPERM;
}

/* The owner of the pages in an MMU call: never oneself by number. */
static inline int check_owner(uint64_t domid)
{
	if (domid == DOMID_SELF)
		return 0;
	return domid == 0 || domid == DOMID_IO || domid == DOMID_XEN ? -EPERM : -ESRCH;
}

static inline bool addr_ok(uint64_t va)
{
	return va < 1UL << 47 || va >= HYPERVISOR_END;
}

#endif
