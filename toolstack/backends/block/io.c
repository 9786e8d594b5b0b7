/* SPDX-License-Identifier: MIT */
/*
 * I/O on the image, from and to the guest's pages. Reads, flushes and discards go through io_uring:
 * a batch of requests is one system call, what is in the page cache is there when it returns, and
 * nothing waits for the rest. Writes are done at once by pwritev(): they end in the page cache
 * anyway, and ext4 cannot do a buffered write without blocking, so io_uring would hand each to a
 * worker thread (measured: 51k against 123k writes of 4 KiB per second).
 *
 * The ring is restricted to these operations on this one file before the sandbox closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "toolstack/backends/block/blk.h"

#define SQ_ENTRIES   512
#define CQ_ENTRIES   (2 * MAX_QUEUES * MAX_RING)
#define DISCARD_MODE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static void completed(struct blk *b, struct op *op, int64_t res);

/* Debian 12's liburing.so lacks the functions for the two requests that are needed here. */
static int ring_register(struct io_uring *ring, unsigned what, void *arg, unsigned n)
{
	return syscall(__NR_io_uring_register, ring->ring_fd, what, arg, n) < 0 ? -errno : 0;
}

/* Nothing but these, and only on the registered file. */
static int restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction r[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FALLOCATE},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
	};

	return ring_register(ring, IORING_REGISTER_RESTRICTIONS, r, sizeof(r) / sizeof(r[0]));
}

int io_open(struct blk *b, bool uring)
{
	struct io_uring_params p = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
				    .cq_entries = CQ_ENTRIES};
	int rc;

	b->io.uring = false;
	if (!uring || b->image.fd < 0)
		return 0;
	rc = io_uring_queue_init_params(SQ_ENTRIES, &b->io.ring, &p);
	if (rc < 0)
		return rc;
	rc = io_uring_register_files(&b->io.ring, &b->image.fd, 1);
	if (!rc)
		rc = restrict_ring(&b->io.ring);
	if (!rc)
		rc = ring_register(&b->io.ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (rc)
		io_uring_queue_exit(&b->io.ring);
	b->io.uring = !rc;
	return rc;
}

static struct io_uring_sqe *next_sqe(struct blk *b)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&b->io.ring)))
		io_submit(b);
	b->io.queued++;
	return sqe;
}

static void queue_sqe(struct blk *b, struct io_uring_sqe *sqe, struct op *op)
{
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, op);
}

static int64_t result(int64_t rc)
{
	return rc < 0 ? -errno : rc;
}

static void start_read(struct blk *b, struct op *op)
{
	struct iovec *iov = op->iov + op->iov_at;
	const unsigned n = op->nr_iov - op->iov_at;

	if (b->io.uring) {
		struct io_uring_sqe *sqe = next_sqe(b);

		io_uring_prep_readv(sqe, 0, iov, n, op->pos);
		queue_sqe(b, sqe, op);
	} else {
		completed(b, op, result(preadv(b->image.fd, iov, n, op->pos)));
	}
}

static void start_write(struct blk *b, struct op *op)
{
	completed(b, op,
		  result(pwritev(b->image.fd, op->iov + op->iov_at, op->nr_iov - op->iov_at,
				 op->pos)));
}

static void start_flush(struct blk *b, struct op *op)
{
	if (b->io.uring) {
		struct io_uring_sqe *sqe = next_sqe(b);

		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		queue_sqe(b, sqe, op);
	} else {
		completed(b, op, b->image.fd < 0 ? 0 : result(fdatasync(b->image.fd)));
	}
}

static void start_discard(struct blk *b, struct op *op)
{
	const uint64_t from = op->r.sector * SECTOR, n = op->r.nr_sectors * SECTOR;

	if (!n) {
		op_done(op, BLKIF_RSP_OKAY);
	} else if (b->io.uring) {
		struct io_uring_sqe *sqe = next_sqe(b);

		io_uring_prep_fallocate(sqe, 0, DISCARD_MODE, from, n);
		queue_sqe(b, sqe, op);
	} else {
		completed(b, op, result(fallocate(b->image.fd, DISCARD_MODE, from, n)));
	}
}

static bool all_moved(const struct op *op)
{
	return op->iov_at == op->nr_iov;
}

void io_start(struct blk *b, struct op *op)
{
	switch (op->r.op) {
	case BLKIF_OP_READ: start_read(b, op); break;
	case BLKIF_OP_WRITE: start_write(b, op); break;
	case BLKIF_OP_DISCARD: start_discard(b, op); break;
	default: /* a flush: what was written before, then its data, then those */
		if (op->flushed && !all_moved(op))
			start_write(b, op);
		else
			start_flush(b, op);
	}
}

static void advance(struct op *op, uint64_t n)
{
	op->pos += n;
	while (n) {
		struct iovec *v = op->iov + op->iov_at;
		const uint64_t part = n < v->iov_len ? n : v->iov_len;

		v->iov_base = (char *)v->iov_base + part;
		v->iov_len -= part;
		n -= part;
		if (!v->iov_len)
			op->iov_at++;
	}
}

/* Each kind of trouble is told once, not for each of the requests that meet it. */
static int failed(struct blk *b, const struct op *op, int err)
{
	if (err != b->said)
		dev_log(b->d, "operation %u, %lu sectors at %lu: %s", op->r.op, op->r.nr_sectors,
			op->r.sector, err ? strerror(err) : "the image ends before");
	b->said = err;
	blk_look_at_size(b);
	return err == EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;
}

static void completed(struct blk *b, struct op *op, int64_t res)
{
	const bool flush = op->r.op == BLKIF_OP_FLUSH_DISKCACHE && (!op->flushed || all_moved(op));
	const bool moves = op->r.op != BLKIF_OP_DISCARD && !flush;

	if (res == -EINTR || res == -EAGAIN) {
		io_start(b, op);
	} else if (res < 0 || (moves && !res)) {
		op_done(op, failed(b, op, -res));
	} else if (moves) {
		advance(op, res);
		if (!all_moved(op) || op->r.op == BLKIF_OP_FLUSH_DISKCACHE)
			io_start(b, op);
		else
			op_done(op, BLKIF_RSP_OKAY);
	} else if (flush && !all_moved(op)) {
		op->flushed = true;
		io_start(b, op);
	} else {
		op_done(op, BLKIF_RSP_OKAY);
	}
}

void io_submit(struct blk *b)
{
	int n;

	while (b->io.queued) {
		n = io_uring_submit(&b->io.ring);
		if (n > 0) {
			b->io.queued -= n;
			b->io.in_flight += n;
		} else if (n != -EINTR && n != -EAGAIN && n != -EBUSY) {
			dev_log(b->d, "io_uring: %s", strerror(-n));
			_exit(1); /* the next process begins anew what is under way */
		} else if (!io_reap(b)) {
			sched_yield();
		}
	}
}

bool io_reap(struct blk *b)
{
	struct io_uring_cqe *cqe;
	bool any = false;

	while (b->io.uring && b->io.in_flight && !io_uring_peek_cqe(&b->io.ring, &cqe)) {
		struct op *op = io_uring_cqe_get_data(cqe);
		const int res = cqe->res;

		io_uring_cqe_seen(&b->io.ring, cqe);
		b->io.in_flight--;
		completed(b, op, res);
		any = true;
	}
	return any;
}

void io_drain(struct blk *b)
{
	struct io_uring_cqe *cqe;

	io_submit(b);
	while (b->io.uring && b->io.in_flight) {
		if (!io_uring_wait_cqe(&b->io.ring, &cqe))
			io_reap(b);
		io_submit(b);
	}
}
