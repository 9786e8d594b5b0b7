/* SPDX-License-Identifier: MIT */
/*
 * pvblk: xen/io/blkif.h from a raw image or block device. One thread serves every ring.
 *
 *	request.c  what a request asks for, checked: no I/O, no memory of the guest's
 *	journal.c  which requests are taken and not answered, in memory that outlives the process
 *	grants.c   the guest's pages, mapped
 *	queue.c    one ring: take, start, answer
 *	image.c    the image: open, lock, size
 *	io.c	   reading, writing, flushing and discarding
 *	main.c	   xenstore
 *
 * A write is acknowledged when it is in the host's page cache, and a flush when fdatasync() has
 * returned: docs/block.md.
 */
#ifndef PAVANE_BLK_H
#define PAVANE_BLK_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <xen/io/blkif.h>

#include "toolstack/backends/common/backend.h"

#define SECTOR	       512U
#define MAX_RING_ORDER 4
#define MAX_RING       512U /* requests in a ring of 16 pages */
#define MAX_QUEUES     8
#define MAX_SEGS       256U  /* of an indirect request: one page of segments */
#define MAX_GRANTS     4096U /* kept mapped: 16 MiB */

/*
 * Between two stores that a crash may separate. kill -9 leaves memory as the program's order has
 * it, so only the compiler must keep that order. The unit test crashes at every one of these.
 */
#ifdef BLK_TEST_STEPS
void STEP(void);
#else
#define STEP() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#endif

/* request.c */

struct blk_req {
	uint8_t op;    /* BLKIF_OP_*, of an indirect request the inner one */
	bool indirect; /* seg[] is still to be read from the page `page_ref` */
	uint16_t nr_segs;
	uint32_t page_ref;
	uint64_t id, sector, nr_sectors;
	struct blkif_request_segment seg[MAX_SEGS];
};

struct blk_limits {
	uint64_t sectors;
	bool ro, discard;
};

/*
 * raw: our copy. BLKIF_RSP_OKAY, or what to answer. Afterwards the segments of an indirect request
 * are filled in by the caller, then everything is checked against the disk.
 */
int request_parse(const blkif_request_t *raw, struct blk_req *r);
int request_check(struct blk_req *r, const struct blk_limits *disk);

/* journal.c */

/* FREE, or the request is taken; ANSWERED: its response has the ring's index rsp_idx. */
enum { SLOT_FREE, SLOT_TAKEN, SLOT_ANSWERED };

struct slot {
	uint32_t state, req_idx, rsp_idx, reserved;
	blkif_request_t req;
};

/* What a successor needs of one ring. */
struct journal {
	uint32_t ref[DEV_MAX_RING_REF], port;
	uint32_t req_cons;
	struct slot slot[MAX_RING];
};

void journal_begin(struct journal *j, uint32_t req_cons);
/* Two steps each, in this order; a crash may come between any two stores. */
void journal_take(struct journal *j, uint32_t nr, const blkif_request_t *req);
void journal_answer(struct journal *j, uint32_t nr, uint32_t rsp_idx);
void journal_free(struct journal *j, uint32_t nr);
/*
 * After a crash, with the ring's rsp_prod: which requests are to be executed again, the oldest
 * first, into redo[] (MAX_RING). Their number, or -1 if it does not agree with rsp_prod.
 */
int journal_recover(struct journal *j, uint32_t rsp_prod, uint16_t *redo);

/* grants.c */

/* Pages that were mapped together, and how many of them are still listed. */
struct grant_block {
	char *at;
	uint32_t pages, kept;
};

struct grant {
	struct grant_block *block;
	uint32_t ref, users;
	void *page;
	struct grant *next;	     /* of the same hash */
	struct grant *older, *newer; /* by last use */
};

struct grants {
	struct dev *d;
	bool persistent;  /* the frontend agreed: pages stay mapped */
	uint32_t nr, max; /* pages that are kept mapped */
	struct grant *bucket[1024], *oldest, *newest;
};

/* What one request has mapped. */
struct held {
	uint32_t n;
	void *block; /* all of them, mapped at once; NULL: each by itself */
	void *page[MAX_SEGS];
	struct grant *grant[MAX_SEGS]; /* NULL: not kept, unmap it */
};

/* write: we write to the pages. 0, or -1 if one of them is no grant for us. */
int grants_hold(struct grants *g, struct held *h, uint32_t *refs, uint32_t n, bool write);
void grants_release(struct grants *g, struct held *h);
void grants_drop_all(struct grants *g);

/* image.c */

struct image {
	int fd; /* -1: no medium */
	bool ro, cdrom, removable, block_device, discard;
	uint32_t physical_sector;
	uint64_t sectors;
	uint64_t dev, ino; /* which file or device it is, whatever its name */
	char path[256];
};

/* wait_s: how long another's lock is waited for. 0, or -1 and the reason in why. */
int image_open(struct image *m, bool want_discard, unsigned wait_s, char *why, size_t size);
/* Look at its size anew; true if it is another one. */
bool image_resized(struct image *m);

/* io.c and queue.c */

struct op {
	struct queue *q;
	uint16_t nr;  /* of its slot */
	bool flushed; /* a flush that carries data: now those, then flush once more */
	uint16_t iov_at, nr_iov;
	uint64_t pos; /* in bytes */
	struct blk_req r;
	struct held held;
	struct iovec iov[MAX_SEGS];
};

struct queue {
	struct blk *b;
	struct journal *j;
	blkif_sring_t *ring; /* the guest writes to it at any time */
	uint32_t pages, size;
	uint32_t rsp_prod, nr_unpublished, nr_free, in_flight;
	int port; /* ours */
	uint16_t unpublished[MAX_RING], free[MAX_RING];
	struct op *op; /* MAX_RING */
};

struct io {
	bool uring; /* else everything is done at once */
	uint32_t queued, in_flight;
	struct io_uring ring;
};

/* What outlives the process. */
struct saved {
	uint32_t nr_queues, order, persistent;
	uint32_t ro, cdrom, removable, discard;
	uint64_t dev, ino;
	char path[256];
	struct journal j[MAX_QUEUES];
};

struct blk {
	struct dev *d;
	struct image image;
	struct io io;
	struct dev_fd io_fd;
	struct grants grants;
	uint32_t nr_queues, max_queues;
	int said; /* the errno that was logged last */
	struct queue queue[MAX_QUEUES];
};

int io_open(struct blk *b, bool uring);
/* Begin what op asks for; op_done() is called once, now or from io_reap. */
void io_start(struct blk *b, struct op *op);
void io_submit(struct blk *b);
bool io_reap(struct blk *b);
void io_drain(struct blk *b);		 /* wait for all of it */
void op_done(struct op *op, int status); /* BLKIF_RSP_* */
/* Called before requests are looked at, and when one is beyond the end. */
void blk_look_at_size(struct blk *b);

/* A ring of `pages` pages at `ring`. What was in flight when the last process ended is begun. */
int queue_attach(struct queue *q, void *ring, uint32_t pages, bool resumed);
bool queue_work(struct queue *q);
bool queue_arm(struct queue *q);
void queue_publish(struct queue *q);

#endif
