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

static void unmap_block(struct grants *g, struct grant_block *b)
{
	dev_unmap(g->d, b->at, b->pages);
	g->nr -= b->pages;
	free(b);
}

static void drop(struct grants *g, struct grant *e)
{
	struct grant **p = bucket(g, e->ref);

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	age_out(g, e);
	if (!--e->block->kept)
		unmap_block(g, e->block);
	free(e);
}

/* True if there is room for n more. */
static bool make_room(struct grants *g, uint32_t n)
{
	struct grant *e, *newer;

	for (e = g->oldest; e && g->nr + n > g->max; e = newer) {
		newer = e->newer;
		if (!e->users)
			drop(g, e);
	}
	return g->nr + n <= g->max;
}

static struct grant *find(struct grants *g, uint32_t ref)
{
	struct grant *e = *bucket(g, ref);

	while (e && e->ref != ref)
		e = e->next;
	return e;
}

static bool add(struct grants *g, struct grant_block *b, uint32_t ref, void *page)
{
	struct grant *e = calloc(1, sizeof(*e)), **p = bucket(g, ref);

	if (!e)
		return false;
	e->ref = ref;
	e->page = page;
	e->block = b;
	e->next = *p;
	*p = e;
	make_newest(g, e);
	b->kept++;
	return true;
}

/*
 * Map these and keep them, or none: for lack of room, or because one of them is not granted for
 * writing. One round trip for all; they are unmapped when all of them have been dropped.
 */
static void keep(struct grants *g, uint32_t *refs, uint32_t n)
{
	struct grant_block *b = n && make_room(g, n) ? calloc(1, sizeof(*b)) : NULL;

	if (!b)
		return;
	b->at = dev_map(g->d, refs, n, PROT_READ | PROT_WRITE);
	if (!b->at) {
		free(b);
		return;
	}
	b->pages = n;
	g->nr += n;
	for (uint32_t i = 0; i < n; i++)
		add(g, b, refs[i], b->at + i * PAGE_SIZE);
	if (!b->kept)
		unmap_block(g, b);
}

static void keep_new(struct grants *g, const uint32_t *refs, uint32_t n)
{
	uint32_t new[MAX_SEGS], nr_new = 0;

	for (uint32_t i = 0; i < n; i++)
		if (!find(g, refs[i]))
			new[nr_new++] = refs[i];
	keep(g, new, nr_new);
}

static int hold_one(struct grants *g, struct held *h, uint32_t ref, int prot)
{
	struct grant *e = find(g, ref);

	if (e) {
		e->users++;
		age_out(g, e);
		make_newest(g, e);
	}
	h->grant[h->n] = e;
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
	keep_new(g, refs, n);
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
	struct grant *e, *newer;

	for (e = g->oldest; e; e = newer) {
		newer = e->newer;
		drop(g, e);
	}
}
