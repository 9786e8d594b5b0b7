/* SPDX-License-Identifier: MIT */
/*
 * The guest's pages. Each map, unmap or copy is a round trip to the broker, so what is to be done
 * for a batch of segments is asked for at once. A frontend that says feature-persistent uses the
 * same grants again and again: those stay mapped, up to a limit, and cost a memcpy only.
 */
#include <string.h>
#include <sys/mman.h>
#include <xengnttab.h>

#include "toolstack/backends/net/device.h"

static unsigned home(uint32_t ref)
{
	return ref * 0x9e3779b1U >> (32 - GRANT_CACHE_BITS);
}

static uint8_t *find(const struct grant_cache *c, uint32_t ref)
{
	for (unsigned i = home(ref); c->slots[i].page; i = (i + 1) % GRANT_CACHE_SLOTS)
		if (c->slots[i].ref == ref)
			return c->slots[i].page;
	return NULL;
}

static void insert(struct grant_cache *c, uint32_t ref, uint8_t *page)
{
	unsigned i = home(ref);

	while (c->slots[i].page)
		i = (i + 1) % GRANT_CACHE_SLOTS;
	c->slots[i].ref = ref;
	c->slots[i].page = page;
	c->n++;
}

/* One mapping of n grants. False: one of them at least is no grant of this guest's to us. */
static bool map_run(struct grant_cache *c, uint32_t *refs, unsigned n)
{
	uint8_t *p = dev_map(c->d, refs, n, c->write ? PROT_READ | PROT_WRITE : PROT_READ);

	if (!p)
		return false;
	c->runs[c->nr_runs].addr = p;
	c->runs[c->nr_runs++].n = n;
	for (unsigned i = 0; i < n; i++)
		insert(c, refs[i], p + i * NET_PAGE);
	return true;
}

/* Keep what these segments need, as far as the limit goes. */
static void map_missing(struct grant_cache *c, const struct seg *s, unsigned n)
{
	uint32_t refs[NET_RING_SLOTS];
	unsigned nr = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned k = 0;

		if (find(c, s[i].ref) || c->n + nr >= GRANT_CACHE_MAX)
			continue;
		while (k < nr && refs[k] != s[i].ref)
			k++;
		if (k == nr)
			refs[nr++] = s[i].ref;
	}
	if (!nr || map_run(c, refs, nr))
		return;
	for (unsigned i = 0; i < nr; i++)
		map_run(c, refs + i, 1);
}

static void copy_by_broker(struct grant_cache *c, struct seg *s, const uint16_t *which, unsigned n,
			   bool to_guest)
{
	xengnttab_grant_copy_segment_t ops[NET_RING_SLOTS];

	for (unsigned i = 0; i < n; i++) {
		const struct seg *g = s + which[i];
		union xengnttab_copy_ptr theirs = {
			.foreign = {.ref = g->ref, .offset = g->off, .domid = c->d->domid}};
		union xengnttab_copy_ptr ours = {.virt = g->buf};

		ops[i] = (xengnttab_grant_copy_segment_t){
			.source = to_guest ? ours : theirs,
			.dest = to_guest ? theirs : ours,
			.len = g->len,
			.flags = to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref,
			.status = GNTST_general_error,
		};
	}
	if (xengnttab_grant_copy(c->d->gnt, n, ops))
		for (unsigned i = 0; i < n; i++)
			ops[i].status = GNTST_general_error;
	for (unsigned i = 0; i < n; i++)
		s[which[i]].status = ops[i].status;
}

void grants_copy(void *ctx, struct seg *s, unsigned n, bool to_guest)
{
	struct grant_cache *c = ctx;
	uint16_t rest[NET_RING_SLOTS];
	unsigned nr = 0;

	if (c->on)
		map_missing(c, s, n);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *page = c->on ? find(c, s[i].ref) : NULL;

		if (!page) {
			rest[nr++] = i;
			continue;
		}
		if (to_guest)
			memcpy(page + s[i].off, s[i].buf, s[i].len);
		else
			memcpy(s[i].buf, page + s[i].off, s[i].len);
		s[i].status = GNTST_okay;
	}
	if (nr)
		copy_by_broker(c, s, rest, nr, to_guest);
}

void grants_init(struct grant_cache *c, struct dev *d, bool on, bool write)
{
	memset(c, 0, sizeof(*c));
	c->d = d;
	c->on = on;
	c->write = write;
}

void grants_drop(struct grant_cache *c)
{
	for (unsigned i = 0; i < c->nr_runs; i++)
		dev_unmap(c->d, c->runs[i].addr, c->runs[i].n);
	c->nr_runs = c->n = 0;
	memset(c->slots, 0, sizeof(c->slots));
}
