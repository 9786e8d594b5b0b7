/* SPDX-License-Identifier: MIT */
/*
 * What windows show. They are filled as user code faults, with the run of entries around that are
 * contiguous in address and frame; what the tables do not allow, or what is not in the memfd, is
 * not there, and a step finds out what that is. They are emptied where an entry changes, at once:
 * who runs in there faults, leaves the cache and waits for d->lock.
 *
 * A page can be written to where the entry lets it and is dirty, and nothing of its frame is
 * translated: so a store that the guest's D bit or our cache must hear of faults.
 */
#include "host-driver/providers/process/translate/context.h"
#include "host-driver/providers/process/translate/windows.h"
#include "hypercalls/monitor/mm.h"

#define MAX_COST      28000	 /* of vm.max_map_count, all of them together */
#define MANY_PAGES    64	 /* of a run: not all of them will be used */
#define FULL_AGAIN_NS 1000000000 /* what filling a window takes is no matter beside that */

/* Of the root's entries that show this place of the window, the present one: its address. */
static uint64_t guest_address(struct domain *d, uint64_t root, uint64_t place)
{
	const uint64_t *table = frame_ptr(d, root);

	for (unsigned i = place >> L4_SHIFT; i < L4_LOW; i += WINDOW_SIZE >> L4_SHIFT)
		if (table[i] & PTE_P)
			return (uint64_t)i << L4_SHIFT | (place & ((1UL << L4_SHIFT) - 1));
	return INVALID_MFN;
}

/* May what entry e maps be written to without anybody else's knowledge? */
static bool writable(uint64_t e, bool rw)
{
	return rw && (e & (PTE_RW | PTE_D)) == (PTE_RW | PTE_D) && !code_translated(pte_mfn(e));
}

static bool goes_along(const struct domain *d, uint64_t e, uint64_t mfn, bool rw, bool write)
{
	return e & PTE_A && entry_shows(d, e, mfn) && writable(e, rw) == write;
}

/* The run of entries around index i. */
static bool show_run(struct domain *d, struct span *s, const uint64_t *l1, unsigned i, bool rw)
{
	const uint64_t mfn = pte_mfn(l1[i]);
	const bool write = writable(l1[i], rw);
	unsigned lo = i, hi = i;

	while (lo > 0 && i - lo < MANY_PAGES && !span_shows(s, lo - 1) &&
	       goes_along(d, l1[lo - 1], mfn - (i - lo) - 1, rw, write))
		lo--;
	while (hi < L1_ENTRIES - 1 && hi - i < MANY_PAGES && !span_shows(s, hi + 1) &&
	       goes_along(d, l1[hi + 1], mfn + (hi - i) + 1, rw, write))
		hi++;
	return span_show(d, s, lo, hi, mfn - (i - lo), write);
}

/* The accessed and dirty bits as this access sets them. False: the entry does not let it. */
static bool mark(uint64_t *slot, bool rw, bool write)
{
	const uint64_t set = PTE_A | (write ? PTE_D : 0);
	uint64_t e = __atomic_load_n(slot, __ATOMIC_RELAXED);

	do {
		if (!(e & PTE_P) || (write && !(rw && e & PTE_RW)))
			return false;
	} while ((e & set) != set &&
		 !__atomic_compare_exchange_n(slot, &e, e | set, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

/*
 * There is no room for more in w. If that was so a short time ago its user has more scattered
 * memory than can be mapped, each page at many times the price of a look at the TLB: it is nobody's
 * from here on, and who runs in there faults, and goes by the TLB.
 */
static void is_full(struct domain *d, struct window *w)
{
	window_empty(d, w);
	if (w->was_full && window_past(d, w->was_full) < FULL_AGAIN_NS)
		w->root = INVALID_MFN;
	w->was_full = __builtin_ia32_rdtsc();
}

static void make_room(struct domain *d)
{
	struct window *first = window;
	unsigned cost = 0;

	for (struct window *w = window; w < window + WINDOWS; w++) {
		cost += spans_cost(window_number(w));
		if (spans_cost(window_number(w)) > spans_cost(window_number(first)))
			first = w;
	}
	if (cost > MAX_COST)
		is_full(d, first);
}

/*
 * Of the process' first addresses some are nobody's (vm.mmap_min_addr): nothing could be shown
 * there, nor the span that they are in be dropped as one.
 */
static bool lowest(const struct window *w, uint64_t place)
{
	return w->base + place < SPAN;
}

enum window_shown window_show(struct vcpu *v, struct window *w, uint64_t place, bool write)
{
	struct domain *d = v->d;
	uint64_t va, rights, l1_mfn, *l1, *slot;
	struct span *s;
	bool rw, code;

	if (place >= WINDOW_SIZE || !w->reserved || w->root == INVALID_MFN || lowest(w, place))
		return ODD;
	va = guest_address(d, w->root, place);
	slot = va == INVALID_MFN ? NULL : walk_to(d, w->root, va, &rights);
	if (!slot)
		return GUESTS;
	l1 = slot - (va >> PAGE_SHIFT & (L1_ENTRIES - 1));
	l1_mfn = ((uint8_t *)l1 - d->ram) >> PAGE_SHIFT;
	rw = rights & PTE_RW;
	if (d->frame[l1_mfn].type != FT_L1)
		return GUESTS;
	if (!mark(slot, rw, write))
		return GUESTS;
	if (!entry_shows(d, *slot, pte_mfn(*slot)))
		return ODD;
	code = write && code_translated(pte_mfn(*slot));
	if (code)
		code_written(d, frame_ptr(d, pte_mfn(*slot)));
	make_room(d);
	if (w->root == INVALID_MFN)
		return ODD;
	s = span_at(d, window_number(w), w->base + (place & -SPAN), l1_mfn);
	if (s && span_shows(s, slot - l1) && (!write || span_writable(s, slot - l1)))
		return SHOWN; /* by another vCPU, or already */
	if (!s)
		return ODD;
	if (!show_run(d, s, l1, slot - l1, rw)) {
		is_full(d, w);
		return ODD;
	}
	w->shown++;
	return code ? SHOWN_CODE : SHOWN;
}

/* ---- changes ---- */

static void empty_all(struct domain *d)
{
	for (struct window *w = window; w < window + WINDOWS; w++)
		window_empty(d, w);
}

/* Where this L1 table is shown; which of its places is meant is not known if there are more. */
static void hide_table(struct domain *d, uint64_t mfn)
{
	struct span *s = span_of(d, mfn);

	if (s && s->whose != SPANS_UPPER)
		span_drop(d, s);
	else if (!s && d->frame[mfn].va_hint == VA_HINT_MANY && span_anywhere(mfn))
		empty_all(d);
}

/* Everything that `table`, of that level, leads to. */
static void hide_below(struct domain *d, uint64_t mfn, enum frame_type level)
{
	const uint64_t *table = mfn < d->nr_frames ? frame_ptr(d, mfn) : NULL;

	if (!table)
		return;
	if (level == FT_L1) {
		hide_table(d, mfn);
		return;
	}
	for (unsigned i = 0; i < L1_ENTRIES; i++)
		if (table[i] & PTE_P)
			hide_below(d, pte_mfn(table[i]), level - 1);
}

/* Is it another page, or none, or has the guest's kernel to hear of its next access? */
static bool goes(uint64_t old, uint64_t new)
{
	return (old ^ new) & (PTE_P | PTE_MFN_MASK) || !(new &PTE_A);
}

/* Is what is mapped by this entry still what it says? */
static bool stays(const struct span *s, unsigned index, uint64_t old, uint64_t new)
{
	return !goes(old, new) && !((old ^ new) & PTE_US) &&
	       (!span_writable(s, index) || (new &(PTE_RW | PTE_D)) == (PTE_RW | PTE_D));
}

/*
 * Not to be written any more: a fork says so of all of a table, one by one. Who forks has many page
 * faults before it.
 */
static void protected(struct domain *d, struct span *s)
{
	window_forks(s->whose);
	span_drop(d, s);
}

/* An entry of a root: are those that there are now still to be told apart? */
static void root_changed(struct domain *d, uint64_t root)
{
	for (struct window *w = window; w < window + WINDOWS; w++)
		if (w->root == root && !window_fits(d, root)) {
			window_empty(d, w);
			w->root = INVALID_MFN; /* who runs in there faults, and leaves it */
		}
}

void windows_entry_changed(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old)
{
	const enum frame_type level = d->frame[table_mfn].type;
	const uint64_t *table = frame_ptr(d, table_mfn);
	struct span *s;

	if (!windows_used())
		return;
	if (level == FT_L4 && index < L4_LOW)
		root_changed(d, table_mfn);
	if (!(old & PTE_P))
		return;
	if (d->frame[table_mfn].va_hint == VA_HINT_MANY && span_anywhere(table_mfn)) {
		empty_all(d);
	} else if (level != FT_L1) {
		if (level != FT_L4 || index < L4_LOW)
			hide_below(d, pte_mfn(old), level - 1);
	} else {
		s = span_of(d, table_mfn);
		if (!s || s->whose == SPANS_UPPER || !span_shows(s, index) ||
		    stays(s, index, old, table[index]))
			return;
		if (goes(old, table[index]))
			span_hide(d, s, index);
		else
		protected(d, s);
	}
}

void windows_table_lost(struct domain *d, uint64_t mfn)
{
	if (!windows_used())
		return;
	hide_table(d, mfn);
	for (struct window *w = window; w < window + WINDOWS; w++)
		if (w->root == mfn) {
			window_empty(d, w);
			w->root = INVALID_MFN;
		}
}
