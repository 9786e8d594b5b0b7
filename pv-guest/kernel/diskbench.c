/* SPDX-License-Identifier: MIT */
/* `disk bench`: what the ring, the backend and the image give, without the block cache. */
#include <pv/bcache.h>
#include <pv/disk.h>
#include <pv/time.h>
#include "kernel.h"
#include "stream.h"

#define DEPTH	32
#define PENDING 1 /* no error is positive */

struct result {
	uint64_t requests, bytes, ns;
	long rc;
};

static struct disk_request requests[DEPTH];
static void *pages[DEPTH];
static unsigned int done;

static uint64_t random_block(uint64_t blocks)
{
	static uint64_t x = 0x2545f4914f6cdd1dull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % blocks;
}

static void send(struct disk *d, struct disk_request *r, void **page, enum disk_op op,
		 uint64_t blocks)
{
	*r = (struct disk_request){
		.op = op,
		.offset = random_block(blocks) * PAGE_SIZE,
		.bytes = PAGE_SIZE,
		.pages = page,
		.error = PENDING,
		.done = &done,
	};
	disk_queue(d, r);
}

/* Each answer is followed by a new request until the time is over. */
static void random_io(struct disk *d, enum disk_op op, uint64_t bytes, uint64_t ns,
		      struct result *res)
{
	uint64_t begin = time_ns(), deadline = begin + ns;
	unsigned int in_flight = DEPTH, seen = done;

	for (unsigned int i = 0; i < DEPTH; i++)
		send(d, &requests[i], &pages[i], op, bytes / PAGE_SIZE);
	while (in_flight) {
		bool more = time_ns() < deadline;

		disk_wait(d, &done, seen + 1);
		seen = __atomic_load_n(&done, __ATOMIC_SEQ_CST);
		for (unsigned int i = 0; i < DEPTH; i++) {
			struct disk_request *r = &requests[i];

			if (READ_ONCE(r->error) == PENDING)
				continue;
			res->requests++;
			res->rc = r->error ? r->error : res->rc;
			if (more && !res->rc) {
				send(d, r, &pages[i], op, bytes / PAGE_SIZE);
			} else {
				r->error = PENDING;
				in_flight--;
			}
		}
		disk_kick(d);
	}
	res->ns = time_ns() - begin;
	res->bytes = res->requests * PAGE_SIZE;
}

static void sequential(struct disk *d, enum disk_op op, uint64_t bytes, uint64_t ns,
		       struct result *res)
{
	uint64_t begin = time_ns(), deadline = begin + ns,
		 run = bytes < 64ul << 20 ? bytes : 64ul << 20;
	uint64_t offset = 0;

	do {
		if (offset + run > bytes)
			offset = 0;
		res->rc = stream(d, op, offset, run, NULL, NULL);
		offset += run;
		res->bytes += run;
	} while (!res->rc && time_ns() < deadline);
	res->ns = time_ns() - begin;
	res->requests = res->bytes / STREAM_PIECE;
}

static void report(const char *name, const char *test, const struct result *r)
{
	if (r->rc)
		printf("FAIL disk bench %s: %s: error %ld: %s\n", name, test, -r->rc,
		       error_words(-r->rc));
	else
		printf("disk bench %s: %-9s %8lu IOPS %6lu MB/s\n", name, test,
		       r->requests * SEC / r->ns, r->bytes * 1000 / r->ns);
}

static const struct {
	const char *name;
	enum disk_op op;
	void (*run)(struct disk *d, enum disk_op op, uint64_t bytes, uint64_t ns,
		    struct result *res);
} tests[] = {
	{"randread", DISK_READ, random_io},
	{"randwrite", DISK_WRITE, random_io},
	{"read", DISK_READ, sequential},
	{"write", DISK_WRITE, sequential},
};

static void run_tests(struct disk *d, const char *name, uint64_t bytes, uint64_t ms,
		      const char *only)
{
	struct disk_info info;

	disk_info(d, &info);
	if (bytes > info.bytes)
		bytes = info.bytes;
	bytes &= ~(uint64_t)(STREAM_PIECE - 1);
	if (!bytes) {
		printf("FAIL disk bench %s: smaller than %u bytes\n", name, STREAM_PIECE);
		return;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(tests); i++) {
		struct result res = {.rc = 0};

		if ((only && strcmp(only, tests[i].name)) ||
		    (info.readonly && tests[i].op == DISK_WRITE))
			continue;
		tests[i].run(d, tests[i].op, bytes, ms * MSEC, &res);
		report(name, tests[i].name, &res);
	}
	bcache_forget(d);
}

void disk_bench(const char *name, uint64_t bytes, uint64_t ms, const char *only)
{
	struct disk *d = disk_open(name);
	unsigned int got = 0;

	if (!d) {
		printf("FAIL disk bench %s: error %d\n", name, XEN_ENODEV);
		return;
	}
	while (got < DEPTH && (pages[got] = disk_page_get(d)) != NULL)
		got++;
	if (got == DEPTH)
		run_tests(d, name, bytes, ms, only);
	else
		printf("FAIL disk bench %s: error %d\n", name, XEN_ENOMEM);
	while (got)
		disk_page_put(d, pages[--got]);
	disk_close(d);
}
