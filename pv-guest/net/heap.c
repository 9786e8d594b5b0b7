/* SPDX-License-Identifier: MIT */
/*
 * Memory for packets. Every page of it is granted to the backend once, to read, and stays granted:
 * so a packet goes out where it lies, and the backend need not map it again. A page holds pieces
 * of one size behind a header, hence no piece ever crosses a page's end. Pages without pieces in
 * use may change their size. With net_lock held.
 */
#include <pv/grant.h>
#include <pv/lib.h>
#include "lwipopts.h"
#include "net.h"

struct slab {
	struct slab *next, **link; /* among those of its size with a free piece, or the empty */
	void *free;		   /* chained through their first words */
	grant_ref_t ref;
	unsigned int size, used;
};

#define HEADER 64

_Static_assert(sizeof(struct slab) <= HEADER, "the header's room");

/* A header and a struct pbuf; a small message; a frame; as much as a page holds. */
static const unsigned int sizes[] = {224, 1008, 2016, HEAP_MAX};
static struct slab *partial[ARRAY_SIZE(sizes)], *empty;
static unsigned int nr_pages, max_pages;
static domid_t reader;

_Static_assert(HEAP_MAX == PAGE_SIZE - HEADER, "a page less its header");

static void slab_link(struct slab **list, struct slab *s)
{
	s->next = *list;
	s->link = list;
	if (s->next)
		s->next->link = &s->next;
	*list = s;
}

static void slab_unlink(struct slab *s)
{
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
}

static struct slab *slab_of(const void *p)
{
	return (struct slab *)((unsigned long)p & PAGE_MASK);
}

bool heap_init(domid_t backend)
{
	if (max_pages)
		return backend == reader;
	reader = backend;
	max_pages = (unsigned int)(page_total() / 16 < 768 ? page_total() / 16 : 768);
	return true;
}

static struct slab *slab_create(void)
{
	struct slab *s;
	long ref;

	if (nr_pages == max_pages || (s = page_try_alloc()) == NULL)
		return NULL;
	ref = grant_access(reader, va_to_mfn(s), true);
	if (ref < 0) {
		page_free(s);
		return NULL;
	}
	nr_pages++;
	s->ref = (grant_ref_t)ref;
	return s;
}

/* An empty page, cut into pieces of its new size. */
static struct slab *slab_cut(unsigned int size)
{
	struct slab *s = empty;

	if (s)
		slab_unlink(s);
	else
		s = slab_create();
	if (!s)
		return NULL;
	s->size = size;
	s->free = NULL;
	for (unsigned int at = HEADER; at + sizes[size] <= PAGE_SIZE; at += sizes[size]) {
		void **piece = (void **)((char *)s + at);

		*piece = s->free;
		s->free = piece;
	}
	slab_link(&partial[size], s);
	return s;
}

void *net_malloc(size_t bytes)
{
	unsigned int size = 0;
	struct slab *s;
	void **piece;

	while (size < ARRAY_SIZE(sizes) && sizes[size] < bytes)
		size++;
	if (size == ARRAY_SIZE(sizes))
		return NULL;
	s = partial[size] ? partial[size] : slab_cut(size);
	if (!s)
		return NULL;
	piece = s->free;
	s->free = *piece;
	s->used++;
	if (!s->free)
		slab_unlink(s);
	return piece;
}

void *net_calloc(size_t n, size_t size)
{
	void *p = net_malloc(n * size);

	return p ? memset(p, 0, n * size) : NULL;
}

void net_free(void *p)
{
	struct slab *s = slab_of(p);
	bool was_full = !s->free;

	*(void **)p = s->free;
	s->free = p;
	s->used--;
	if (!s->used) {
		if (!was_full)
			slab_unlink(s);
		slab_link(&empty, s);
	} else if (was_full) {
		slab_link(&partial[s->size], s);
	}
}

grant_ref_t heap_ref(const void *p)
{
	return slab_of(p)->ref;
}

unsigned int heap_pages(void)
{
	return nr_pages;
}
