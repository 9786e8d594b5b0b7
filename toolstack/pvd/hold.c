/* SPDX-License-Identifier: MIT */
/*
 * Frames that a program of the toolstack maps to write to (xenforeignmemory_map). Its domain's
 * process holds them as writable memory meanwhile: else the guest could make a page table of one,
 * and what the program writes would be entries that nobody has checked.
 *
 * Only since the domain has run: before, there is no guest to do so, and its builder maps all of
 * its memory, page tables among it, and unmaps it without a word to us.
 */
#include <stdlib.h>

#include "toolstack/pvd/pvd.h"

struct hold {
	struct hold *next;
	uint64_t id;
	struct dom *d;
	uint64_t mfn, n;
};

/*
 * n frames from mfn on, until hold_end(*id) or the client's end. How many of them, from the first
 * on, are held: 0 if that is a page table now, or not the domain's. -ESRCH, -ENOMEM, -EIO.
 */
long hold_begin(struct client *c, uint32_t domid, uint64_t mfn, uint64_t n, uint64_t *id)
{
	struct hold *h = malloc(sizeof(*h));
	long held;

	if (!h)
		return -ENOMEM;
	h->d = dom_get(domid);
	if (!h->d) {
		free(h);
		return -ESRCH;
	}
	held = ctl(h->d, CTL_HOLD, mfn, n);
	if (held > 0 && (uint64_t)held > n) /* the client maps as many */
		held = -EIO;
	if (held <= 0) {
		dom_put(h->d);
		free(h);
		return held;
	}
	h->id = *id = c->next_map++ & INT64_MAX;
	h->mfn = mfn;
	h->n = held;
	h->next = c->holds;
	c->holds = h;
	return held;
}

long hold_end(struct client *c, uint64_t id)
{
	struct hold **pp, *h;

	for (pp = &c->holds; (h = *pp) && h->id != id; pp = &h->next)
		;
	if (!h)
		return -EINVAL;
	*pp = h->next;
	ctl(h->d, CTL_DROP, h->mfn, h->n);
	dom_put(h->d);
	free(h);
	return 0;
}

void holds_of_client(struct client *c)
{
	while (c->holds)
		hold_end(c, c->holds->id);
}
