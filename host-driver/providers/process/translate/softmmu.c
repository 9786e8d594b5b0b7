/* SPDX-License-Identifier: MIT */
/*
 * The TLB in software: guest linear addresses to places in d->ram, by the guest's own page tables.
 *
 * It is what a CPU's is: filled at a first access, which sets the accessed and dirty bits, and
 * emptied by what the guest asks of the monitor. A vCPU empties its own. Of another one it sets
 * `flush`, which that vCPU looks at after it said in_guest and before it enters the cache; if it is
 * in there, we wait until it has left. So when a flush returns nobody uses what was before.
 */
#include <sched.h>
#include <sys/mman.h>

#include "host-driver/providers/process/translate/block.h"
#include "hypercalls/monitor/mm.h"

#define SPINS 200

#define PF_PRESENT 1 /* Intel SDM vol. 3, 4.7 */
#define PF_WRITE   2
#define PF_FETCH   16

static bool canonical(uint64_t va)
{
	return (int64_t)(va << 16) >> 16 == (int64_t)va;
}

static inline unsigned tlb_index(uint64_t va)
{
	return va >> PAGE_SHIFT & (TLB_SIZE - 1);
}

/* No address that looks at entry i finds itself in the page whose number ends in i ^ 1. */
static inline uint64_t nothing(unsigned i, unsigned shift)
{
	return -((uint64_t)(i ^ 1) << shift);
}

static void context_clear(struct tr_context *c)
{
	for (unsigned i = 0; i < TLB_SIZE; i++)
		c->read_neg[i] = c->write_neg[i] = nothing(i, PAGE_SHIFT);
	for (unsigned i = 0; i < IBTC_SIZE; i++)
		c->ibtc_neg[i] = nothing(i, IBTC_SHIFT);
}

/* The leaf entry of va in v's current root, NULL if there is none; *rights of the levels above. */
static uint64_t *leaf(struct vcpu *v, uint64_t va, uint64_t *rights)
{
	uint64_t mfn = v->kernel_mode ? v->cr3_mfn : v->user_cr3_mfn, nx = 0, rw = PTE_RW;
	uint64_t *slot = NULL;

	if (!canonical(va) || (va >= HYPERVISOR_START && va < HYPERVISOR_END))
		return NULL;
	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t *table = frame_ptr(v->d, mfn), e;

		if (!table)
			return NULL;
		slot = &table[va >> shift & 511];
		e = __atomic_load_n(slot, __ATOMIC_RELAXED);
		if (!(e & PTE_P) || (shift > 12 && shift < 39 && e & PTE_PS))
			return NULL;
		if (shift > 12) {
			rw &= e;
			nx |= e & PTE_NX;
			mfn = pte_mfn(e);
		}
	}
	*rights = rw | nx;
	return slot;
}

/* The machine-to-physical table, which the hypervisor shows to kernels. */
static uint8_t *m2p_page(struct vcpu *v, uint64_t va)
{
	const uint64_t at = va - HYPERVISOR_START, size = v->d->nr_frames * sizeof(uint64_t);

	if (at >= ((size + PAGE_SIZE - 1) & PAGE_MASK) || (!v->kernel_mode && m2p_strict(v->d)))
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
		slot = leaf(v, va, &rights);
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
	const unsigned i = tlb_index(va);
	const uint64_t offset = va & (PAGE_SIZE - 1);
	bool writable;
	uint8_t *page;

	if (how == ACCESS_WRITE && va + c->write_neg[i] == offset)
		return (uint8_t *)c->write[i] + offset;
	if (how == ACCESS_READ && va + c->read_neg[i] == offset)
		return (uint8_t *)c->read[i] + offset;
	page = page_of(v, va, how, &writable);
	if (!page)
		return NULL;
	if (how == ACCESS_FETCH)
		return page + offset;
	if (writable) {
		code_written(v->d, page);
		c->write[i] = (uint64_t)page;
		c->write_neg[i] = -(va & PAGE_MASK);
	}
	c->read[i] = (uint64_t)page;
	c->read_neg[i] = -(va & PAGE_MASK);
	return page + offset;
}

void tr_page_fault(struct vcpu *v, uint64_t va, enum access how)
{
	uint64_t rights, *slot = leaf(v, va, &rights), error = 0;
	struct fpu_area fpu;

	if (!canonical(va)) {
		guest_exception(v, 13, 0);
		return;
	}
	if (slot && *slot & PTE_P)
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

/* ---- flushes ---- */

static void page_clear(struct tr_context *c, uint64_t va)
{
	const unsigned i = tlb_index(va);

	c->read_neg[i] = c->write_neg[i] = nothing(i, PAGE_SHIFT);
	for (unsigned j = 0; j < IBTC_SIZE; j++)
		if (-c->ibtc_neg[j] >> PAGE_SHIFT == va >> PAGE_SHIFT)
			c->ibtc_neg[j] = nothing(j, IBTC_SHIFT);
}

void mmu_flush_self(struct vcpu *v)
{
	struct tr *t = v->provider;

	__atomic_store_n(&t->flush, 0, __ATOMIC_SEQ_CST);
	context_clear(&t->contexts[0]);
	context_clear(&t->contexts[1]);
}

static void wait_outside(struct vcpu *v, const struct tr *t)
{
	const uint64_t seen = t->entries;

	if (!t->in_guest)
		return;
	v->d->provider->kick(v);
	for (unsigned i = 0; t->in_guest && t->entries == seen; i++)
		if (i < SPINS)
			__builtin_ia32_pause();
		else
			sched_yield();
}

void mmu_flush(struct domain *d, uint32_t vcpus, uint64_t va)
{
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];
		struct tr *t = v ? v->provider : NULL;

		if (!(vcpus >> i & 1) || !t)
			continue;
		if (v == current && va != FLUSH_ALL) {
			page_clear(&t->contexts[0], va);
			page_clear(&t->contexts[1], va);
			continue;
		}
		__atomic_store_n(&t->flush, 1, __ATOMIC_SEQ_CST);
		if (v != current)
			wait_outside(v, t);
	}
}

void mmu_root_changed(struct vcpu *v)
{
	struct tr *t = v->provider;

	if (t)
		__atomic_store_n(&t->flush, 1, __ATOMIC_SEQ_CST);
	v->flushed_at = v->d->tlb_clock;
}

/* Nobody's TLB may let a store go to this frame unseen: code of it is about to be translated. */
void mmu_forget_writes(struct domain *d, uint64_t page)
{
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];
		struct tr *t = v ? v->provider : NULL;

		for (unsigned c = 0; t && v == current && c < 2; c++)
			for (unsigned j = 0; j < TLB_SIZE; j++)
				if (t->contexts[c].write[j] == page)
					t->contexts[c].write_neg[j] = nothing(j, PAGE_SHIFT);
		if (t && v != current) {
			__atomic_store_n(&t->flush, 1, __ATOMIC_SEQ_CST);
			wait_outside(v, t);
		}
	}
}

/* No vCPU's IBTC leads to [code, end) any longer. Another vCPU may have just jumped there. */
void mmu_forget_code(struct domain *d, const void *code, const void *end)
{
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct tr *t = d->vcpu[i] ? d->vcpu[i]->provider : NULL;

		for (unsigned c = 0; t && c < 2; c++)
			for (unsigned j = 0; j < IBTC_SIZE; j++)
				if (t->contexts[c].ibtc[j] >= code && t->contexts[c].ibtc[j] < end)
					__atomic_store_n(&t->contexts[c].ibtc_neg[j],
							 nothing(j, IBTC_SHIFT), __ATOMIC_RELAXED);
	}
}

void mmu_ibtc_add(struct tr_context *c, uint64_t rip, void *code)
{
	const unsigned i = rip >> IBTC_SHIFT & (IBTC_SIZE - 1);

	c->ibtc[i] = code;
	c->ibtc_neg[i] = -rip;
}

int mmu_init(struct vcpu *v)
{
	struct tr_context *c = mmap(NULL, 2 * sizeof(*c), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED)
		return -ENOMEM;
	tr.contexts = tr.context = c;
	tr.page_mask = PAGE_MASK;
	tr.tlb_mask = (uint64_t)(TLB_SIZE - 1) << PAGE_SHIFT;
	tr.ibtc_mask = (uint64_t)(IBTC_SIZE - 1) << IBTC_SHIFT;
	context_clear(&c[0]);
	context_clear(&c[1]);
	__atomic_store_n(&v->provider, &tr, __ATOMIC_RELEASE);
	return 0;
}
