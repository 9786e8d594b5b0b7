/* SPDX-License-Identifier: MIT */
/*
 * The guest kernel's upper half as mappings of its memory: translated code of the kernel reads
 * there by GS, whose base turns guest addresses into ours without an instruction more. To read
 * only: so an entry that loses its right to write, as each page table's does, and a page of which
 * code is translated, change nothing here; stores go by the TLB in software.
 *
 * Filled as it faults, with the run of entries around that are contiguous in address and frame;
 * emptied where an entry changes. It is the domain's: vCPUs whose kernel roots show the same upper
 * half use it together, and others do without.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "host-driver/providers/process/translate/spans.h"
#include "host-driver/providers/process/translate/translate.h"
#include "hypercalls/monitor/mm.h"

#define MAX_COST  32000			     /* of vm.max_map_count, 65530: less than half */
#define TEXT	  (UPPER_BASE - (1UL << 31)) /* guest 0xffffffff80000000 */
#define MAX_TRIES 16

/*
 * The entries of the L4 that something is mapped by, and who uses that: vCPUs whose kernel roots
 * all have them. d->lock.
 */
static uint64_t bound[UPPER_ENTRIES];
static uint32_t bound_vcpus;

/* ---- this process ---- */

static bool possible;
static bool text_free; /* nothing of this process is where a guest's kernel has its text */

/* The end of the highest mapping. */
static uint64_t layout_end(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uint64_t from, to, end = 0;
	char line[512];

	if (!f)
		return ~0UL;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && to < 1UL << 47 && to > end)
			end = to;
	fclose(f);
	return end;
}

void upper_layout(char **argv)
{
	const char *tried = getenv("PAVANE_LAYOUT");
	const int tries = tried ? atoi(tried) : 0;
	char next[16];

	text_free = layout_end() <= TEXT;
	if (!text_free && tries < MAX_TRIES) {
		snprintf(next, sizeof(next), "%d", tries + 1);
		setenv("PAVANE_LAYOUT", next, 1);
		execv("/proc/self/exe", argv);
	}
	/* not "exe": people and tests look for a process by its name */
	prctl(PR_SET_NAME, program_invocation_short_name);
	unsetenv("PAVANE_LAYOUT");
}

void upper_init(void)
{
	possible = spans_init() && text_free;
}

bool upper_possible(void)
{
	return possible;
}

/* ---- what is mapped; d->lock held ---- */

static bool same(uint64_t a, uint64_t b)
{
	return !((a ^ b) & (PTE_P | PTE_MFN_MASK));
}

static void forget(struct domain *d)
{
	spans_forget(d, SPANS_UPPER);
	memset(bound, 0, sizeof(bound));
}

/* ---- faults ---- */

/* The L1 table of va, in d->ram; on the way there, tables are marked: something came from them. */
static uint64_t *walk_marking(struct vcpu *v, uint64_t va, uint64_t *l1_mfn)
{
	uint64_t mfn = v->cr3_mfn, *table = NULL;

	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t e;

		table = frame_ptr(v->d, mfn);
		if (!table || shift == 12)
			break;
		e = __atomic_load_n(&table[va >> shift & 511], __ATOMIC_RELAXED);
		if (!(e & PTE_P) || (shift < 39 && e & PTE_PS) || pte_mfn(e) >= v->d->nr_frames)
			return NULL;
		mfn = pte_mfn(e);
		if (shift > 21)
			v->d->frame[mfn].va_hint = VA_HINT_MANY;
	}
	*l1_mfn = mfn;
	return table;
}

/* Entry i of the span's table, if it shows this frame and the debugger lets it be read unseen. */
static bool may_show(const struct domain *d, const struct span *s, const uint64_t *l1, unsigned i,
		     uint64_t mfn)
{
	return entry_shows(d, l1[i], mfn) &&
	       !watch_page(s->host - UPPER_BASE + i * PAGE_SIZE, ACCESS_READ);
}

/* The run of entries around index i. */
static bool map_run(struct domain *d, struct span *s, uint64_t *l1, unsigned i)
{
	const uint64_t mfn = pte_mfn(l1[i]);
	unsigned lo = i, hi = i;

	if (!may_show(d, s, l1, i, mfn))
		return false;
	while (lo > 0 && may_show(d, s, l1, lo - 1, mfn - (i - lo) - 1))
		lo--;
	while (hi < L1_ENTRIES - 1 && may_show(d, s, l1, hi + 1, mfn + (hi - i) + 1))
		hi++;
	/* The hardware would set these one by one; early is within the architecture. */
	for (unsigned k = lo; k <= hi; k++)
		__atomic_or_fetch(&l1[k], PTE_A, __ATOMIC_RELAXED);
	return span_show(d, s, lo, hi, mfn - (i - lo), false);
}

/* Do all vCPUs that use these mappings have this entry, number i of their upper half, or none? */
static bool all_have(struct domain *d, unsigned i, uint64_t entry, bool or_none)
{
	for (uint32_t users = bound_vcpus; users; users &= users - 1) {
		const uint64_t *root = frame_ptr(d, d->vcpu[__builtin_ctz(users)]->cr3_mfn);

		if (!root || (!same(root[UPPER_FIRST + i], entry) &&
			      (root[UPPER_FIRST + i] & PTE_P || !or_none)))
			return false;
	}
	return true;
}

/*
 * The entry of v's root that va is found by becomes one of those that something is mapped by.
 * False: somebody who uses these mappings has not got it.
 */
static bool entry_bind(struct vcpu *v, uint64_t va)
{
	const unsigned i = (va >> 39 & (L1_ENTRIES - 1)) - UPPER_FIRST;
	const uint64_t *root = frame_ptr(v->d, v->cr3_mfn);

	if (bound[i] & PTE_P)
		return same(bound[i], root[UPPER_FIRST + i]);
	if (!all_have(v->d, i, root[UPPER_FIRST + i], false))
		return false;
	bound[i] = root[UPPER_FIRST + i];
	return true;
}

static bool map_there(struct vcpu *v, uint64_t va)
{
	struct domain *d = v->d;
	uint64_t l1_mfn, *l1;
	struct span *s;

	if (spans_cost(SPANS_UPPER) > MAX_COST)
		forget(d);
	l1 = walk_marking(v, va, &l1_mfn);
	if (!l1 || !entry_bind(v, va))
		return false;
	s = span_at(d, SPANS_UPPER, (va & -SPAN) + UPPER_BASE, l1_mfn);
	return s && map_run(d, s, l1, va >> PAGE_SHIFT & (L1_ENTRIES - 1));
}

bool upper_fault(struct vcpu *v, uint64_t va)
{
	bool done;

	if (va < HYPERVISOR_END || va + UPPER_BASE >= UPPER_BASE)
		return false;
	pthread_mutex_lock(&v->d->lock);
	done = map_there(v, va);
	pthread_mutex_unlock(&v->d->lock);
	return done;
}

/* ---- changes ---- */

void upper_entry_changed(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old)
{
	const uint64_t below = pte_mfn(old);
	const uint64_t *table = frame_ptr(d, table_mfn);
	struct span *s;

	if (!possible)
		return;
	if (d->frame[table_mfn].type == FT_L1) {
		s = span_of(d, table_mfn);
		if (table[index] & PTE_P && pte_mfn(table[index]) == below)
			return;
		if (s && s->whose == SPANS_UPPER)
			span_hide(d, s, index);
		else if (d->frame[table_mfn].va_hint == VA_HINT_MANY)
			forget(d);
		return;
	}
	/* A linear page table has an L2, or another, in the place of an L1: its entries are mapped.
	 */
	if (d->frame[table_mfn].va_hint != VA_HINT_NONE && span_anywhere(table_mfn))
		forget(d);
	if (below >= d->nr_frames || d->frame[below].va_hint == VA_HINT_NONE)
		return;
	s = d->frame[table_mfn].type == FT_L2 ? span_of(d, below) : NULL;
	if (s && s->whose == SPANS_UPPER)
		span_drop(d, s);
	else if (d->frame[below].va_hint == VA_HINT_MANY) {
		forget(d);
		d->frame[below].va_hint = VA_HINT_NONE;
	}
}

void upper_table_lost(struct domain *d, uint64_t mfn)
{
	struct span *s = span_of(d, mfn);

	if (possible && ((s && s->whose == SPANS_UPPER) || d->frame[mfn].va_hint == VA_HINT_MANY))
		forget(d);
}

void upper_forget(struct domain *d)
{
	if (spans_possible())
		forget(d);
}

/* ---- whose it is ---- */

bool upper_bind(struct vcpu *v, const uint64_t *entries)
{
	const uint32_t self = 1U << v->id;
	bool fits = possible && entries;

	pthread_mutex_lock(&v->d->lock);
	bound_vcpus &= ~self;
	for (unsigned i = 0; fits && i < UPPER_ENTRIES; i++)
		fits = bound[i] & PTE_P
			       ? same(entries[i], bound[i])
			       : !(entries[i] & PTE_P) || all_have(v->d, i, entries[i], true);
	if (!fits && possible && entries && !bound_vcpus) {
		forget(v->d);
		fits = true;
	}
	if (fits)
		bound_vcpus |= self;
	pthread_mutex_unlock(&v->d->lock);
	return fits;
}
