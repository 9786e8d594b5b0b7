/* SPDX-License-Identifier: MIT */
/*
 * What changed in any page table, for every context to catch up with before it is used again: so
 * that a root that is loaded again finds its TLB as it was, but for what changed. Entry i of an L1
 * table can be in the few slots of a TLB whose numbers end in i. Written under d->lock.
 */
#include "host-driver/providers/process/translate/context.h"
#include "host-driver/providers/process/translate/windows.h"
#include "hypercalls/monitor/mm.h"

#define LOG_SIZE   1024
#define LOG_FAR	   256 /* further behind than that: empty it as a whole */
#define LOG_ALL	   (~0UL)
#define LOG_WRITES 1UL /* in a page's address in d->ram: no stores to it */
#define LOG_CODE   2UL /* in an index << LOG_INDEX: what it led to had been translated */
#define LOG_INDEX  2

_Static_assert(TLB_SIZE % L1_ENTRIES == 0 && KERNEL_TLB_SIZE % L1_ENTRIES == 0,
	       "an L1 table's index is the end of a slot's");

static uint64_t log_entry[LOG_SIZE];
volatile uint64_t l4_changes;
static volatile uint64_t log_end;

static void log_add(uint64_t what)
{
	log_entry[log_end % LOG_SIZE] = what;
	__atomic_store_n(&log_end, log_end + 1, __ATOMIC_RELEASE);
}

uint64_t changes_end(void)
{
	return log_end;
}

void catch_up(struct domain *d, struct tr_context *c)
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

/* What is translated of all that a table of that level leads to is not mapped there any longer. */
static void unmapped_below(struct domain *d, uint64_t mfn, enum frame_type level)
{
	const uint64_t *table = mfn < d->nr_frames ? frame_ptr(d, mfn) : NULL;

	for (unsigned i = 0; table && i < L1_ENTRIES; i++) {
		if (!(table[i] & PTE_P))
			continue;
		if (level == FT_L1)
			code_unmapped(d, pte_mfn(table[i]));
		else
			unmapped_below(d, pte_mfn(table[i]), level - 1);
	}
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
		unmapped_below(d, mfn, above - 1);
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
	windows_entry_changed(d, table_mfn, index, old);
	if (!(old & PTE_P))
		return;
	upper_entry_changed(d, table_mfn, index, old);
	if (d->frame[table_mfn].type != FT_L1)
		log_table(d, d->frame[table_mfn].type, pte_mfn(old));
	log_entry_of(d, index, old); /* a linear page table shows a table as a page */
}

/*
 * Nobody's TLB may let a store go to this page of d->ram unseen: code of it is about to be
 * translated, by the calling vCPU. d->lock held.
 */
void mmu_forget_writes(struct domain *d, uint64_t page)
{
	log_add(page | LOG_WRITES);
	spans_hide_frame(d, (page - (uint64_t)d->ram) >> PAGE_SHIFT, true);
	mmu_flush(d, ALL_VCPUS & ~(1U << current->id), FLUSH_ALL);
	writes_clear(tr.now[0], page);
	writes_clear(tr.now[1], page);
}

void mmu_forget_all_code(struct domain *d)
{
	log_add(LOG_ALL);
	mmu_flush(d, ALL_VCPUS, FLUSH_ALL);
}
