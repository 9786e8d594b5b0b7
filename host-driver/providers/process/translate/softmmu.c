/* SPDX-License-Identifier: MIT */
/*
 * The TLB in software: guest linear addresses to places in d->ram, by the guest's own page tables.
 * As a CPU's it is filled at a first access, which sets the accessed and dirty bits.
 */
#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/context.h"
#include "hypercalls/monitor/mm.h"

void entries_clear(struct tr_context *c, const uint64_t *which)
{
	for (unsigned w = 0; w < TLB_SIZE / 64; w++)
		for (uint64_t bits = which[w]; bits; bits &= bits - 1)
			entry_clear(c, 64 * w + __builtin_ctzl(bits));
}

void slots_clear(struct tr_context *c, unsigned index)
{
	for (unsigned i = index; i < tlb_size(c); i += L1_ENTRIES)
		if (in_set(c->filled, i))
			entry_clear(c, i);
}

void writes_clear(struct tr_context *c, uint64_t page)
{
	for (unsigned w = 0; w < TLB_SIZE / 64; w++)
		for (uint64_t bits = c->filled[w]; bits; bits &= bits - 1) {
			const unsigned i = 64 * w + __builtin_ctzl(bits);

			if (c->tlb[i].write == page)
				c->tlb[i].write_neg = nothing(i, tlb_size(c), PAGE_SHIFT);
		}
}

void mmu_tlb_empty(struct tr_context *c)
{
	entries_clear(c, c->filled);
	memset(c->low, 0, sizeof(c->low));
}

void mmu_tlb_set(struct tr_context *c, uint64_t va, const uint8_t *page, bool write)
{
	const unsigned i = tlb_index(c, va);

	if (!page) {
		entry_clear(c, i);
	} else if (write) {
		c->tlb[i].write = (uint64_t)page;
		c->tlb[i].write_neg = -(va & PAGE_MASK);
	} else {
		c->tlb[i].read = (uint64_t)page;
		c->tlb[i].read_neg = -(va & PAGE_MASK);
	}
}

/* ---- page tables ---- */

/* The machine-to-physical table: where its slot of the root says that it is there. */
static uint8_t *m2p_page(struct vcpu *v, uint64_t va)
{
	const uint64_t at = va - HYPERVISOR_START, size = v->d->nr_frames * sizeof(uint64_t);
	const uint64_t *root = frame_ptr(v->d, root_of(v));

	if (at >= ((size + PAGE_SIZE - 1) & PAGE_MASK) || !root || !(root[M2P_SLOT] & PTE_P))
		return NULL;
	return (uint8_t *)v->d->m2p + (at & PAGE_MASK);
}

/* The page, with its A and D bits set as this access sets them; *writable: for stores as well. */
static uint8_t *page_of(struct vcpu *v, uint64_t va, enum access how, bool *writable)
{
	uint64_t rights, *slot, e, set;

	*writable = false;
	if (va >= HYPERVISOR_START && va < HYPERVISOR_END)
		return how == ACCESS_READ ? m2p_page(v, va) : NULL;
	do {
		slot = walk_to(v->d, root_of(v), va, &rights);
		if (!slot)
			return NULL;
		e = __atomic_load_n(slot, __ATOMIC_RELAXED);
		if (!(e & PTE_P) || pte_mfn(e) >= v->d->nr_frames ||
		    (how == ACCESS_WRITE && !(e & rights & PTE_RW)) ||
		    (how == ACCESS_FETCH && ((e | rights) & PTE_NX)))
			return NULL;
		set = PTE_A | (how == ACCESS_WRITE ? PTE_D : 0);
	} while ((e & set) != set &&
		 !__atomic_compare_exchange_n(slot, &e, e | set, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	*writable = how == ACCESS_WRITE;
	return frame_ptr(v->d, pte_mfn(e));
}

uint8_t *tr_memory(struct vcpu *v, uint64_t va, enum access how)
{
	struct tr_context *c = tr.context;
	const unsigned i = tlb_index(c, va);
	const uint64_t offset = va & (PAGE_SIZE - 1);
	bool writable;
	uint8_t *page;

	if (__builtin_expect(tr.check != NULL, 0))
		return check_memory(v, va, how);
	if (how == ACCESS_WRITE && va + c->tlb[i].write_neg == offset)
		return (uint8_t *)c->tlb[i].write + offset;
	if (how == ACCESS_READ && va + c->tlb[i].read_neg == offset)
		return (uint8_t *)c->tlb[i].read + offset;
	page = page_of(v, va, how, &writable);
	if (!page)
		return NULL;
	if (how == ACCESS_FETCH)
		return page + offset;
	if (writable)
		code_written(v->d, page);
	if (writable && !watch_page(va, ACCESS_WRITE)) {
		c->tlb[i].write = (uint64_t)page;
		c->tlb[i].write_neg = -(va & PAGE_MASK);
	}
	if (!watch_page(va, ACCESS_READ)) {
		c->tlb[i].read = (uint64_t)page;
		c->tlb[i].read_neg = -(va & PAGE_MASK);
	}
	if (va < HYPERVISOR_START)
		c->low[i / 64] |= 1UL << (i % 64);
	c->filled[i / 64] |= 1UL << (i % 64);
	return page + offset;
}

uint8_t *mmu_page(struct vcpu *v, uint64_t va, enum access how)
{
	bool writable;

	return page_of(v, va, how, &writable);
}

void tr_page_fault(struct vcpu *v, uint64_t va, enum access how)
{
	uint64_t rights, *slot = walk_to(v->d, root_of(v), va, &rights), error = 0;
	struct fpu_area fpu;

	if (tr.check) {
		check_page_fault(va, how);
		return;
	}
	if (!tr_canonical(va)) {
		tr_exception(v, VECTOR_GP, 0);
		return;
	}
	tr.faults++;
	tr.faulted_at = __builtin_ia32_rdtsc();
	if (slot ? *slot & PTE_P : m2p_page(v, va) != NULL)
		error |= PF_PRESENT;
	if (how == ACCESS_WRITE)
		error |= PF_WRITE;
	if (how == ACCESS_FETCH)
		error |= PF_FETCH;
	if (!pt_write_wanted(v, error)) {
		guest_page_fault(v, va, error);
		return;
	}
	fpu_keep(&fpu);
	guest_page_fault(v, va, error);
	fpu_back(&fpu);
}
