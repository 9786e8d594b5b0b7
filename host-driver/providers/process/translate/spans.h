/* SPDX-License-Identifier: MIT */
/*
 * Guest memory mapped into this process where a guest's page tables show it, L1 table by L1 table:
 * for upper.c and windows.c, who say where that is. d->lock is held by every caller.
 */
#ifndef PAVANE_SPANS_H
#define PAVANE_SPANS_H

#include "hypercalls/monitor/monitor.h"

#define SPAN (L1_ENTRIES * PAGE_SIZE) /* of an L1 table */

/*
 * Whose a span is: upper.c's, whose spans are each a reservation of their own, or a window's, which
 * is reserved as a whole.
 */
#define SPANS_UPPER 0
#define SPANS_OF    9 /* one more than there are windows */

/* What is mapped of an L1 table. Its frame's va_hint is its number, if it is shown but once. */
struct span {
	uint64_t host; /* of the table's first page */
	uint32_t l1;
	uint8_t whose, hidden; /* hidden: how often an entry went */
	uint16_t cost;	       /* of vm.max_map_count, at most */
	uint64_t shown[L1_ENTRIES / 64], writable[L1_ENTRIES / 64];
};

bool spans_init(void); /* before the sandbox */
bool spans_possible(void);
/* What all that is mapped counts in vm.max_map_count, at most. */
unsigned spans_cost(unsigned whose);
/* A window's reservation, guards and all: nothing else is there. False: something is, or no memory.
 */
bool spans_reserve(unsigned whose, uint64_t from, uint64_t end);
/* The span at this host address of that table, made if need be; NULL: that cannot be. */
struct span *span_at(struct domain *d, unsigned whose, uint64_t host, uint64_t l1);
/* The one that shows this table; NULL: none does, or more than one (VA_HINT_MANY). */
struct span *span_of(const struct domain *d, uint64_t l1);
bool span_anywhere(uint64_t l1); /* does any? */
/* Entries lo to hi show the frames from mfn on. False: no mapping left, and nothing is shown. */
bool span_show(struct domain *d, struct span *s, unsigned lo, unsigned hi, uint64_t mfn,
	       bool write);
/* Nothing is shown there any longer. */
void span_hide(struct domain *d, struct span *s, unsigned index);
void span_drop(struct domain *d, struct span *s);
void spans_forget(struct domain *d, unsigned whose);
/* No span shows this frame, or none lets it be written (writable). */
void spans_hide_frame(struct domain *d, uint64_t mfn, bool writable);

static inline bool in_set(const uint64_t *bits, unsigned index)
{
	return bits[index / 64] >> (index % 64) & 1;
}

static inline bool span_shows(const struct span *s, unsigned index)
{
	return in_set(s->shown, index);
}

static inline bool span_writable(const struct span *s, unsigned index)
{
	return in_set(s->writable, index);
}

/* Does an L1 table's entry show this page of the memfd? */
static inline bool entry_shows(const struct domain *d, uint64_t e, uint64_t mfn)
{
	return e & PTE_P && pte_mfn(e) == mfn && mfn < d->nr_frames && !d->frame[mfn].elsewhere;
}

#endif
