/* SPDX-License-Identifier: MIT */
/*
 * Direct paging: mmu_update and update_va_mapping. Public header xen.h, "mmu_update".
 * Every present entry that changes is also taken out of a provider's mirror.
 */
#include "hypercalls/monitor/mm.h"

#define MAX_UPDATES 65536 /* in one call: what is beyond is the guest's to ask for again */

/* An entry of a table changed from `old`: what may the provider have made of it? */
static void changed(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old)
{
	struct frame *f = &d->frame[table_mfn];

	if (!(old & PTE_P) && f->type != FT_L4)
		return;
	if (d->provider->entry_changed)
		d->provider->entry_changed(d, table_mfn, index, old);
	else if (!(old & PTE_P))
		return;
	else if (f->type != FT_L1 || f->va_hint == VA_HINT_MANY)
		mirror_invalidate(d, FLUSH_ALL);
	else if (f->va_hint != VA_HINT_NONE)
		mirror_invalidate(d, f->va_hint + index * PAGE_SIZE);
}

int pte_exchange(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old, uint64_t new)
{
	const enum frame_type level = d->frame[table_mfn].type;
	uint64_t *slot = (uint64_t *)frame_ptr(d, table_mfn) + index, now = old;
	int rc;

	new = entry_adjust(new, level, &rc);
	if (!rc)
		rc = entry_get(d, table_mfn, new, level);
	if (rc)
		return rc;
	if (!__atomic_compare_exchange_n(slot, &now, new, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED)) {
		entry_put(d, table_mfn, new, level);
		return -EAGAIN;
	}
	if (old & PTE_P)
		map_changed(d);
	changed(d, table_mfn, index, old);
	entry_put(d, table_mfn, old, level);
	return 0;
}

int pte_update(struct vcpu *v, uint64_t table_mfn, unsigned index, uint64_t new, bool preserve_ad)
{
	struct domain *d = v->d;
	struct frame *f;
	uint64_t *slot, old;
	int rc;

	if (!frame_is_owned(d, table_mfn))
		return -EINVAL;
	f = &d->frame[table_mfn];
	slot = (uint64_t *)frame_ptr(d, table_mfn) + index;
	if (!f->type_count || f->type == FT_WRITABLE) {		/* not a table: ordinary memory */
		rc = frame_get_type(d, table_mfn, FT_WRITABLE); /* to every CPU as well */
		if (rc)
			return rc;
		frame_written(d, table_mfn);
		__atomic_store_n(slot, new, __ATOMIC_RELAXED);
		frame_put_type(d, table_mfn, FT_WRITABLE);
		return 0;
	}
	if (f->type == FT_SEGDESC || (f->type == FT_L4 && l4_slot_is_xens(index)))
		return -EINVAL;
	do { /* the CPU may set A and D meanwhile */
		old = __atomic_load_n(slot, __ATOMIC_RELAXED);
		rc = pte_exchange(d, table_mfn, index, old,
				  preserve_ad ? new | (old & (PTE_A | PTE_D)) : new);
	} while (rc == -EAGAIN);
	return rc;
}

static int one_update(struct vcpu *v, const union mmu_request *r)
{
	const struct mmu_update *u = &r->update;
	uint64_t addr = u->ptr & ~3UL;
	uint64_t mfn = addr >> PAGE_SHIFT;

	switch (u->ptr & 3) {
	case MMU_NORMAL_PT_UPDATE:
	case MMU_PT_UPDATE_PRESERVE_AD:
	case MMU_PT_UPDATE_NO_TRANSLATE:
		if (addr & 7)
			return -EINVAL;
		return pte_update(v, mfn, (addr & (PAGE_SIZE - 1)) / 8, u->val,
				  (u->ptr & 3) == MMU_PT_UPDATE_PRESERVE_AD);
	default: /* MMU_MACHPHYS_UPDATE */
		if (!frame_is_owned(v->d, mfn))
			return -EINVAL;
		v->d->m2p[mfn] = u->val;
		return 0;
	}
}

long mmu_requests(struct vcpu *v, uint64_t list, uint64_t count, uint64_t pdone, uint32_t max,
		  size_t size, int (*one)(struct vcpu *v, const union mmu_request *r))
{
	uint32_t n = (uint32_t)count & ~MMU_UPDATE_PREEMPTED, base = 0, done;
	union mmu_request r;
	long rc = 0;

	if (n > max)
		return -E2BIG;
	if (pdone && (uint32_t)count & MMU_UPDATE_PREEMPTED &&
	    copy_from_guest(v, &base, pdone, sizeof(base)))
		base = 0;
	for (done = 0; done < n; done++, list += size) {
		rc = copy_from_guest(v, &r, list, size);
		if (!rc)
			rc = one(v, &r);
		if (rc)
			break;
	}
	done += base;
	if (pdone && copy_to_guest(v, pdone, &done, sizeof(done)))
		rc = -EFAULT;
	return rc;
}

long do_mmu_update(struct vcpu *v, uint64_t ureqs, uint64_t count, uint64_t pdone, uint64_t dom,
		   uint64_t a5)
{
	/* The upper half names the owner of the tables, plus one. */
	uint32_t owner = (uint32_t)dom >> 16;
	long rc;

	if (owner && owner - 1 != v->d->id)
		return owner == 1 ? -EPERM : -ESRCH;
	rc = check_owner(dom & 0xffff);
	if (rc)
		return rc;
	return mmu_requests(v, ureqs, count, pdone, MAX_UPDATES, sizeof(struct mmu_update),
			    one_update);
}

uint64_t l1_of(struct vcpu *v, uint64_t va)
{
	uint64_t mfn = v->cr3_mfn;

	for (int shift = 39; shift > 12; shift -= 9) {
		uint64_t *table = frame_ptr(v->d, mfn), e;

		if (!table)
			return INVALID_MFN;
		e = __atomic_load_n(&table[(va >> shift) & 511], __ATOMIC_RELAXED);
		if (!(e & PTE_P) || (shift < 39 && e & PTE_PS))
			return INVALID_MFN;
		mfn = pte_mfn(e);
	}
	return mfn;
}

long do_update_va_mapping(struct vcpu *v, uint64_t va, uint64_t val, uint64_t flags, uint64_t a4,
			  uint64_t a5)
{
	uint32_t vcpus = 1U << v->id;
	uint64_t l1;
	long rc;

	if (!addr_ok(va))
		return -EINVAL;
	l1 = l1_of(v, va);
	if (l1 == INVALID_MFN || !frame_is_owned(v->d, l1) || v->d->frame[l1].type != FT_L1)
		return -EINVAL;
	rc = pte_update(v, l1, (va >> PAGE_SHIFT) & 511, val, false);
	if (rc || !(flags & UVMF_FLUSHTYPE_MASK))
		return rc;
	if ((flags & UVMF_FLUSHTYPE_MASK) == UVMF_FLUSHTYPE_MASK)
		return -EINVAL;
	if ((flags & ~UVMF_FLUSHTYPE_MASK) == UVMF_ALL)
		vcpus = ALL_VCPUS;
	else if (flags & ~UVMF_FLUSHTYPE_MASK)
		rc = tlb_vcpus(v, flags & ~UVMF_FLUSHTYPE_MASK, &vcpus);
	if (!rc)
		tlb_flush(v->d, vcpus, flags & UVMF_INVLPG ? va : FLUSH_ALL);
	return rc;
}

long do_update_va_mapping_otherdomain(struct vcpu *v, uint64_t va, uint64_t val, uint64_t flags,
				      uint64_t dom, uint64_t a5)
{
	int rc = check_owner(dom & 0xffff);

	return rc ? rc : do_update_va_mapping(v, va, val, flags, 0, 0);
}
