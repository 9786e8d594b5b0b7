/* SPDX-License-Identifier: MIT */
/*
 * The block cache, for reading. Who writes goes to the disk at once and drops what is cached here:
 * whatever ends a guest, and here that may be one kill of a host process, takes with it nothing
 * that was written; and a write's error goes to who wrote.
 *
 * Blocks lie in pages of the kernel's own and are copied from those that a backend sees, so that
 * what a file system has checked stays as it was checked.
 */
#include <pv/bcache.h>
#include <pv/disk.h>
#include <pv/lib.h>
#include <pv/lock.h>
#include <pv/mm.h>
#include <pv/thread.h>

#define BUFFERS 256 /* 1 MiB, in use only as far as it is needed */
#define CHAINS	64

struct buffer {
	struct disk *disk; /* NULL: holds nothing */
	uint64_t block;
	void *data;
	unsigned int users;
	bool reading, stale;
	long error;
	uint64_t used; /* when last */
	struct buffer *next;
};

static struct lock cache_lock;
static struct buffer buffers[BUFFERS], *chains[CHAINS];
static uint64_t now;

static struct buffer **chain_of(const struct disk *d, uint64_t block)
{
	return &chains[(block ^ block >> 6 ^ (uintptr_t)d >> 8) % CHAINS];
}

static struct buffer *find(const struct disk *d, uint64_t block)
{
	struct buffer *b = *chain_of(d, block);

	while (b && (b->disk != d || b->block != block || b->stale))
		b = b->next;
	return b;
}

static void unchain(struct buffer *b)
{
	struct buffer **at = chain_of(b->disk, b->block);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	b->disk = NULL;
}

/* One that nobody uses: an empty one with a page, then one without, then the oldest. */
static struct buffer *find_victim(void)
{
	struct buffer *best = NULL;

	for (struct buffer *b = buffers; b < buffers + BUFFERS; b++) {
		if (b->users)
			continue;
		if (!b->disk && (b->data || (b->data = page_try_alloc()) != NULL))
			return b;
		if (b->disk && (!best || b->used < best->used))
			best = b;
	}
	if (best)
		unchain(best);
	return best;
}

static struct buffer *enter(struct disk *d, uint64_t block)
{
	struct buffer *b = find_victim(), **chain = chain_of(d, block);

	if (!b)
		return NULL;
	b->disk = d;
	b->block = block;
	b->stale = false;
	b->reading = true;
	b->error = 0;
	b->next = *chain;
	*chain = b;
	return b;
}

static void leave(struct buffer *b)
{
	/* What could not be read, or was overtaken by a write, is not kept. */
	if (!--b->users && (b->error || b->stale))
		unchain(b);
}

static long read_block(struct disk *d, uint64_t block, char *data)
{
	struct disk_info info;
	uint64_t offset = block * BLOCK_SIZE;
	size_t n = BLOCK_SIZE;

	disk_info(d, &info);
	if (block > info.bytes / BLOCK_SIZE || offset >= info.bytes)
		return -XEN_EINVAL;
	if (n > info.bytes - offset) {
		n = info.bytes - offset;
		memset(data + n, 0, BLOCK_SIZE - n);
	}
	return disk_io(d, DISK_READ, offset, data, n);
}

/* The first to want a block reads it, without the lock; the others wait for it. */
static void fill(struct buffer *b, bool *enabled)
{
	long rc;

	unlock(&cache_lock, *enabled);
	rc = read_block(b->disk, b->block, b->data);
	*enabled = lock(&cache_lock);
	b->error = rc;
	b->reading = false;
	thread_wake(b);
}

const void *bcache_get(struct disk *d, uint64_t block, long *error)
{
	bool enabled = lock(&cache_lock);
	struct buffer *b = find(d, block);
	const void *data = NULL;

	*error = -XEN_ENOMEM;
	if (b) {
		b->users++;
		while (b->reading)
			thread_wait(b, ~0ull, &cache_lock);
	} else if ((b = enter(d, block)) != NULL) {
		b->users++;
		fill(b, &enabled);
	}
	if (b) {
		b->used = ++now;
		*error = b->error;
		if (b->error)
			leave(b);
		else
			data = b->data;
	}
	unlock(&cache_lock, enabled);
	return data;
}

void bcache_put(const void *block)
{
	bool enabled = lock(&cache_lock);
	struct buffer *b = buffers;

	while (b->data != block || !b->users)
		b++;
	leave(b);
	unlock(&cache_lock, enabled);
}

/* Who holds an old copy keeps it; who asks from now on reads anew. */
static void forget(struct buffer *b)
{
	b->stale = true;
	if (!b->users)
		unchain(b);
}

void bcache_forget(struct disk *d)
{
	bool enabled = lock(&cache_lock);

	for (struct buffer *b = buffers; b < buffers + BUFFERS; b++)
		if (b->disk == d && !b->stale)
			forget(b);
	unlock(&cache_lock, enabled);
}
