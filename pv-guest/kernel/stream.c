/* SPDX-License-Identifier: MIT */
/*
 * A stream is cut into pieces of 1 MiB, a few of which are under way at any time; a piece is cut
 * into as few requests as the backend allows.
 */
#include <pv/lock.h>
#include <pv/thread.h>
#include "kernel.h"
#include "stream.h"

#define DEPTH 4
#define PAGES (STREAM_PIECE / PAGE_SIZE)
#define PARTS 24 /* 1 MiB in requests of 11 pages */

struct piece {
	uint64_t offset;
	size_t bytes; /* 0: not in use */
	unsigned int parts, done;
	struct disk_request request[PARTS];
	void *pages[PAGES];
};

static struct lock busy_lock;
static bool busy;
static struct piece pieces[DEPTH];

static void take(void)
{
	bool enabled = lock(&busy_lock);

	while (busy)
		thread_wait(&busy, ~0ull, &busy_lock);
	busy = true;
	unlock(&busy_lock, enabled);
}

static void let_go(void)
{
	bool enabled = lock(&busy_lock);

	busy = false;
	thread_wake(&busy);
	unlock(&busy_lock, enabled);
}

static void each_page(struct piece *p, stream_fn fn, void *arg)
{
	for (size_t at = 0; fn && at < p->bytes; at += PAGE_SIZE)
		fn(arg, p->offset + at, p->pages[at / PAGE_SIZE],
		   p->bytes - at < PAGE_SIZE ? p->bytes - at : PAGE_SIZE);
}

static bool get_pages(struct disk *d, struct piece *p)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		p->pages[i] = disk_page_get(d);
		if (!p->pages[i])
			return false;
	}
	return true;
}

static void put_pages(struct disk *d, struct piece *p)
{
	for (unsigned int i = 0; i < PAGES; i++)
		if (p->pages[i])
			disk_page_put(d, p->pages[i]);
	*p = (struct piece){.bytes = 0};
}

static void submit(struct disk *d, struct piece *p, enum disk_op op, unsigned int most)
{
	p->parts = p->done = 0;
	for (size_t at = 0; at < p->bytes; at += most) {
		struct disk_request *r = &p->request[p->parts++];

		*r = (struct disk_request){
			.op = op,
			.offset = p->offset + at,
			.bytes = p->bytes - at < most ? p->bytes - at : most,
			.pages = p->pages + at / PAGE_SIZE,
			.done = &p->done,
		};
		disk_queue(d, r);
	}
	disk_kick(d);
}

/* Waits for a piece that is under way; its first error. */
static long finish(struct disk *d, struct piece *p)
{
	disk_wait(d, &p->done, p->parts);
	for (unsigned int i = 0; i < p->parts; i++)
		if (p->request[i].error)
			return p->request[i].error;
	return 0;
}

/* The pieces in turn: what was read is taken out, what is to be written put in, and off it goes. */
static long turn(struct disk *d, enum disk_op op, uint64_t offset, uint64_t end, stream_fn fn,
		 void *arg)
{
	unsigned int most, under_way = 0;
	struct disk_info info;
	long rc = 0;

	disk_info(d, &info);
	most = info.max_bytes & PAGE_MASK;
	for (struct piece *p = pieces; !rc && (offset < end || under_way);
	     p = p + 1 < pieces + DEPTH ? p + 1 : pieces) {
		if (p->bytes) {
			rc = finish(d, p);
			if (!rc && op == DISK_READ)
				each_page(p, fn, arg);
			p->bytes = 0;
			under_way--;
		}
		if (rc || offset == end)
			continue;
		p->offset = offset;
		p->bytes = end - offset < STREAM_PIECE ? end - offset : STREAM_PIECE;
		offset += p->bytes;
		under_way++;
		if (op == DISK_WRITE)
			each_page(p, fn, arg);
		submit(d, p, op, most);
	}
	return rc;
}

long stream(struct disk *d, enum disk_op op, uint64_t offset, uint64_t bytes, stream_fn fn,
	    void *arg)
{
	long rc = offset + bytes < offset ? -XEN_EINVAL : 0;

	take();
	for (unsigned int i = 0; i < DEPTH && !rc; i++)
		if (!get_pages(d, &pieces[i]))
			rc = -XEN_ENOMEM;
	if (!rc)
		rc = turn(d, op, offset, offset + bytes, fn, arg);
	for (unsigned int i = 0; i < DEPTH; i++) {
		/* Behind an error some may still be under way. */
		if (pieces[i].bytes)
			finish(d, &pieces[i]);
		put_pages(d, &pieces[i]);
	}
	let_go();
	return rc;
}
