/* SPDX-License-Identifier: MIT */
/*
 * The guest's pages. Mapping one costs a round trip to pvd, and to the guest's process if we are
 * to write to it, so with feature-persistent pages stay mapped, up to MAX_GRANTS of them, and the
 * one that was used longest ago makes room. Without it, a request's pages are mapped at once and
 * are unmapped before it is answered: afterwards the frontend takes its grants back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "toolstack/backends/block/blk.h"

static struct grant **bucket(struct grants *g, uint32_t ref)
{
	return g->bucket + ref % (sizeof(g->bucket) / sizeof(g->bucket[0]));
}

static void age_out(struct grants *g, struct grant *e)
{
	*(e->older ? &e->older->newer : &g->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &g->newest) = e->older;
}

static void make_newest(struct grants *g, struct grant *e)
{
	e->older = g->newest;
	e->newer = NULL;
	*(g->newest ? &g->newest->newer : &g->oldest) = e;
	g->newest = e;
}

static void drop(struct grants *g, struct grant *e)
{
	struct grant **p = bucket(g, e->ref);

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	age_out(g, e);
	dev_unmap(g->d, e->page, 1);
	free(e);
	g->nr--;
}

/* True if there is room for one more. */
static bool make_room(struct grants *g)
{
	struct grant *e = g->oldest;

	if (g->nr < MAX_GRANTS)
		return true;
	while (e && e->users)
		e = e->newer;
	if (e)
		drop(g, e);
	return e;
}

static struct grant *find(struct grants *g, uint32_t ref)
{
	struct grant *e = *bucket(g, ref);

	while (e && e->ref != ref)
		e = e->next;
	return e;
}

/* NULL: it cannot be kept, for lack of room, or because it is not granted for writing. */
static struct grant *keep(struct grants *g, uint32_t ref)
{
	struct grant *e = make_room(g) ? calloc(1, sizeof(*e)) : NULL;
	struct grant **p = bucket(g, ref);

	if (!e)
		return NULL;
	e->ref = ref;
	e->page = dev_map(g->d, &ref, 1, PROT_READ | PROT_WRITE);
	if (!e->page) {
		free(e);
		return NULL;
	}
	e->next = *p;
	*p = e;
	make_newest(g, e);
	g->nr++;
	return e;
}

static int hold_one(struct grants *g, struct held *h, uint32_t ref, int prot)
{
	struct grant *e = find(g, ref);

	if (e) {
		age_out(g, e);
		make_newest(g, e);
	} else {
		e = keep(g, ref);
	}
	h->grant[h->n] = e;
	if (e)
		e->users++;
	h->page[h->n] = e ? e->page : dev_map(g->d, &ref, 1, prot);
	if (!h->page[h->n])
		return -1;
	h->n++;
	return 0;
}

int grants_hold(struct grants *g, struct held *h, uint32_t *refs, uint32_t n, bool write)
{
	const int prot = write ? PROT_READ | PROT_WRITE : PROT_READ;

	h->n = 0;
	h->block = NULL;
	if (!g->persistent) {
		h->block = dev_map(g->d, refs, n, prot);
		if (!h->block)
			return -1;
		for (; h->n < n; h->n++)
			h->page[h->n] = (char *)h->block + h->n * PAGE_SIZE;
		return 0;
	}
	while (h->n < n) {
		if (hold_one(g, h, refs[h->n], prot)) {
			grants_release(g, h);
			return -1;
		}
	}
	return 0;
}

void grants_release(struct grants *g, struct held *h)
{
	if (h->block) {
		dev_unmap(g->d, h->block, h->n);
		h->block = NULL;
		h->n = 0;
	}
	while (h->n) {
		h->n--;
		if (h->grant[h->n])
			h->grant[h->n]->users--;
		else
			dev_unmap(g->d, h->page[h->n], 1);
	}
}

void grants_drop_all(struct grants *g)
{
	while (g->oldest)
		drop(g, g->oldest);
}
