/* SPDX-License-Identifier: MIT */
/*
 * `disk stress`: several threads, each with blocks of its own, write and read them in random order
 * and know what must be in each. An acknowledged write that is lost, or one that went elsewhere,
 * is an error; backends may die and come back meanwhile.
 */
#include <pv/disk.h>
#include <pv/lock.h>
#include <pv/mm.h>
#include <pv/thread.h>
#include <pv/time.h>
#include "kernel.h"

#define THREADS 8
#define BLOCKS	1024 /* of a thread: 4 MiB */
#define MOST	4    /* blocks at once */

struct worker {
	struct disk *disk;
	unsigned int index;
	uint64_t seed, end, random;
	unsigned long writes, reads, errors;
	long rc;
	bool done;
	uint8_t generation[BLOCKS]; /* how often written; 0: by nobody yet */
};

static struct lock done_lock;
static struct worker *workers[THREADS];

static uint64_t word(const struct worker *w, unsigned int block, unsigned int i)
{
	uint64_t x = w->seed ^ ((uint64_t)w->index << 48 | (uint64_t)block << 32 | i << 8 |
				w->generation[block]);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 27;
}

static uint64_t next_random(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static uint64_t offset_of(const struct worker *w, unsigned int block)
{
	return ((uint64_t)w->index * BLOCKS + block) * PAGE_SIZE;
}

static void write_blocks(struct worker *w, unsigned int block, unsigned int n, uint64_t *buf)
{
	for (unsigned int b = 0; b < n; b++) {
		/* From 255 on to 1: 0 is what nobody wrote. */
		w->generation[block + b] = (uint8_t)(w->generation[block + b] % 255 + 1);
		for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
			buf[b * (PAGE_SIZE / 8) + i] = word(w, block + b, i);
	}
	w->rc = disk_io(w->disk, DISK_WRITE, offset_of(w, block), buf, n * PAGE_SIZE);
	w->writes++;
}

static void read_blocks(struct worker *w, unsigned int block, unsigned int n, uint64_t *buf)
{
	w->rc = disk_io(w->disk, DISK_READ, offset_of(w, block), buf, n * PAGE_SIZE);
	w->reads++;
	for (unsigned int b = 0; !w->rc && b < n; b++) {
		bool wrong = false;

		for (unsigned int i = 0; w->generation[block + b] && i < PAGE_SIZE / 8; i++)
			wrong |= buf[b * (PAGE_SIZE / 8) + i] != word(w, block + b, i);
		w->errors += wrong;
	}
}

static void work(void *arg)
{
	static uint64_t bufs[THREADS][MOST * PAGE_SIZE / 8];
	struct worker *w = arg;
	uint64_t *buf = bufs[w->index];
	bool enabled;

	while (!w->rc && time_ns() < w->end) {
		uint64_t r = next_random(w);
		unsigned int n = 1 + (r >> 20) % MOST,
			     block = (unsigned int)(r >> 32) % (BLOCKS - n);

		if (r & 1)
			write_blocks(w, block, n, buf);
		else
			read_blocks(w, block, n, buf);
	}
	for (unsigned int block = 0; !w->rc && block < BLOCKS; block += MOST)
		read_blocks(w, block, MOST, buf);
	enabled = lock(&done_lock);
	w->done = true;
	thread_wake(workers);
	unlock(&done_lock, enabled);
}

static bool start(unsigned int i, struct disk *d, uint64_t seed, uint64_t ns)
{
	if (!workers[i])
		workers[i] = page_try_alloc();
	_Static_assert(sizeof(struct worker) <= PAGE_SIZE, "one page");
	if (!workers[i])
		return false;
	*workers[i] = (struct worker){.disk = d,
				      .index = i,
				      .seed = seed,
				      .end = time_ns() + ns,
				      .random = (seed + 1) * 0x9e3779b97f4a7c15ull + i};
	return thread_create("stress", work, workers[i]);
}

long disk_stress(const char *name, uint64_t seed, unsigned int threads, uint64_t ms)
{
	struct disk *d = disk_open(name);
	unsigned long writes = 0, reads = 0, errors = 0;
	struct disk_info info;
	unsigned int n = 0;
	long rc = 0;

	if (!d)
		return -XEN_ENODEV;
	disk_info(d, &info);
	if (threads > THREADS || info.bytes < threads * BLOCKS * PAGE_SIZE)
		rc = -XEN_EINVAL;
	while (!rc && n < threads && start(n, d, seed, ms * MSEC))
		n++;
	for (unsigned int i = 0; i < n; i++) {
		struct worker *w = workers[i];
		bool enabled = lock(&done_lock);

		while (!w->done)
			thread_wait(workers, ~0ull, &done_lock);
		unlock(&done_lock, enabled);
		writes += w->writes;
		reads += w->reads;
		errors += w->errors;
		rc = rc ? rc : w->rc;
	}
	disk_close(d);
	if (rc)
		return rc;
	printf("disk stress %s: %u threads, %lu writes, %lu reads, %lu errors\n", name, n, writes,
	       reads, errors);
	if (errors)
		printf("FAIL disk stress %s: %lu blocks are not what was written\n", name, errors);
	return 0;
}
