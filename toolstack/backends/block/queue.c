/* SPDX-License-Identifier: MIT */
/*
 * One ring (xen/io/ring.h). The guest may write anything to it at any time: each request is copied
 * once, into the journal, and only the copy is looked at; req_prod is compared with what a frontend
 * that keeps to the protocol can have written.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "toolstack/backends/block/blk.h"

#define BUDGET	64 /* requests per turn */
#define PUBLISH 8  /* answers that may wait for each other */

static uint32_t published(const struct queue *q)
{
	return q->rsp_prod - q->nr_unpublished;
}

static void answer(struct queue *q, uint32_t nr, uint64_t id, uint8_t operation, int status)
{
	blkif_response_t *r = &q->ring->ring[q->rsp_prod & (q->size - 1)].rsp;

	journal_answer(q->j, nr, q->rsp_prod);
	r->id = id;
	r->operation = operation;
	r->status = status;
	STEP();
	q->rsp_prod++;
	q->unpublished[q->nr_unpublished++] = nr;
}

void queue_publish(struct queue *q)
{
	const uint32_t n = q->nr_unpublished;

	if (!n)
		return;
	__atomic_store_n(&q->ring->rsp_prod, q->rsp_prod, __ATOMIC_SEQ_CST);
	while (q->nr_unpublished) {
		q->free[q->nr_free] = q->unpublished[--q->nr_unpublished];
		journal_free(q->j, q->free[q->nr_free++]);
	}
	STEP();
	/* is the response that the frontend waits for among these? */
	if (q->rsp_prod - __atomic_load_n(&q->ring->rsp_event, __ATOMIC_SEQ_CST) < n)
		dev_notify(q->b->d, q->port);
}

void op_done(struct op *op, int status)
{
	struct queue *q = op->q;

	grants_release(&q->b->grants, &op->held);
	answer(q, op->nr, op->r.id, op->r.op, status);
	if (q->nr_unpublished >= PUBLISH)
		queue_publish(q);
}

/* The segments of an indirect request lie in a page of the guest's: our copy counts. */
static int fetch_segments(struct blk *b, struct blk_req *r)
{
	struct held page;

	if (grants_hold(&b->grants, &page, &r->page_ref, 1, false))
		return BLKIF_RSP_ERROR;
	memcpy(r->seg, page.page[0], r->nr_segs * sizeof(r->seg[0]));
	grants_release(&b->grants, &page);
	return BLKIF_RSP_OKAY;
}

/* Its pages as an I/O vector; pages that lie side by side make one entry. */
static int map_segments(struct blk *b, struct op *op)
{
	const struct blk_req *r = &op->r;
	uint32_t ref[MAX_SEGS];

	for (unsigned i = 0; i < r->nr_segs; i++)
		ref[i] = r->seg[i].gref;
	if (r->nr_segs &&
	    grants_hold(&b->grants, &op->held, ref, r->nr_segs, r->op == BLKIF_OP_READ))
		return BLKIF_RSP_ERROR;
	for (unsigned i = 0; i < r->nr_segs; i++) {
		const struct blkif_request_segment *s = r->seg + i;
		struct iovec *last = op->iov + op->nr_iov - 1;
		char *at = (char *)op->held.page[i] + s->first_sect * SECTOR;
		const size_t len = (s->last_sect - s->first_sect + 1) * SECTOR;

		if (op->nr_iov && (char *)last->iov_base + last->iov_len == at)
			last->iov_len += len;
		else
			op->iov[op->nr_iov++] = (struct iovec){at, len};
	}
	return BLKIF_RSP_OKAY;
}

static int prepare(struct blk *b, struct op *op, const blkif_request_t *raw)
{
	const struct image *m = &b->image;
	const struct blk_limits disk = {m->sectors, m->ro, m->discard};
	int status = request_parse(raw, &op->r);

	if (!status && op->r.indirect)
		status = fetch_segments(b, &op->r);
	if (!status)
		status = request_check(&op->r, &disk);
	return status ? status : map_segments(b, op);
}

static void start(struct queue *q, uint32_t nr)
{
	struct op *op = q->op + nr;
	int status;

	op->q = q;
	op->nr = nr;
	op->flushed = false;
	op->iov_at = op->nr_iov = 0;
	op->held.n = 0;
	op->held.block = NULL;
	if (q->j->slot[nr].req.operation == BLKIF_OP_DISCARD)
		op->r.nr_segs = 0;
	status = prepare(q->b, op, &q->j->slot[nr].req);
	op->pos = op->r.sector * SECTOR;
	if (status)
		op_done(op, status);
	else
		io_start(q->b, op);
}

bool queue_work(struct queue *q)
{
	const uint32_t prod = __atomic_load_n(&q->ring->req_prod, __ATOMIC_ACQUIRE);
	uint32_t n = prod - q->j->req_cons;

	if (!n)
		return false;
	if (prod - published(q) > q->size || n > q->size) {
		dev_fail(q->b->d,
			 "ring %u: req_prod %u, but %u requests were taken and %u answered",
			 (unsigned)(q - q->b->queue), prod, q->j->req_cons, published(q));
		return false;
	}
	blk_look_at_size(q->b);
	for (n = n < BUDGET ? n : BUDGET; n; n--) {
		const uint32_t nr = q->free[--q->nr_free];

		journal_take(q->j, nr, &q->ring->ring[q->j->req_cons & (q->size - 1)].req);
		start(q, nr);
	}
	return true;
}

bool queue_arm(struct queue *q)
{
	__atomic_store_n(&q->ring->req_event, q->j->req_cons + 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&q->ring->req_prod, __ATOMIC_SEQ_CST) != q->j->req_cons;
}

static uint32_t ring_size(uint32_t pages)
{
	uint32_t n = (pages * PAGE_SIZE - offsetof(blkif_sring_t, ring)) /
		     sizeof(union blkif_sring_entry);

	return 1U << (31 - __builtin_clz(n));
}

/* Slots that are in use are not free; none is unpublished. */
static void fill_free(struct queue *q)
{
	q->nr_free = q->nr_unpublished = 0;
	for (unsigned i = q->size; i--;)
		if (q->j->slot[i].state == SLOT_FREE)
			q->free[q->nr_free++] = i;
}

static int begin_again(struct queue *q)
{
	uint16_t redo[MAX_RING];
	const int n = journal_recover(q->j, q->rsp_prod, redo);

	if (n < 0)
		return dev_fail(q->b->d, "ring %u: the frontend changed rsp_prod to %u",
				(unsigned)(q - q->b->queue), q->rsp_prod);
	fill_free(q);
	for (int i = 0; i < n; i++)
		start(q, redo[i]);
	if (n)
		dev_log(q->b->d, "ring %u: %d requests begun anew", (unsigned)(q - q->b->queue), n);
	dev_notify(q->b->d, q->port); /* for answers that nobody was told of */
	return 0;
}

int queue_attach(struct queue *q, void *ring, uint32_t pages, bool resumed)
{
	if (!q->op)
		q->op = calloc(MAX_RING, sizeof(*q->op));
	if (!q->op)
		return -1;
	q->ring = ring;
	q->pages = pages;
	q->size = ring_size(pages);
	q->rsp_prod = __atomic_load_n(&q->ring->rsp_prod, __ATOMIC_ACQUIRE);
	if (resumed)
		return begin_again(q);
	journal_begin(q->j, q->rsp_prod);
	fill_free(q);
	return 0;
}
