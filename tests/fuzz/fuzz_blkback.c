/* SPDX-License-Identifier: MIT */
/*
 * pvblk against a frontend that writes anything anywhere: requests, segments in guest memory, the
 * ring's indices, at any time, and a backend that ends and is started again between two of them.
 * The image never changes its size, nothing is read or written outside of the maps (which have
 * pages without access around them), no map is forgotten, and the ring's books balance.
 */
#include "tests/unit/fake_guest.h"

#define IMAGE_PAGES 16U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dev dev;
static struct blk blk;
static struct journal journal;
static struct op ops[MAX_RING]; /* 4 MiB: not a new one for each process */

static struct {
	const uint8_t *at;
	size_t left;
} in;

static uint64_t take(unsigned bytes)
{
	uint64_t v = 0;

	if (bytes > in.left)
		bytes = in.left;
	memcpy(&v, in.at, bytes);
	in.at += bytes;
	in.left -= bytes;
	return v;
}

/* Mostly a number below `below`, now and then any. */
static uint64_t number(uint64_t below)
{
	const uint8_t kind = take(1);

	return kind < 250 ? (kind << 8 | take(1)) % below : take(8);
}

static void put_segments(struct blkif_request_segment *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		s[i] = (struct blkif_request_segment){number(GUEST_PAGES), number(8), number(9)};
}

static void put_request(blkif_sring_t *ring, uint32_t ring_size)
{
	blkif_request_t q = {.operation = number(8), .id = take(1)};
	blkif_request_indirect_t in_direct = {.operation = BLKIF_OP_INDIRECT};
	blkif_request_discard_t discard = {.operation = BLKIF_OP_DISCARD, .id = q.id};

	switch (q.operation) {
	case BLKIF_OP_INDIRECT:
		in_direct.indirect_op = number(3);
		in_direct.nr_segments = number(260);
		in_direct.sector_number = number(IMAGE_PAGES * 8);
		in_direct.indirect_grefs[0] = number(GUEST_PAGES);
		memcpy(&q, &in_direct, sizeof(in_direct));
		break;
	case BLKIF_OP_DISCARD:
		discard.sector_number = number(IMAGE_PAGES * 8);
		discard.nr_sectors = number(IMAGE_PAGES * 8);
		memcpy(&q, &discard, sizeof(discard));
		break;
	default:
		q.nr_segments = number(13);
		q.sector_number = number(IMAGE_PAGES * 8);
		put_segments(q.seg, q.nr_segments < 11 ? q.nr_segments : 11);
	}
	ring->ring[ring->req_prod++ & (ring_size - 1)].req = q;
}

/* Segments of an indirect request, not over the ring's own pages: those have their own case. */
static void put_page(uint32_t ring_pages)
{
	const uint32_t page = ring_pages + number(GUEST_PAGES) % (GUEST_PAGES - ring_pages);

	put_segments((void *)(guest + page * PAGE_SIZE), number(40) % 40);
}

static void attach(uint32_t pages, bool resumed)
{
	blk.d = blk.grants.d = &dev;
	blk.queue[0].b = &blk;
	blk.queue[0].j = &journal;
	blk.queue[0].op = ops;
	if (queue_attach(blk.queue, guest, pages, resumed))
		dev.failed = true;
}

static void check_books(void)
{
	const struct queue *q = blk.queue;
	struct stat st;

	if (fstat(blk.image.fd, &st) || st.st_size != IMAGE_PAGES * PAGE_SIZE)
		__builtin_trap();
	if (blk.said == EFAULT) /* beside a page that was mapped */
		__builtin_trap();
	for (const struct grant *g = blk.grants.oldest; g; g = g->newer)
		if (g->users)
			__builtin_trap();
	if (maps != blk.grants.nr || q->nr_unpublished || (!dev.failed && q->nr_free != q->size))
		__builtin_trap();
}

static void restart(uint32_t pages)
{
	const bool persistent = blk.grants.persistent;
	const uint32_t max = blk.grants.max;
	const struct image image = blk.image;

	grants_drop_all(&blk.grants);
	memset(&blk, 0, sizeof(blk));
	blk.image = image;
	blk.grants.persistent = persistent;
	blk.grants.max = max;
	attach(pages, true);
}

static void one_step(uint32_t pages)
{
	blkif_sring_t *ring = (void *)guest;

	switch (take(1) % 8) {
	case 0: ring->req_prod += number(take(1) & 1 ? 3 : 80); break;
	case 1: ring->rsp_prod += take(1) == 7; break;
	case 2: ring->rsp_event = take(4); break;
	case 3: put_page(pages); break;
	case 4:
		if (take(1) % 4 == 0)
			restart(pages);
		break;
	default: put_request(ring, blk.queue[0].size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	uint32_t pages;

	guest_boot();
	if (fd < 0)
		fd = memfd_create("image", 0);
	if (ftruncate(fd, 0) || ftruncate(fd, IMAGE_PAGES * PAGE_SIZE))
		return 0;
	memset(guest, 0, GUEST_PAGES * PAGE_SIZE);
	memset(&blk, 0, sizeof(blk));
	memset(&journal, 0, sizeof(journal));
	dev.failed = false;
	in.at = data;
	in.left = size;
	pages = 1U << take(1) % 5;
	blk.image = (struct image){.fd = fd, .physical_sector = SECTOR};
	blk.image.sectors = IMAGE_PAGES * 8;
	blk.grants.persistent = take(1) & 1;
	blk.grants.max = 4 + take(1) % 64;
	blk.image.ro = take(1) % 8 == 1;
	blk.image.discard = take(1) & 1;
	attach(pages, false);
	while (in.left && !dev.failed) {
		for (unsigned n = 1 + take(1) % 8; n && in.left; n--)
			one_step(pages);
		while (!dev.failed && queue_work(blk.queue))
			;
		if (!dev.failed && take(1) % 16 == 1)
			restart(pages); /* with answers that are not published */
		queue_publish(blk.queue);
		check_books();
	}
	grants_drop_all(&blk.grants);
	return 0;
}
