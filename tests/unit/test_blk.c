/* SPDX-License-Identifier: MIT */
/*
 * pvblk without pvd: what requests are refused, the image's lock, and the journal: a frontend
 * writes, reads and flushes while the backend is killed between any two of its stores.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>

#include <cmocka.h>

#include "tests/unit/fake_guest.h"

#define RING	    32U	 /* requests in a ring of one page */
#define TOTAL	    150U /* requests per run */
#define BLOCKS	    24U	 /* of a page each, in the image */
#define IMAGE_PAGES 32U
#define LAST_STEP   1300 /* more than a run has */
#ifdef __SANITIZE_ADDRESS__
#define EVERY 4 /* step; all of them without */
#else
#define EVERY 1
#endif
#define FIRST_BUFFER 1U
#define EMPTY	     0xffffffffU

/* ---- requests ---- */

static const struct blk_limits disk = {.sectors = 1000, .discard = true};

static int look(const blkif_request_t *raw, struct blk_req *r, const struct blk_limits *l)
{
	const int rc = request_parse(raw, r);

	return rc ? rc : request_check(r, l);
}

static blkif_request_t request(uint8_t op, uint64_t sector, uint8_t segs)
{
	blkif_request_t q = {
		.operation = op, .nr_segments = segs, .sector_number = sector, .id = 7};

	for (unsigned i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
		q.seg[i].last_sect = 7;
	return q;
}

static int ask(uint8_t op, uint64_t sector, uint8_t segs)
{
	const blkif_request_t q = request(op, sector, segs);
	struct blk_req r;

	return look(&q, &r, &disk);
}

static void a_request_is_within_the_disk(void **state)
{
	assert_int_equal(ask(BLKIF_OP_READ, 0, 11), BLKIF_RSP_OKAY);
	assert_int_equal(ask(BLKIF_OP_READ, 992, 1), BLKIF_RSP_OKAY);
	assert_int_equal(ask(BLKIF_OP_READ, 993, 1), BLKIF_RSP_ERROR);
	assert_int_equal(ask(BLKIF_OP_WRITE, 1000, 1), BLKIF_RSP_ERROR);
	assert_int_equal(ask(BLKIF_OP_WRITE, UINT64_MAX - 3, 1), BLKIF_RSP_ERROR);
	assert_int_equal(ask(BLKIF_OP_WRITE, UINT64_MAX / 512 + 1, 1), BLKIF_RSP_ERROR);
}

static void a_request_has_segments(void **state)
{
	blkif_request_t q = request(BLKIF_OP_READ, 0, 1);
	struct blk_req r;

	assert_int_equal(ask(BLKIF_OP_READ, 0, 0), BLKIF_RSP_ERROR);
	assert_int_equal(ask(BLKIF_OP_WRITE, 0, 12), BLKIF_RSP_ERROR);
	assert_int_equal(ask(BLKIF_OP_FLUSH_DISKCACHE, 0, 0), BLKIF_RSP_OKAY);
	q.seg[0].first_sect = 3;
	q.seg[0].last_sect = 2;
	assert_int_equal(look(&q, &r, &disk), BLKIF_RSP_ERROR);
	q.seg[0].last_sect = 8;
	assert_int_equal(look(&q, &r, &disk), BLKIF_RSP_ERROR);
	q.seg[0].last_sect = 3;
	assert_int_equal(look(&q, &r, &disk), BLKIF_RSP_OKAY);
	assert_int_equal(r.nr_sectors, 1);
}

static void unknown_operations_are_not_supported(void **state)
{
	assert_int_equal(ask(BLKIF_OP_WRITE_BARRIER, 0, 1), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(ask(BLKIF_OP_RESERVED_1, 0, 1), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(ask(255, 0, 1), BLKIF_RSP_EOPNOTSUPP);
}

static void an_indirect_request_is_a_read_or_a_write(void **state)
{
	blkif_request_t q;
	blkif_request_indirect_t *in = (void *)&q;
	struct blk_req r;

	*in = (blkif_request_indirect_t){.operation = BLKIF_OP_INDIRECT,
					 .indirect_op = BLKIF_OP_WRITE,
					 .nr_segments = 256,
					 .id = 9,
					 .indirect_grefs = {5}};
	assert_int_equal(request_parse(&q, &r), BLKIF_RSP_OKAY);
	assert_true(r.indirect && r.op == BLKIF_OP_WRITE && r.id == 9 && r.page_ref == 5);
	in->nr_segments = 257;
	assert_int_equal(request_parse(&q, &r), BLKIF_RSP_ERROR);
	in->nr_segments = 1;
	in->indirect_op = BLKIF_OP_INDIRECT;
	assert_int_equal(request_parse(&q, &r), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(r.id, 9);
}

static void a_read_only_disk_is_only_read(void **state)
{
	const struct blk_limits ro = {.sectors = 1000, .ro = true};
	blkif_request_t w = request(BLKIF_OP_WRITE, 0, 1),
			f = request(BLKIF_OP_FLUSH_DISKCACHE, 0, 0),
			d = request(BLKIF_OP_DISCARD, 0, 0), r = request(BLKIF_OP_READ, 0, 1);
	struct blk_req req;

	assert_int_equal(look(&r, &req, &ro), BLKIF_RSP_OKAY);
	assert_int_equal(look(&w, &req, &ro), BLKIF_RSP_ERROR);
	assert_int_equal(look(&d, &req, &ro), BLKIF_RSP_ERROR);
	assert_int_equal(look(&f, &req, &ro), BLKIF_RSP_OKAY);
}

static void a_discard_is_within_the_disk(void **state)
{
	blkif_request_discard_t d = {.operation = BLKIF_OP_DISCARD, .sector_number = 10};
	const struct blk_limits none = {.sectors = 1000};
	blkif_request_t q = {0};
	struct blk_req r;

	d.nr_sectors = 990;
	memcpy(&q, &d, sizeof(d));
	assert_int_equal(look(&q, &r, &disk), BLKIF_RSP_OKAY);
	assert_int_equal(look(&q, &r, &none), BLKIF_RSP_EOPNOTSUPP);
	d.nr_sectors = UINT64_MAX - 5;
	memcpy(&q, &d, sizeof(d));
	assert_int_equal(look(&q, &r, &disk), BLKIF_RSP_ERROR);
}

/* ---- grants ---- */

static void pages_stay_mapped_up_to_a_limit(void **state)
{
	struct dev d = {0};
	struct grants g = {.d = &d, .persistent = true, .max = 8};
	struct held h[3];
	void *page;

	guest_boot();
	assert_int_equal(grants_hold(&g, &h[0], (uint32_t[]){1, 2, 2, 3}, 4, true), 0);
	assert_ptr_equal(h[0].page[1], h[0].page[2]);
	page = h[0].page[3];
	*(int *)page = 77;
	assert_int_equal(*(int *)(guest + 3 * PAGE_SIZE), 77);
	grants_release(&g, &h[0]);
	assert_int_equal(maps, 4);
	assert_int_equal(grants_hold(&g, &h[1], (uint32_t[]){3, 10, 11, 12, 13}, 5, true), 0);
	assert_ptr_equal(h[1].page[0], page); /* not mapped anew */
	assert_int_equal(maps, 8);
	/* full of pages in use: by itself, and not kept */
	assert_int_equal(grants_hold(&g, &h[2], (uint32_t[]){20}, 1, true), 0);
	assert_int_equal(maps, 9);
	grants_release(&g, &h[2]);
	grants_release(&g, &h[1]);
	assert_int_equal(maps, 8);
	/* 1 and 2 were used longest ago, but their block goes with 3 */
	assert_int_equal(grants_hold(&g, &h[2], (uint32_t[]){30, 31, 32}, 3, true), 0);
	assert_int_equal(g.nr, 7);
	grants_release(&g, &h[2]);
	grants_drop_all(&g);
	assert_int_equal(maps, 0);
}

static void a_bad_grant_holds_nothing(void **state)
{
	struct dev d = {0};
	struct grants g = {.d = &d, .persistent = true, .max = 8};
	struct held h;

	guest_boot();
	assert_int_equal(grants_hold(&g, &h, (uint32_t[]){1, GUEST_PAGES}, 2, true), -1);
	assert_int_equal(maps, 0);
	/* not granted for writing: fine if we only read it, and never kept */
	assert_int_equal(grants_hold(&g, &h, (uint32_t[]){READONLY}, 1, true), -1);
	assert_int_equal(grants_hold(&g, &h, (uint32_t[]){READONLY}, 1, false), 0);
	grants_release(&g, &h);
	assert_int_equal(maps, 0);
	g.persistent = false;
	assert_int_equal(grants_hold(&g, &h, (uint32_t[]){5, 6}, 2, true), 0);
	grants_release(&g, &h);
	assert_int_equal(maps, 0);
}

/* ---- the image ---- */

static int open_image(struct image *m, const char *path, bool ro, char why[400])
{
	*m = (struct image){.ro = ro};
	strcpy(m->path, path);
	return image_open(m, true, 0, why, 400);
}

static void an_image_has_one_writer(void **state)
{
	char path[] = "/tmp/pavane-blk-XXXXXX", why[400];
	struct image a, b, c;
	int fd = mkstemp(path);

	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(open_image(&a, path, false, why), 0);
	assert_int_equal(a.sectors, 8);
	assert_int_equal(open_image(&b, path, false, why), -1);
	assert_non_null(strstr(why, "in use"));
	assert_int_equal(open_image(&c, path, true, why), -1);
	close(a.fd);
	assert_int_equal(open_image(&a, path, true, why), 0);
	assert_int_equal(open_image(&c, path, true, why),
			 0); /* readers are not in each other's way */
	assert_int_equal(open_image(&b, path, false, why), -1);
	close(a.fd);
	close(c.fd);
	close(fd);
	unlink(path);
}

static void what_is_no_image_is_refused(void **state)
{
	char why[400];
	struct image m;

	assert_int_equal(open_image(&m, "/tmp", true, why), -1);
	assert_int_equal(open_image(&m, "/dev/null", true, why), -1);
	assert_int_equal(open_image(&m, "disk.img", true, why), -1);
	assert_int_equal(open_image(&m, "", true, why), -1);
	m = (struct image){.ro = true, .cdrom = true};
	assert_int_equal(image_open(&m, true, 0, why, sizeof(why)), 0);
	assert_int_equal(m.sectors, 0);
}

/* ---- a frontend, and crashes ---- */

static struct dev dev;
static struct blk blk;
static struct journal journal;
static int image_fd;
static blkif_sring_t *ring;
static jmp_buf crashed;
static long crash_in; /* steps; -1: not */
static uint32_t dice;
static bool in_frontend;

static struct {
	uint32_t req_prod, rsp_cons, issued, answered, problems;
	uint32_t version[BLOCKS];      /* of the last acknowledged write */
	uint32_t block[TOTAL];	       /* by id */
	uint8_t op[TOTAL], got[TOTAL]; /* by id; how often it was answered */
	uint32_t page_of[TOTAL];
	bool block_busy[BLOCKS], page_busy[RING];
} front;

static uint32_t roll(uint32_t n)
{
	dice = dice * 1103515245 + 12345;
	return (dice >> 16) % n;
}

static uint32_t *buffer(uint32_t page)
{
	return (uint32_t *)(guest + (FIRST_BUFFER + page) * PAGE_SIZE);
}

/* A write makes the block's content its version, in every word. */
static void issue(uint32_t block, uint32_t page)
{
	const uint32_t id = front.issued++;
	blkif_request_t *q = &ring->ring[front.req_prod++ & (RING - 1)].req;
	const uint8_t op = id % 7 == 6	 ? BLKIF_OP_FLUSH_DISKCACHE
			   : id % 3 == 2 ? BLKIF_OP_READ
					 : BLKIF_OP_WRITE;

	*q = (blkif_request_t){.operation = op, .id = id, .sector_number = block * 8};
	q->nr_segments = op != BLKIF_OP_FLUSH_DISKCACHE;
	q->seg[0] = (struct blkif_request_segment){FIRST_BUFFER + page, 0, 7};
	front.block[id] = block;
	front.page_of[id] = page;
	front.op[id] = op;
	front.block_busy[block] = front.page_busy[page] = true;
	for (unsigned i = 0; i < PAGE_SIZE / 4; i++)
		buffer(page)[i] = op == BLKIF_OP_WRITE ? front.version[block] + 1 : EMPTY;
}

static void issue_some(void)
{
	for (unsigned n = roll(6); n && front.issued < TOTAL; n--) {
		const uint32_t block = roll(BLOCKS), page = roll(RING);

		if (!front.block_busy[block] && !front.page_busy[page] &&
		    front.req_prod - front.rsp_cons < RING)
			issue(block, page);
	}
	__atomic_store_n(&ring->req_prod, front.req_prod, __ATOMIC_SEQ_CST);
}

static bool all_words(const uint32_t *words, uint32_t value)
{
	for (unsigned i = 0; i < PAGE_SIZE / 4; i++)
		if (words[i] != value)
			return false;
	return true;
}

/* Whatever was acknowledged is in the image, and what is read is what was. */
static void one_answer(const blkif_response_t *r)
{
	uint32_t words[PAGE_SIZE / 4], block;

	if (r->id >= front.issued || front.got[r->id]++ || r->status ||
	    r->operation != front.op[r->id]) {
		front.problems++;
		return;
	}
	block = front.block[r->id];
	if (front.op[r->id] == BLKIF_OP_WRITE)
		front.version[block]++;
	if (pread(image_fd, words, sizeof(words), block * PAGE_SIZE) != sizeof(words) ||
	    !all_words(words, front.version[block]))
		front.problems++;
	if (front.op[r->id] == BLKIF_OP_READ &&
	    !all_words(buffer(front.page_of[r->id]), front.version[block]))
		front.problems++;
	front.block_busy[block] = front.page_busy[front.page_of[r->id]] = false;
	front.answered++;
}

static void frontend(void)
{
	while (front.rsp_cons != __atomic_load_n(&ring->rsp_prod, __ATOMIC_SEQ_CST)) {
		const blkif_response_t r = ring->ring[front.rsp_cons++ & (RING - 1)].rsp;

		one_answer(&r);
	}
	issue_some();
}

/* The guest runs at the same time: now and then it does something between two steps. */
void STEP(void)
{
	if (in_frontend || !ring)
		return;
	if (!roll(5)) {
		in_frontend = true;
		frontend();
		in_frontend = false;
	}
	if (crash_in >= 0 && !crash_in--)
		longjmp(crashed, 1);
}

/* A process: all that it has in its own memory is new. */
static void backend_starts(bool resumed)
{
	struct queue *q = blk.queue;

	blk.d = blk.grants.d = &dev;
	blk.image.fd = image_fd;
	blk.image.sectors = IMAGE_PAGES * 8;
	blk.image.physical_sector = SECTOR;
	q->b = &blk;
	q->j = &journal;
	assert_int_equal(queue_attach(q, ring, 1, resumed), 0);
}

static void backend_dies(void)
{
	free(blk.queue[0].op);
	grants_drop_all(&blk.grants); /* the kernel does */
	memset(&blk, 0, sizeof(blk));
}

static void run_and_crash(long after, uint32_t seed)
{
	volatile bool resumed = false;

	memset(&front, 0, sizeof(front));
	memset(guest, 0, GUEST_PAGES * PAGE_SIZE);
	assert_int_equal(ftruncate(image_fd, 0), 0);
	assert_int_equal(ftruncate(image_fd, IMAGE_PAGES * PAGE_SIZE), 0);
	dice = seed;
	crash_in = after;
	if (setjmp(crashed)) {
		backend_dies();
		crash_in = 150 + roll(200); /* and again; recovery takes up to 132 steps */
		resumed = true;
	}
	backend_starts(resumed);
	for (int idle = 0; idle < 1000 && front.answered < TOTAL; idle++) {
		frontend();
		queue_work(blk.queue);
		queue_publish(blk.queue);
	}
	crash_in = -1;
	backend_dies();
}

static void every_request_is_answered_once_whenever_we_die(void **state)
{
	guest_boot();
	ring = (blkif_sring_t *)guest;
	image_fd = memfd_create("image", 0);
	for (long after = 0; after < LAST_STEP; after += EVERY) {
		run_and_crash(after, after * 77);
		assert_int_equal(front.problems, 0);
		assert_int_equal(front.answered, TOTAL);
	}
	assert_int_equal(failures, 0);
	close(image_fd);
}

static void a_changed_rsp_prod_is_noticed(void **state)
{
	guest_boot();
	ring = (blkif_sring_t *)guest;
	image_fd = memfd_create("image", 0);
	run_and_crash(-1, 5);
	ring->rsp_prod += 3;
	blk.d = blk.grants.d = &dev;
	blk.queue[0].b = &blk;
	blk.queue[0].j = &journal;
	assert_int_equal(queue_attach(blk.queue, ring, 1, true), -1);
	backend_dies();
	close(image_fd);
}

static void a_ring_that_lies_is_left(void **state)
{
	guest_boot();
	ring = (blkif_sring_t *)guest;
	image_fd = memfd_create("image", 0);
	run_and_crash(-1, 6);
	backend_starts(false);
	failures = 0;
	ring->req_prod = journal.req_cons + RING + 1;
	assert_false(queue_work(blk.queue));
	ring->req_prod = journal.req_cons - 1;
	assert_false(queue_work(blk.queue));
	assert_int_equal(failures, 2);
	backend_dies();
	close(image_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_within_the_disk),
		cmocka_unit_test(a_request_has_segments),
		cmocka_unit_test(unknown_operations_are_not_supported),
		cmocka_unit_test(an_indirect_request_is_a_read_or_a_write),
		cmocka_unit_test(a_read_only_disk_is_only_read),
		cmocka_unit_test(a_discard_is_within_the_disk),
		cmocka_unit_test(pages_stay_mapped_up_to_a_limit),
		cmocka_unit_test(a_bad_grant_holds_nothing),
		cmocka_unit_test(an_image_has_one_writer),
		cmocka_unit_test(what_is_no_image_is_refused),
		cmocka_unit_test(every_request_is_answered_once_whenever_we_die),
		cmocka_unit_test(a_changed_rsp_prod_is_noticed),
		cmocka_unit_test(a_ring_that_lies_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
