/* SPDX-License-Identifier: MIT */
/*
 * Requests of disks, on rings shared with a backend (xen/io/blkif.h). Nothing that is read from a
 * ring is trusted: answers are copied, their ids and number checked, and a backend that lies gets
 * no more requests.
 */
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/mm.h>
#include <pv/thread.h>
#include <pv/time.h>
#include "blk.h"

#define POLL_MAX    (200 * 1000ul) /* ns: longer waits than this are slept through */
#define SEG_SECTORS (PAGE_SIZE / SECTOR)

/* ---- rings ---- */

static void ring_event(unsigned int port, void *data);

static unsigned int ring_size(const struct queue *q)
{
	return RING_SIZE(&q->ring);
}

long queue_create(struct queue *q, unsigned int pages)
{
	unsigned int most = __CONST_RING_SIZE(blkif, PAGE_SIZE << MAX_ORDER);
	struct xenbus_device *dev = q->disk->dev;
	long rc;

	if (!q->slots)
		q->slots = table_alloc(most * sizeof(*q->slots));
	rc = q->slots ? shared_create(&q->shared, dev->backend_id, pages) : -XEN_ENOMEM;
	if (rc)
		return rc;
	SHARED_RING_INIT((blkif_sring_t *)q->shared.va);
	FRONT_RING_INIT(&q->ring, (blkif_sring_t *)q->shared.va, pages * PAGE_SIZE);
	for (unsigned int i = 0; i < ring_size(q); i++)
		q->slots[i] = (struct slot){.next_free = (uint16_t)(i + 1)};
	q->slots[ring_size(q) - 1].next_free = NO_SLOT;
	q->free = 0;
	q->in_flight = 0;
	q->broken = false;
	q->up = true;
	rc = xenbus_alloc_port(dev);
	if (rc < 0)
		return rc;
	q->port = (unsigned int)rc;
	event_bind(q->port, ring_event, q);
	return 0;
}

void queue_destroy(struct queue *q)
{
	bool enabled = lock(&q->lock);

	q->up = false;
	unlock(&q->lock, enabled);
	if (q->port)
		event_close(q->port);
	q->port = 0;
	shared_destroy(&q->shared);
}

/* ---- requests into the ring, with the queue's lock ---- */

static void append(struct queue *q, struct disk_request *r)
{
	r->next = NULL;
	*q->last = r;
	q->last = &r->next;
}

static struct disk_request *take_first(struct queue *q)
{
	struct disk_request *r = q->first;

	q->first = r->next;
	if (!q->first)
		q->last = &q->first;
	return r;
}

static void end(struct queue *q, struct disk_request *r, int error)
{
	unsigned int *done = r->done;

	q->ended = true;
	r->error = error;
	/* The last we touch of it: its owner looks at the number. */
	__atomic_fetch_add(done, 1, __ATOMIC_SEQ_CST);
}

static struct blkif_request_segment segment(const struct disk_request *r, unsigned int i)
{
	uint64_t left = (r->bytes - i * PAGE_SIZE) / SECTOR;

	return (struct blkif_request_segment){
		.gref = pool_ref(r->pages[i]),
		.first_sect = 0,
		.last_sect = (uint8_t)(left < SEG_SECTORS ? left - 1 : SEG_SECTORS - 1),
	};
}

static void write_direct(struct queue *q, const struct disk_request *r, unsigned int id,
			 unsigned int segments)
{
	blkif_request_t *to = RING_GET_REQUEST(&q->ring, q->ring.req_prod_pvt);

	to->operation = q->slots[id].op;
	to->nr_segments = (uint8_t)segments;
	to->handle = q->disk->handle;
	to->id = id;
	to->sector_number = r->offset / SECTOR;
	for (unsigned int i = 0; i < segments; i++)
		to->seg[i] = segment(r, i);
}

static void write_indirect(struct queue *q, const struct disk_request *r, unsigned int id,
			   unsigned int segments)
{
	blkif_request_indirect_t *to = (void *)RING_GET_REQUEST(&q->ring, q->ring.req_prod_pvt);
	struct blkif_request_segment *list = q->slots[id].indirect;

	to->operation = BLKIF_OP_INDIRECT;
	to->indirect_op = q->slots[id].op;
	to->nr_segments = (uint16_t)segments;
	to->handle = q->disk->handle;
	to->id = id;
	to->sector_number = r->offset / SECTOR;
	to->indirect_grefs[0] = pool_ref(list);
	for (unsigned int i = 0; i < segments; i++)
		list[i] = segment(r, i);
}

static void write_discard(struct queue *q, const struct disk_request *r, unsigned int id)
{
	blkif_request_discard_t *to = (void *)RING_GET_REQUEST(&q->ring, q->ring.req_prod_pvt);

	to->operation = BLKIF_OP_DISCARD;
	to->flag = 0;
	to->handle = q->disk->handle;
	to->id = id;
	to->sector_number = r->offset / SECTOR;
	to->nr_sectors = r->bytes / SECTOR;
}

static bool is_data(const struct disk_request *r)
{
	return r->op == DISK_READ || r->op == DISK_WRITE;
}

/*
 * What the first that waits needs besides a slot: 0, or why it can never go; -EAGAIN: not now. It
 * may have been accepted when there was another backend.
 */
static int prepare(struct queue *q, const struct disk_request *r, unsigned int segments)
{
	void **indirect = &q->slots[q->free].indirect;

	if (is_data(r) && r->bytes > q->disk->info.max_bytes)
		return -XEN_EIO;
	if (segments <= BLKIF_MAX_SEGMENTS_PER_REQUEST)
		return 0;
	*indirect = disk_page_get(q->disk);
	return *indirect ? 0 : q->in_flight ? -XEN_EAGAIN : -XEN_ENOMEM;
}

/* Puts the first that waits into the ring, or ends it; false if it must go on waiting. */
static bool push_one(struct queue *q)
{
	static const uint8_t ops[] = {BLKIF_OP_READ, BLKIF_OP_WRITE, 0, BLKIF_OP_DISCARD};
	struct disk_request *r = q->first;
	unsigned int segments = is_data(r) ? (unsigned int)((r->bytes + PAGE_SIZE - 1) / PAGE_SIZE)
					   : 0;
	unsigned int id = q->free;
	struct slot *slot = &q->slots[id];
	int error;

	if (id == NO_SLOT)
		return false;
	error = prepare(q, r, segments);
	if (error == -XEN_EAGAIN)
		return false;
	take_first(q);
	if (error) {
		end(q, r, error);
		return true;
	}
	slot->request = r;
	slot->op = r->op == DISK_FLUSH ? q->disk->flush_op : ops[r->op];
	q->free = slot->next_free;
	q->in_flight++;
	/* The ring's page is only written: what stands there may be the other end's. */
	if (slot->indirect)
		write_indirect(q, r, id, segments);
	else if (r->op == DISK_DISCARD)
		write_discard(q, r, id);
	else
		write_direct(q, r, id, segments);
	q->ring.req_prod_pvt++;
	return true;
}

/* Returns whether the backend wants to be told. */
static bool push(struct queue *q)
{
	RING_IDX before = q->ring.req_prod_pvt;
	bool notify = false;

	if (!q->live || q->broken)
		return false;
	while (q->first && push_one(q))
		;
	if (q->ring.req_prod_pvt != before)
		RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&q->ring, notify);
	return notify;
}

static void wake_sleepers(struct disk *d)
{
	bool enabled;

	if (!__atomic_load_n(&d->sleepers, __ATOMIC_SEQ_CST))
		return;
	enabled = lock(&d->wait_lock);
	thread_wake(d);
	unlock(&d->wait_lock, enabled);
}

/* Lets go of the queue, then tells who is to be told. */
static void leave(struct queue *q, bool enabled, bool notify)
{
	bool ended = q->ended;

	q->ended = false;
	unlock(&q->lock, enabled);
	if (notify)
		event_send(q->port);
	if (ended)
		wake_sleepers(q->disk);
}

static int check_request(const struct disk *d, const struct disk_request *r)
{
	const struct disk_info *i = &d->info;

	if (d->gone)
		return -XEN_ENODEV;
	if (r->op != DISK_READ && i->readonly)
		return -XEN_EROFS;
	if ((r->op == DISK_FLUSH && !d->flush_op) || (r->op == DISK_DISCARD && !i->discard))
		return -XEN_EOPNOTSUPP;
	if (r->op == DISK_FLUSH)
		return 0;
	if (!r->bytes || r->offset % i->sector || r->bytes % i->sector || r->offset > i->bytes ||
	    r->bytes > i->bytes - r->offset)
		return -XEN_EINVAL;
	return r->op != DISK_DISCARD && r->bytes > i->max_bytes ? -XEN_E2BIG : 0;
}

void disk_queue(struct disk *d, struct disk_request *r)
{
	struct queue *q = &d->queue[this_cpu->id % d->info.queues];
	bool enabled = lock(&q->lock);
	int error = q->broken ? -XEN_EIO : check_request(d, r);

	if (error)
		end(q, r, error);
	else
		append(q, r);
	leave(q, enabled, false);
}

void disk_kick(struct disk *d)
{
	for (unsigned int i = 0; i < d->info.queues; i++) {
		struct queue *q = &d->queue[i];
		bool enabled = lock(&q->lock);

		leave(q, enabled, push(q));
	}
}

/* ---- answers ---- */

static struct disk_request *free_slot(struct queue *q, unsigned int id)
{
	struct slot *slot = &q->slots[id];
	struct disk_request *r = slot->request;

	if (slot->indirect)
		disk_page_put(q->disk, slot->indirect);
	slot->indirect = NULL;
	slot->request = NULL;
	slot->next_free = (uint16_t)q->free;
	q->free = id;
	q->in_flight--;
	return r;
}

static void give_up(struct queue *q, const char *why)
{
	printf("disk %s: %s: no more requests go to this backend\n", q->disk->info.name, why);
	q->broken = true;
	for (unsigned int i = 0; i < ring_size(q); i++)
		if (q->slots[i].request)
			end(q, free_slot(q, i), -XEN_EIO);
	while (q->first)
		end(q, take_first(q), -XEN_EIO);
}

static int status_error(int16_t status)
{
	if (status == BLKIF_RSP_OKAY)
		return 0;
	return status == BLKIF_RSP_EOPNOTSUPP ? -XEN_EOPNOTSUPP : -XEN_EIO;
}

static bool answer(struct queue *q, const blkif_response_t *rsp)
{
	if (rsp->id >= ring_size(q) || !q->slots[rsp->id].request) {
		give_up(q, "an answer to nothing we asked");
		return false;
	}
	if (rsp->operation != q->slots[rsp->id].op && rsp->operation != BLKIF_OP_INDIRECT) {
		give_up(q, "an answer to something else");
		return false;
	}
	end(q, free_slot(q, (unsigned int)rsp->id), status_error(rsp->status));
	return true;
}

/* Takes the answers that are there. */
static void drain(struct queue *q)
{
	RING_IDX cons = q->ring.rsp_cons, prod;
	blkif_response_t rsp;

	if (!q->up || q->broken)
		return;
	prod = READ_ONCE(q->ring.sring->rsp_prod);
	if (prod - cons > q->ring.req_prod_pvt - cons) {
		give_up(q, "more answers than requests");
		return;
	}
	xen_rmb();
	while (q->ring.rsp_cons != prod) {
		RING_COPY_RESPONSE(&q->ring, q->ring.rsp_cons, &rsp);
		q->ring.rsp_cons++;
		if (!answer(q, &rsp))
			return;
	}
}

/* Asks for an event at the next answer; true if there is one already. */
static bool arm(struct queue *q)
{
	if (!q->up || q->broken)
		return false;
	q->ring.sring->rsp_event = q->ring.rsp_cons + 1;
	xen_mb();
	return READ_ONCE(q->ring.sring->rsp_prod) != q->ring.rsp_cons;
}

/* Answers out, waiting requests in; an event at the next answer, unless somebody polls anyway. */
static void service(struct queue *q, bool want_event)
{
	bool enabled = lock(&q->lock);

	do
		drain(q);
	while (want_event && arm(q));
	leave(q, enabled, push(q));
}

static void ring_event(unsigned int port, void *data)
{
	struct queue *q = data;

	service(q, !__atomic_load_n(&q->disk->pollers, __ATOMIC_SEQ_CST));
}

/* ---- waiting ---- */

static void service_all(struct disk *d, bool want_event)
{
	for (unsigned int i = 0; i < d->info.queues; i++)
		service(&d->queue[i], want_event);
}

static bool reached(const unsigned int *done, unsigned int target)
{
	return (int)(__atomic_load_n(done, __ATOMIC_SEQ_CST) - target) >= 0;
}

static bool poll(struct disk *d, const unsigned int *done, unsigned int target, uint64_t deadline)
{
	bool found;

	__atomic_fetch_add(&d->pollers, 1, __ATOMIC_SEQ_CST);
	while (!(found = reached(done, target))) {
		if (time_ns() > deadline)
			break;
		service_all(d, false);
		__asm__ volatile("pause");
	}
	/* The last poller hands over to events, if anybody sleeps. */
	if (!__atomic_sub_fetch(&d->pollers, 1, __ATOMIC_SEQ_CST) &&
	    __atomic_load_n(&d->sleepers, __ATOMIC_SEQ_CST))
		service_all(d, true);
	return found;
}

void disk_wait(struct disk *d, const unsigned int *done, unsigned int target)
{
	uint64_t begin = time_ns(), expected = READ_ONCE(d->wait_ns) * 2, took;
	bool enabled;

	disk_kick(d);
	/* Polling pays only where the wait is likely to be short. */
	if (expected < 2 * POLL_MAX &&
	    poll(d, done, target, begin + (expected < POLL_MAX ? expected : POLL_MAX)))
		goto out;
	/* In this order: an answer that finds no sleeper came before we look. */
	__atomic_fetch_add(&d->sleepers, 1, __ATOMIC_SEQ_CST);
	while (!reached(done, target)) {
		service_all(d, true);
		enabled = lock(&d->wait_lock);
		if (!reached(done, target))
			thread_wait(d, ~0ull, &d->wait_lock);
		unlock(&d->wait_lock, enabled);
	}
	__atomic_fetch_sub(&d->sleepers, 1, __ATOMIC_SEQ_CST);
out:
	took = time_ns() - begin;
	/* One long wait is not to forbid polling for long. */
	if (took > 10 * POLL_MAX)
		took = 10 * POLL_MAX;
	WRITE_ONCE(d->wait_ns, (READ_ONCE(d->wait_ns) * 7 + took) / 8);
}

/* ---- connections come and go ---- */

void queues_start(struct disk *d)
{
	for (unsigned int i = 0; i < d->info.queues; i++)
		d->queue[i].live = true;
	service_all(d, true);
}

/* Requests that will never be answered wait again, before those that came later. */
static void take_back(struct queue *q)
{
	struct disk_request *later = q->first, *r;

	q->first = NULL;
	q->last = &q->first;
	for (unsigned int i = 0; i < ring_size(q); i++)
		if (q->slots[i].request)
			append(q, free_slot(q, i));
	while ((r = later) != NULL) {
		later = r->next;
		append(q, r);
	}
}

void queues_stop(struct disk *d, uint64_t patience)
{
	uint64_t deadline = time_ns() + patience;

	for (unsigned int i = 0; i < d->info.queues; i++) {
		struct queue *q = &d->queue[i];
		bool enabled = lock(&q->lock);

		q->live = false;
		unlock(&q->lock, enabled);
		while (READ_ONCE(q->in_flight) && time_ns() < deadline) {
			service(q, true);
			thread_sleep(MSEC);
		}
		enabled = lock(&q->lock);
		if (q->in_flight)
			take_back(q);
		unlock(&q->lock, enabled);
	}
}

void queues_fail(struct disk *d, int error)
{
	for (unsigned int i = 0; i < d->info.queues; i++) {
		struct queue *q = &d->queue[i];
		bool enabled = lock(&q->lock);

		while (q->first)
			end(q, take_first(q), error);
		leave(q, enabled, false);
	}
}
