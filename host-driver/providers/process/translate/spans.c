/* SPDX-License-Identifier: MIT */
/* Guest memory mapped where page tables show it: what upper.c and windows.c have in common. */
#include <string.h>
#include <sys/mman.h>

#include "host-driver/providers/process/translate/spans.h"
#include "hypercalls/monitor/mm.h"

#define MAX_SPANS 32768 /* more than the costs of all let there be (MAX_COST): 14000 and 10667 */
#define FRAMES	  (1UL << 28)
#define MANY_HID  4 /* entries of a window's went in a row: the others will, by fork or exit */

static struct span *span;
static unsigned spans;
static uint8_t *shown, *written; /* a bit per frame: something shows it; and lets it be written */

static struct {
	uint64_t from, end; /* reserved; 0: nothing */
	unsigned cost;
} region[SPANS_OF];

bool spans_init(void)
{
	const int prot = PROT_READ | PROT_WRITE;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint8_t *bits = mmap(NULL, FRAMES / 4, prot, flags, -1, 0);
	void *p = mmap(NULL, MAX_SPANS * sizeof(*span), prot, flags, -1, 0);

	if (p == MAP_FAILED || bits == MAP_FAILED)
		return false;
	span = p;
	shown = bits;
	written = bits + FRAMES / 8;
	return true;
}

bool spans_possible(void)
{
	return span;
}

unsigned spans_cost(unsigned whose)
{
	return region[whose].cost;
}

/* ---- this process' address space ---- */

static bool nothing_at(uint64_t from, uint64_t end, int how)
{
	return mmap((void *)from, end - from, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | how, -1, 0) == (void *)from;
}

bool spans_reserve(unsigned whose, uint64_t from, uint64_t end)
{
	if (!nothing_at(from, end, MAP_FIXED_NOREPLACE))
		return false;
	region[whose].from = from;
	region[whose].end = end;
	return true;
}

/* ---- spans ---- */

/* A table has but 512 entries: more than twice as many it never costs. */
static void costs(struct span *s, unsigned more)
{
	if (s->cost + more > 2 * L1_ENTRIES)
		return;
	s->cost += more;
	region[s->whose].cost += more;
}

struct span *span_of(const struct domain *d, uint64_t l1)
{
	const uint64_t hint = d->frame[l1].va_hint;

	return hint < spans && span[hint].l1 == l1 ? &span[hint] : NULL;
}

bool span_anywhere(uint64_t l1)
{
	for (unsigned i = 0; i < spans; i++)
		if (span[i].l1 == l1)
			return true;
	return false;
}

struct span *span_at(struct domain *d, unsigned whose, uint64_t host, uint64_t l1)
{
	struct span *s = span_of(d, l1);

	if (s && s->host == host)
		return s;
	if (d->frame[l1].va_hint == VA_HINT_MANY)
		for (s = span; s < span + spans; s++)
			if (s->host == host)
				return s->l1 == l1 ? s : NULL;
	if (spans == MAX_SPANS || (whose != SPANS_UPPER && !region[whose].end))
		return NULL;
	/* Its place is ours alone from now on: the monitor has nothing there. */
	if (whose == SPANS_UPPER && !nothing_at(host, host + SPAN, MAP_FIXED_NOREPLACE))
		return NULL;
	span[spans] = (struct span){.host = host, .l1 = l1, .whose = whose};
	costs(&span[spans], whose == SPANS_UPPER);
	/* At two places: known as that, and all goes when it changes. */
	d->frame[l1].va_hint = d->frame[l1].va_hint == VA_HINT_NONE ? spans : VA_HINT_MANY;
	return &span[spans++];
}

/* It is not in the list any longer, in which the last one takes its place. */
static void span_remove(struct domain *d, struct span *s)
{
	struct span *last = &span[--spans];
	const uint64_t l1 = s->l1, hint = d->frame[l1].va_hint;

	if (s != last && d->frame[last->l1].va_hint == spans)
		d->frame[last->l1].va_hint = s - span;
	region[s->whose].cost -= s->cost;
	*s = *last;
	if (hint != VA_HINT_MANY || !span_anywhere(l1))
		d->frame[l1].va_hint = VA_HINT_NONE;
}

void span_drop(struct domain *d, struct span *s)
{
	if (s->whose == SPANS_UPPER)
		munmap((void *)s->host, SPAN);
	else if (!nothing_at(s->host, s->host + SPAN, MAP_FIXED)) {
		spans_forget(d, s->whose);
		return;
	}
	span_remove(d, s);
}

static void forget(struct domain *d, unsigned whose)
{
	for (unsigned i = spans; i-- > 0;)
		if (span[i].whose == whose) {
			if (whose == SPANS_UPPER)
				munmap((void *)span[i].host, SPAN);
			span_remove(d, &span[i]);
		}
}

/* It stays reserved, if the host can. */
void spans_forget(struct domain *d, unsigned whose)
{
	const uint64_t from = region[whose].from, end = region[whose].end;

	forget(d, whose);
	if (!end)
		return;
	if (nothing_at(from, end, MAP_FIXED))
		return;
	/* As a whole, without a mapping more: that is always possible. */
	munmap((void *)from, end - from);
	region[whose].from = region[whose].end = 0;
	spans_reserve(whose, from, end);
}

/* ---- pages ---- */

static void set(struct span *s, unsigned i, uint64_t mfn, bool write)
{
	s->shown[i / 64] |= 1UL << (i % 64);
	s->writable[i / 64] &= ~(1UL << (i % 64));
	shown[mfn / 8] |= 1 << mfn % 8;
	if (!write)
		return;
	s->writable[i / 64] |= 1UL << (i % 64);
	written[mfn / 8] |= 1 << mfn % 8;
}

bool span_show(struct domain *d, struct span *s, unsigned lo, unsigned hi, uint64_t mfn, bool write)
{
	const int prot = PROT_READ | (write ? PROT_WRITE : 0);

	for (unsigned k = lo; k <= hi; k++)
		set(s, k, mfn + k - lo, write);
	s->hidden = 0;
	costs(s, 2);
	if (mmap((void *)(s->host + lo * PAGE_SIZE), (hi - lo + 1) * PAGE_SIZE, prot,
		 MAP_SHARED | MAP_FIXED | (s->whose == SPANS_UPPER ? 0 : MAP_POPULATE), d->ram_fd,
		 mfn << PAGE_SHIFT) != MAP_FAILED)
		return true;
	/* The host has no mapping left, and what was at that place may be gone. */
	spans_forget(d, s->whose);
	return false;
}

/* That may cut a mapping in two: it counts as one more. */
void span_hide(struct domain *d, struct span *s, unsigned index)
{
	const uint64_t at = s->host + index * PAGE_SIZE;

	if (!span_shows(s, index))
		return;
	if (s->whose != SPANS_UPPER && ++s->hidden == MANY_HID) {
		span_drop(d, s);
		return;
	}
	costs(s, 1);
	s->shown[index / 64] &= ~(1UL << (index % 64));
	s->writable[index / 64] &= ~(1UL << (index % 64));
	if (!nothing_at(at, at + PAGE_SIZE, MAP_FIXED))
		spans_forget(d, s->whose);
}

/* The first entry from `from` on that shows this frame, or L1_ENTRIES. */
static unsigned find(struct domain *d, const struct span *s, unsigned from, uint64_t mfn,
		     bool writable)
{
	const uint64_t *l1 = frame_ptr(d, s->l1), *of = writable ? s->writable : s->shown;

	while (from < L1_ENTRIES && !(in_set(of, from) && pte_mfn(l1[from]) == mfn))
		from++;
	return from;
}

/* From the end: a span that is dropped is replaced by one that has been looked at. */
void spans_hide_frame(struct domain *d, uint64_t mfn, bool writable)
{
	uint8_t *bits = writable ? written : shown;

	if (!span || !(bits[mfn / 8] >> mfn % 8 & 1))
		return;
	for (unsigned i = spans; i-- > 0;) {
		unsigned k = 0;

		while (i < spans && (k = find(d, &span[i], k, mfn, writable)) < L1_ENTRIES)
			span_hide(d, &span[i], k++);
	}
	bits[mfn / 8] &= ~(1 << mfn % 8);
}
