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

#include "host-driver/providers/process/translate/upper.h"
#include "hypercalls/monitor/mm.h"

#define L1_ENTRIES 512
#define SPAN	   (L1_ENTRIES * PAGE_SIZE) /* of an L1 table */
#define MAX_SPANS  8192
#define MAX_RUNS   16384		      /* a quarter of vm.max_map_count */
#define TEXT	   (UPPER_BASE - (1UL << 31)) /* guest 0xffffffff80000000 */
#define MAX_TRIES  16

/* What is mapped, by the L1 table that it came from. */
static struct span {
	uint64_t base; /* guest address */
	uint64_t l1;
} * span;
static unsigned spans, runs;
static uint8_t *shown; /* a bit per frame: something shows it */

/*
 * The entries of the L4 that something is mapped by, and who uses that: vCPUs whose kernel roots
 * all have them. d->lock.
 */
static uint64_t bound[UPPER_ENTRIES];
static uint32_t bound_vcpus;

/* ---- this process ---- */

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
	if (!text_free)
		return;
	span = mmap(NULL, MAX_SPANS * sizeof(*span), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	shown = mmap(NULL, 1UL << 25, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (span == MAP_FAILED || shown == MAP_FAILED)
		span = NULL;
}

bool upper_possible(void)
{
	return span;
}

/* ---- what is mapped; d->lock held ---- */

static bool same(uint64_t a, uint64_t b)
{
	return !((a ^ b) & (PTE_P | PTE_MFN_MASK));
}

static void *host(uint64_t va)
{
	return (void *)(va + UPPER_BASE);
}

static void span_drop(struct domain *d, unsigned i)
{
	munmap(host(span[i].base), SPAN);
	d->frame[span[i].l1].va_hint = VA_HINT_NONE;
	span[i] = span[--spans];
}

static void forget(struct domain *d)
{
	while (spans)
		span_drop(d, spans - 1);
	runs = 0;
	memset(bound, 0, sizeof(bound));
}

/* Its place is ours alone from now on: the monitor has nothing there. */
static bool span_add(struct domain *d, uint64_t base, uint64_t l1)
{
	if (mmap(host(base), SPAN, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		 0) != host(base))
		return false;
	span[spans++] = (struct span){base, l1};
	/* At two places: known as that, and all goes when it changes. */
	d->frame[l1].va_hint = d->frame[l1].va_hint == VA_HINT_NONE ? base : VA_HINT_MANY;
	return true;
}

static bool span_known(const struct domain *d, uint64_t base, uint64_t l1)
{
	if (d->frame[l1].va_hint != VA_HINT_MANY)
		return d->frame[l1].va_hint == base;
	for (unsigned i = 0; i < spans; i++)
		if (span[i].base == base)
			return true;
	return false;
}

/* The page is nowhere again. That may cut a mapping in two: it counts as one more. */
static void page_drop(struct domain *d, uint64_t va)
{
	runs++;
	if (mmap(host(va), PAGE_SIZE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		forget(d);
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

/* Does this entry show a page of the memfd, `mfn`? */
static bool shows(const struct domain *d, uint64_t e, uint64_t mfn)
{
	return e & PTE_P && pte_mfn(e) == mfn && mfn < d->nr_frames && !d->frame[mfn].elsewhere;
}

/* The run of entries around index i. */
static bool map_run(struct domain *d, uint64_t base, uint64_t *l1, unsigned i)
{
	const uint64_t mfn = pte_mfn(l1[i]);
	unsigned lo = i, hi = i;

	if (!shows(d, l1[i], mfn))
		return false;
	while (lo > 0 && shows(d, l1[lo - 1], mfn - (i - lo) - 1))
		lo--;
	while (hi < L1_ENTRIES - 1 && shows(d, l1[hi + 1], mfn + (hi - i) + 1))
		hi++;
	/* The hardware would set these one by one; early is within the architecture. */
	for (unsigned k = lo; k <= hi; k++) {
		__atomic_or_fetch(&l1[k], PTE_A, __ATOMIC_RELAXED);
		shown[pte_mfn(l1[k]) / 8] |= 1 << pte_mfn(l1[k]) % 8;
	}
	runs++;
	if (mmap(host(base + lo * PAGE_SIZE), (hi - lo + 1) * PAGE_SIZE, PROT_READ,
		 MAP_SHARED | MAP_FIXED, d->ram_fd, (mfn - (i - lo)) << PAGE_SHIFT) != MAP_FAILED)
		return true;
	/* The host has no mapping left, and what was at that place may be gone. */
	forget(d);
	return false;
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
	const uint64_t base = va & -SPAN;
	uint64_t l1_mfn, *l1;

	if (runs > MAX_RUNS || spans == MAX_SPANS)
		forget(d);
	l1 = walk_marking(v, va, &l1_mfn);
	if (!l1 || !entry_bind(v, va))
		return false;
	if (!span_known(d, base, l1_mfn) && !span_add(d, base, l1_mfn))
		return false;
	return map_run(d, base, l1, va >> PAGE_SHIFT & (L1_ENTRIES - 1));
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

static void l1_entry_changed(struct domain *d, uint64_t l1, unsigned index, uint64_t old)
{
	const uint64_t *table = frame_ptr(d, l1), base = d->frame[l1].va_hint;

	if (base == VA_HINT_NONE || (table[index] & PTE_P && pte_mfn(table[index]) == pte_mfn(old)))
		return;
	if (base == VA_HINT_MANY)
		forget(d);
	else
		page_drop(d, base + index * PAGE_SIZE);
}

/* A linear page table has an L2, or another, in the place of an L1: its entries are mapped. */
static bool shows_pages(const struct domain *d, uint64_t table)
{
	if (d->frame[table].va_hint == VA_HINT_NONE)
		return false;
	for (unsigned i = 0; i < spans; i++)
		if (span[i].l1 == table)
			return true;
	return false;
}

void upper_entry_changed(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old)
{
	const uint64_t below = pte_mfn(old);

	if (!span)
		return;
	if (d->frame[table_mfn].type == FT_L1) {
		l1_entry_changed(d, table_mfn, index, old);
		return;
	}
	if (shows_pages(d, table_mfn))
		forget(d);
	if (below >= d->nr_frames || d->frame[below].va_hint == VA_HINT_NONE)
		return;
	if (d->frame[table_mfn].type == FT_L2 && d->frame[below].va_hint != VA_HINT_MANY) {
		for (unsigned i = 0; i < spans; i++)
			if (span[i].l1 == below) {
				span_drop(d, i);
				return;
			}
	}
	forget(d);
	d->frame[below].va_hint = VA_HINT_NONE;
}

void upper_table_lost(struct domain *d, uint64_t mfn)
{
	if (span && d->frame[mfn].va_hint != VA_HINT_NONE)
		forget(d);
}

void upper_frame_moves(struct domain *d, uint64_t mfn)
{
	if (!span || !(shown[mfn / 8] >> mfn % 8 & 1))
		return;
	for (unsigned s = 0; s < spans; s++) {
		const uint64_t *l1 = frame_ptr(d, span[s].l1);

		for (unsigned i = 0; i < L1_ENTRIES && s < spans; i++)
			if (l1[i] & PTE_P && pte_mfn(l1[i]) == mfn)
				page_drop(d, span[s].base + i * PAGE_SIZE);
	}
	shown[mfn / 8] &= ~(1 << mfn % 8);
}

/* ---- whose it is ---- */

bool upper_bind(struct vcpu *v, const uint64_t *entries)
{
	const uint32_t self = 1U << v->id;
	bool fits = span && entries;

	pthread_mutex_lock(&v->d->lock);
	bound_vcpus &= ~self;
	for (unsigned i = 0; fits && i < UPPER_ENTRIES; i++)
		fits = bound[i] & PTE_P
			       ? same(entries[i], bound[i])
			       : !(entries[i] & PTE_P) || all_have(v->d, i, entries[i], true);
	if (!fits && span && entries && !bound_vcpus) {
		forget(v->d);
		fits = true;
	}
	if (fits)
		bound_vcpus |= self;
	pthread_mutex_unlock(&v->d->lock);
	return fits;
}
