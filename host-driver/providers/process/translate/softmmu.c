/* SPDX-License-Identifier: MIT */
/*
 * The TLB in software: guest linear addresses to places in d->ram, by the guest's own page tables.
 *
 * It is what a CPU's is: filled at a first access, which sets the accessed and dirty bits, and
 * emptied by what the guest asks of the monitor. A vCPU empties its own. Of another one it sets
 * `flush`, which that vCPU looks at after it said in_guest and before it enters the cache; if it is
 * in there, we wait until it has left. So when a flush returns nobody uses what was before.
 */
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/trace.h"
#include "hypercalls/monitor/mm.h"

#define SPINS	   200
#define KICK_EVERY (1U << 14)
#define L1_ENTRIES 512
#define CONTEXTS   12 /* of a vCPU: the kernel's, and of its last users */

#define VECTOR_GP 13

#define PF_PRESENT 1 /* Intel SDM vol. 3, 4.7 */
#define PF_WRITE   2
#define PF_FETCH   16

#define M2P_SLOT 256 /* of an L4 table */

bool tr_fences = true;

static inline unsigned tlb_size(const struct tr_context *c)
{
	return c->tlb == c->own ? TLB_SIZE : KERNEL_TLB_SIZE;
}

static inline unsigned tlb_index(const struct tr_context *c, uint64_t va)
{
	return va >> PAGE_SHIFT & (tlb_size(c) - 1);
}

/*
 * What an empty entry i has for minus an address: 0, as no address but the very first and, with its
 * last byte, the very last look for what is there; those find the page whose number ends in i ^ 2.
 */
static inline uint64_t nothing(unsigned i, unsigned size, unsigned shift)
{
	return i && i != size - 1 ? 0 : -((uint64_t)(i ^ 2) << shift);
}

static inline void entry_clear(struct tr_context *c, unsigned i)
{
	c->tlb[i].read_neg = c->tlb[i].write_neg = nothing(i, tlb_size(c), PAGE_SHIFT);
	c->filled[i / 64] &= ~(1UL << (i % 64));
}

/* Those of `which`, an array like `filled`. */
static void entries_clear(struct tr_context *c, const uint64_t *which)
{
	for (unsigned w = 0; w < TLB_SIZE / 64; w++)
		for (uint64_t bits = which[w]; bits; bits &= bits - 1)
			entry_clear(c, 64 * w + __builtin_ctzl(bits));
}

static inline void target_clear(struct tr_context *c, unsigned i)
{
	__atomic_store_n(&c->ibtc[i].neg, nothing(i, IBTC_SIZE, IBTC_SHIFT), __ATOMIC_RELAXED);
}

/* An empty entry is one for 0, and leads to where all go that are not known. */
static void returns_clear(struct tr_context *c)
{
	for (unsigned i = 0; i < RET_SIZE; i++)
		c->returns[i] = (struct ibtc_entry){.code = tr_indirect_miss};
}

static void ibtc_clear(struct tr_context *c)
{
	returns_clear(c);
	if (c->ibtc_used > IBTC_LIST) {
		memset(c->ibtc, 0, sizeof(c->ibtc));
		target_clear(c, 0);
		target_clear(c, IBTC_SIZE - 1);
	} else {
		for (unsigned k = 0; k < c->ibtc_used; k++)
			target_clear(c, c->ibtc_list[k]);
	}
	c->ibtc_used = 0;
}

static void pages_clear(struct tr_context *c)
{
	if (c->pages_first < c->pages_end)
		memset(c->page_here + c->pages_first, 0, c->pages_end - c->pages_first);
	c->pages_first = PAGE_IDS;
	c->pages_end = 0;
}

static void context_clear(struct tr_context *c)
{
	pages_clear(c);
	entries_clear(c, c->filled);
	ibtc_clear(c);
	memset(c->code_pages, 0, sizeof(c->code_pages));
	memset(c->low, 0, sizeof(c->low));
	c->low_code = false;
}

/* The leaf entry of va in v's current root, NULL if there is none; *rights of the levels above. */
static uint64_t *leaf(struct vcpu *v, uint64_t va, uint64_t *rights)
{
	uint64_t mfn = v->kernel_mode ? v->cr3_mfn : v->user_cr3_mfn, nx = 0, rw = PTE_RW;
	uint64_t *slot = NULL;

	if (!tr_canonical(va) || (va >= HYPERVISOR_START && va < HYPERVISOR_END))
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

/* The machine-to-physical table: where its slot of the root says that it is there. */
static uint8_t *m2p_page(struct vcpu *v, uint64_t va)
{
	const uint64_t at = va - HYPERVISOR_START, size = v->d->nr_frames * sizeof(uint64_t);
	const uint64_t *root = frame_ptr(v->d, v->kernel_mode ? v->cr3_mfn : v->user_cr3_mfn);

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
	if (writable) {
		code_written(v->d, page);
		c->tlb[i].write = (uint64_t)page;
		c->tlb[i].write_neg = -(va & PAGE_MASK);
	}
	c->tlb[i].read = (uint64_t)page;
	c->tlb[i].read_neg = -(va & PAGE_MASK);
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

void mmu_context_init(struct tr_context *c)
{
	c->tlb = c->own;
	entry_clear(c, 0);
	entry_clear(c, TLB_SIZE - 1);
	context_clear(c);
	target_clear(c, 0);
	target_clear(c, IBTC_SIZE - 1);
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

void mmu_return_forget(struct tr_context *c, uint64_t slot)
{
	c->returns[slot >> 3 & (RET_SIZE - 1)] = (struct ibtc_entry){.code = tr_indirect_miss};
}

void tr_page_fault(struct vcpu *v, uint64_t va, enum access how)
{
	uint64_t rights, *slot = leaf(v, va, &rights), error = 0;
	struct fpu_area fpu;

	if (tr.check) {
		check_page_fault(va, how);
		return;
	}
	if (!tr_canonical(va)) {
		tr_exception(v, VECTOR_GP, 0);
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

/* ---- the log of changes ---- */

/*
 * What changed in any page table, for every context to catch up with before it is used again: so
 * that a root that is loaded again finds its TLB as it was, but for what changed. Entry i of an L1
 * table can be in the few slots of a TLB whose numbers end in i. Written under d->lock.
 */
#define LOG_SIZE   1024
#define LOG_FAR	   256 /* further behind than that: empty it as a whole */
#define LOG_ALL	   (~0UL)
#define LOG_WRITES 1UL /* in a page's address in d->ram: no stores to it */
#define LOG_CODE   2UL /* in an index << LOG_INDEX: what it led to had been translated */
#define LOG_INDEX  2

_Static_assert(TLB_SIZE % L1_ENTRIES == 0 && KERNEL_TLB_SIZE % L1_ENTRIES == 0,
	       "an L1 table's index is the end of a slot's");

static uint64_t log_entry[LOG_SIZE];
static volatile uint64_t l4_changes; /* of entries for the upper half, in any root */
static volatile uint64_t log_end;

static void log_add(uint64_t what)
{
	log_entry[log_end % LOG_SIZE] = what;
	__atomic_store_n(&log_end, log_end + 1, __ATOMIC_RELEASE);
}

/* Of L1 tables' indices. */
struct index_set {
	uint64_t bits[L1_ENTRIES / 64];
};

static bool in_set(const uint64_t *bits, unsigned index)
{
	return bits[index / 64] >> (index % 64) & 1;
}

static void slots_clear(struct tr_context *c, unsigned index)
{
	for (unsigned i = index; i < tlb_size(c); i += L1_ENTRIES)
		if (in_set(c->filled, i))
			entry_clear(c, i);
}

/* Pages of these indices are not relied on any longer. */
static void pages_forget(struct tr_context *c, const struct index_set *changed)
{
	for (uint32_t id = c->pages_first; id < c->pages_end; id++)
		if (c->page_here[id] &&
		    in_set(changed->bits, page_id_address(id) >> PAGE_SHIFT & (L1_ENTRIES - 1)))
			c->page_here[id] = 0;
}

/* What leads to a page of these indices, or to an instruction that goes on there, goes. */
static void targets_clear(struct tr_context *c, const struct index_set *changed)
{
	const bool all = c->ibtc_used > IBTC_LIST;
	bool any = false;

	for (unsigned i = 0; i < L1_ENTRIES / 64; i++)
		any |= c->code_pages[i] & changed->bits[i];
	if (any)
		pages_forget(c, changed);
	for (unsigned k = 0; any && k < (all ? IBTC_SIZE : c->ibtc_used); k++) {
		const unsigned i = all ? k : c->ibtc_list[k];
		const uint64_t rip = -c->ibtc[i].neg;

		if (in_set(changed->bits, rip >> PAGE_SHIFT & (L1_ENTRIES - 1)) ||
		    in_set(changed->bits, (rip + INSN_MAX - 1) >> PAGE_SHIFT & (L1_ENTRIES - 1)))
			target_clear(c, i);
	}
	for (unsigned i = 0; i < L1_ENTRIES / 64; i++)
		c->code_pages[i] &= ~changed->bits[i];
}

static void writes_clear(struct tr_context *c, uint64_t page)
{
	for (unsigned w = 0; w < TLB_SIZE / 64; w++)
		for (uint64_t bits = c->filled[w]; bits; bits &= bits - 1) {
			const unsigned i = 64 * w + __builtin_ctzl(bits);

			if (c->tlb[i].write == page)
				c->tlb[i].write_neg = nothing(i, tlb_size(c), PAGE_SHIFT);
		}
}

static void catch_up(struct domain *d, struct tr_context *c)
{
	const uint64_t end = __atomic_load_n(&log_end, __ATOMIC_ACQUIRE);
	struct index_set changed = {0};
	bool code = false;

	if (c->seen == end)
		return;
	for (; c->seen < end; c->seen++) {
		const uint64_t what = log_entry[c->seen % LOG_SIZE];

		if (end - c->seen > LOG_FAR || what == LOG_ALL) {
			context_clear(c);
			c->since = d->tlb_clock;
			c->seen = end;
			return;
		}
		if (what & LOG_WRITES)
			writes_clear(c, what & ~LOG_WRITES);
		else {
			const unsigned index = what >> LOG_INDEX;

			slots_clear(c, index);
			if (what & LOG_CODE)
				changed.bits[index / 64] |= 1UL << (index % 64);
			code |= what & LOG_CODE;
		}
	}
	targets_clear(c, &changed);
	if (code)
		returns_clear(c);
	/* Overtaken while we read. */
	if (__atomic_load_n(&log_end, __ATOMIC_ACQUIRE) - end > LOG_SIZE - LOG_FAR)
		context_clear(c);
}

/* Entry `index` of an L1 table was this. No IBTC leads to a page of which nothing is translated. */
static void log_entry_of(struct domain *d, unsigned index, uint64_t old)
{
	const bool code = code_unmapped(d, pte_mfn(old));

	log_add((uint64_t)index << LOG_INDEX | (code ? LOG_CODE : 0));
}

/*
 * A whole table went from one of this level. It is nearly always empty by then: entry by entry has
 * been logged already.
 */
static void log_table(struct domain *d, enum frame_type above, uint64_t mfn)
{
	const uint64_t *table = frame_ptr(d, mfn);
	unsigned present = 0;

	for (unsigned i = 0; table && i < L1_ENTRIES; i++)
		present += table[i] & PTE_P;
	if (!table || (present && above != FT_L2) || present > LOG_FAR / 2) {
		log_add(LOG_ALL);
		return;
	}
	for (unsigned i = 0; present && i < L1_ENTRIES; i++)
		if (table[i] & PTE_P) {
			log_entry_of(d, i, table[i]);
		}
}

void mmu_entry_changed(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old)
{
	if (d->frame[table_mfn].type == FT_L4 && index >= UPPER_FIRST)
		__atomic_store_n(&l4_changes, l4_changes + 1, __ATOMIC_RELEASE);
	if (!(old & PTE_P))
		return;
	upper_entry_changed(d, table_mfn, index, old);
	if (d->frame[table_mfn].type != FT_L1)
		log_table(d, d->frame[table_mfn].type, pte_mfn(old));
	log_entry_of(d, index, old); /* a linear page table shows a table as a page */
}

/* ---- contexts ---- */

static bool was_another(const struct domain *d, const struct tr_context *c, uint64_t root)
{
	return c->root != root || root >= d->nr_frames || d->frame[root].lost_at > c->since;
}

static void context_reset(struct domain *d, struct tr_context *c, uint64_t root)
{
	context_clear(c);
	c->seen = log_end;
	c->since = d->tlb_clock;
	c->root = root;
}

/* The pool's for user code of this root, or the one that was not used for longest, emptied. */
static struct tr_context *user_context(struct vcpu *v, uint64_t root)
{
	struct tr *t = v->provider;
	struct tr_context *c = t->pool + 1, *last = NULL;

	for (unsigned i = 1; i < CONTEXTS; i++, c++) {
		if (c->root == root)
			break;
		if (c != t->now[0] && (!last || c->used < last->used))
			last = c;
	}
	if (c == t->pool + CONTEXTS)
		c = last;
	/* A frame that was no table meanwhile is another root. */
	if (was_another(v->d, c, root))
		context_reset(v->d, c, root);
	c->used = t->entries;
	return c;
}

static const uint64_t *upper_half(struct vcpu *v, uint64_t root)
{
	const uint64_t *table = frame_ptr(v->d, root);

	return table ? table + UPPER_FIRST : NULL;
}

/*
 * The kernel's next root shows the same upper half, as all of Linux' do, and its code is there:
 * then only what is known of the lower half goes. The tables of the upper half cannot have changed
 * unseen, for one root or the other was loaded all the time.
 */
static bool goes_on(struct vcpu *v, struct tr_context *c)
{
	const uint64_t *upper = upper_half(v, v->cr3_mfn);

	if (c->root == INVALID_MFN || c->low_code || !upper)
		return false;
	for (unsigned i = 0; i < UPPER_ENTRIES; i++)
		if (c->upper[i] != upper[i])
			return false;
	entries_clear(c, c->low);
	memset(c->low, 0, sizeof(c->low));
	c->root = v->cr3_mfn;
	c->since = v->d->tlb_clock;
	return true;
}

static void kernel_context(struct vcpu *v, struct tr_context *c)
{
	const uint64_t *upper = upper_half(v, v->cr3_mfn);
	const uint64_t changes = __atomic_load_n(&l4_changes, __ATOMIC_ACQUIRE);

	if (changes == c->l4_changes && (!was_another(v->d, c, v->cr3_mfn) || goes_on(v, c)))
		return;
	context_reset(v->d, c, v->cr3_mfn);
	c->l4_changes = changes;
	for (unsigned i = 0; upper && i < UPPER_ENTRIES; i++)
		c->upper[i] = upper[i];
	tr.upper = upper_bind(v, upper);
}

/* ---- flushes ---- */

/* Whatever the guest asked to be flushed, of whichever root is loaded now. */
void mmu_flush_self(struct vcpu *v)
{
	struct tr *t = v->provider;

	if (tracing(TRACE_FLUSHES))
		trace_line(v, "flush");
	__atomic_store_n(&t->flush, 0, __ATOMIC_SEQ_CST);
	kernel_context(v, t->now[1]);
	if (was_another(v->d, t->now[0], v->user_cr3_mfn))
		t->now[0] = user_context(v, v->user_cr3_mfn);
	for (unsigned i = 0; i < 2; i++) {
		catch_up(v->d, t->now[i]);
		if (t->now[i]->ts != v->fpu_ts)
			ibtc_clear(t->now[i]);
		t->now[i]->ts = v->fpu_ts;
	}
	t->context = t->now[v->kernel_mode];
}

static void wait_outside(struct vcpu *v, const struct tr *t)
{
	const uint64_t seen = t->entries;

	if (!t->in_guest)
		return;
	for (unsigned i = 0; t->in_guest && t->entries == seen; i++) {
		if (i % KICK_EVERY ==
		    0) /* once is enough; who relied on that would wait for ever */
			v->d->provider->kick(v);
		if (i < SPINS)
			__builtin_ia32_pause();
		else
			sched_yield();
	}
}

bool mmu_someone_kicked(const struct domain *d)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		const struct tr *t = d->vcpu[i] ? d->vcpu[i]->provider : NULL;

		if (t && t != &tr && t->kicked && t->in_guest)
			return true;
	}
	return false;
}

/* Who said in_guest before it saw `flush` is seen to have said so (tr_enter). */
static void fence_others(void)
{
	if (!tr_fences)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void mmu_flush(struct domain *d, uint32_t vcpus, uint64_t va)
{
	bool others = false;

	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];
		struct tr *t = v ? v->provider : NULL;

		if (!(vcpus >> i & 1) || !t)
			continue;
		__atomic_store_n(&t->flush, 1, __ATOMIC_RELAXED);
		others |= v != current;
	}
	if (!others)
		return;
	fence_others();
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];
		struct tr *t = v ? v->provider : NULL;

		if (vcpus >> i & 1 && t && v != current)
			wait_outside(v, t);
	}
}

void mmu_root_changed(struct vcpu *v)
{
	struct tr *t = v->provider;

	if (tracing(TRACE_FLUSHES))
		trace_line(v, "root %lx %lx", v->cr3_mfn, v->user_cr3_mfn);
	if (t)
		__atomic_store_n(&t->flush, 1, __ATOMIC_SEQ_CST);
	v->flushed_at = v->d->tlb_clock;
}

/*
 * Nobody's TLB may let a store go to this page of d->ram unseen: code of it is about to be
 * translated, by the calling vCPU. d->lock held.
 */
void mmu_forget_writes(struct domain *d, uint64_t page)
{
	log_add(page | LOG_WRITES);
	mmu_flush(d, ALL_VCPUS & ~(1U << current->id), FLUSH_ALL);
	writes_clear(tr.now[0], page);
	writes_clear(tr.now[1], page);
}

/* No vCPU's IBTC leads from rip to `code` any longer. Another one may have just jumped there. */
void mmu_forget_code(struct domain *d, uint64_t rip, const void *code)
{
	const unsigned j = rip >> IBTC_SHIFT & (IBTC_SIZE - 1);

	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct tr *t = d->vcpu[i] ? d->vcpu[i]->provider : NULL;

		for (unsigned c = 0; t && c < CONTEXTS; c++)
			if (t->pool[c].ibtc[j].code == code)
				target_clear(&t->pool[c], j);
	}
}

void mmu_forget_all_code(struct domain *d)
{
	log_add(LOG_ALL);
	mmu_flush(d, ALL_VCPUS, FLUSH_ALL);
}

void mmu_ibtc_for(struct tr_context *c, bool code32)
{
	if (c->code32 == code32)
		return;
	ibtc_clear(c);
	c->code32 = code32;
}

void *mmu_ibtc_find(const struct tr_context *c, uint64_t rip)
{
	const unsigned i = rip >> IBTC_SHIFT & (IBTC_SIZE - 1);

	return c->ibtc[i].neg == -rip ? c->ibtc[i].code : NULL;
}

static inline void page_of_code(struct tr_context *c, uint64_t va)
{
	const unsigned index = va >> PAGE_SHIFT & (L1_ENTRIES - 1);

	c->low_code |= va < HYPERVISOR_START;
	c->code_pages[index / 64] |= 1UL << (index % 64);
}

void mmu_ibtc_add(struct tr_context *c, uint64_t rip, void *code, bool two)
{
	const unsigned i = rip >> IBTC_SHIFT & (IBTC_SIZE - 1);

	page_of_code(c, rip);
	if (two)
		page_of_code(c, rip + PAGE_SIZE);
	if (c->ibtc[i].neg == nothing(i, IBTC_SIZE, IBTC_SHIFT) && c->ibtc_used <= IBTC_LIST) {
		if (c->ibtc_used < IBTC_LIST)
			c->ibtc_list[c->ibtc_used] = i;
		c->ibtc_used++;
	}
	c->ibtc[i].code = code;
	c->ibtc[i].neg = -rip;
}

void mmu_page_here(struct tr_context *c, uint32_t id, uint64_t va, bool here)
{
	page_of_code(c, va);
	c->pages_first = id < c->pages_first ? id : c->pages_first;
	c->pages_end = id >= c->pages_end ? id + 1 : c->pages_end;
	c->page_here[id] = here;
}

/* Before the sandbox. */
static void fences_init(void)
{
	tr_fences = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
}

/* A table that no guest has, for it to see; its own walks never get that far. */
int mmu_memory(struct domain *d)
{
	d->l4_slot[M2P_SLOT - 256] = d->nr_frames << PAGE_SHIFT | PTE_P | PTE_US | PTE_A;
	return 0;
}

int mmu_init(struct vcpu *v)
{
	struct tr_context *c = mmap(NULL, CONTEXTS * sizeof(*c), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (c == MAP_FAILED)
		return -ENOMEM;
	tr.pool = tr.now[1] = c;
	tr.context = tr.now[0] = c + 1;
	c->tlb = tr_kernel_tlb;
	tr.page_mask = PAGE_MASK;
	tr.bits32 = 31;
	tr.bits64 = 63;
	tr.tlb_mask = (uint64_t)(TLB_SIZE - 1) << PAGE_SHIFT;
	tr.kernel_tlb_mask = (uint64_t)(KERNEL_TLB_SIZE - 1) << PAGE_SHIFT;
	tr.ret_mask = (RET_SIZE - 1) << 3;
	tr.ibtc_mask = (uint64_t)(IBTC_SIZE - 1) << IBTC_SHIFT;
	tr.flush = 1;
	fences_init();
	__atomic_store_n(&v->provider, &tr, __ATOMIC_RELEASE);
	return 0;
}

/* Not before it is needed: a domain that another provider runs has this one ready as well. */
void mmu_start(void)
{
	for (unsigned i = 0; i < CONTEXTS; i++) {
		if (i)
			tr.pool[i].tlb = tr.pool[i].own;
		tr.pool[i].root = INVALID_MFN;
		entry_clear(&tr.pool[i], 0);
		entry_clear(&tr.pool[i], tlb_size(&tr.pool[i]) - 1);
		target_clear(&tr.pool[i], 0);
		target_clear(&tr.pool[i], IBTC_SIZE - 1);
		tr.pool[i].pages_first = PAGE_IDS;
	}
	context_clear(tr.now[0]);
	context_clear(tr.now[1]);
}
