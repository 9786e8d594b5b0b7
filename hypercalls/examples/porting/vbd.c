/* SPDX-License-Identifier: MIT */
/*
 * The port: the same disk.h by blkif. Buffers wait in a queue until the ring takes them; then
 * several are at the disk at once.
 *
 * Data goes through a page of the driver's for each request, granted once: a grant gives away whole
 * pages, and what lies beside a buffer's 512 bytes is none of the backend's business.
 */
#include <pv/lib.h>
#include <pavane/ring.h>
#include <xen/io/blkif.h>
#include <xen/io/protocols.h>
#include "disk.h"
#include "xen.h"

#define DEVICE	 "device/vbd/51712" /* xvda */
#define HANDLE	 51712
#define REQUESTS __CONST_RING_SIZE(blkif, PAGE)
#define BIT(s)	 (1u << (s))
#define STOPPED	 (BIT(XenbusStateUnknown) | BIT(XenbusStateClosing) | BIT(XenbusStateClosed))

static const uint8_t commands[] = {
	[DISK_READ] = BLKIF_OP_READ,
	[DISK_WRITE] = BLKIF_OP_WRITE,
	[DISK_FLUSH] = BLKIF_OP_FLUSH_DISKCACHE,
};

static struct buf *queue;
static uint32_t sectors;
static bool can_flush;

static char backend[PV_XENBUS_PATH];
static domid_t backend_id;
static evtchn_port_t port;

static union {
	blkif_sring_t ring;
	char page[PAGE];
} shared __attribute__((aligned(PAGE)));
static blkif_front_ring_t ring;
static grant_ref_t ring_ref;

/* A request's number in the ring's messages is its index here. */
static struct {
	struct buf *b; /* NULL: free */
	grant_ref_t ref;
} slots[REQUESTS];
static char pages[REQUESTS][PAGE] __attribute__((aligned(PAGE)));

static void disk_done(struct buf *b, bool failed)
{
	b->failed = failed;
	b->done = true;
}

static void disk_request(struct buf *b, unsigned int slot)
{
	struct blkif_request *req = RING_GET_REQUEST(&ring, ring.req_prod_pvt++);

	slots[slot].b = b;
	if (b->op == DISK_WRITE)
		memcpy(pages[slot], b->data, SECTOR);
	req->operation = commands[b->op];
	req->handle = HANDLE;
	req->id = slot;
	req->sector_number = b->op == DISK_FLUSH ? 0 : b->sector;
	req->nr_segments = b->op == DISK_FLUSH ? 0 : 1;
	req->seg[0].gref = slots[slot].ref;
	req->seg[0].first_sect = 0;
	req->seg[0].last_sect = 0;
}

/* Gives the ring as much of the queue as it takes. */
static void disk_start(void)
{
	bool notify;

	for (unsigned int slot = 0; queue && slot < REQUESTS; slot++) {
		struct buf *b = queue;

		if (slots[slot].b)
			continue;
		queue = b->next;
		disk_request(b, slot);
	}
	RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&ring, notify);
	if (notify)
		pv_event_send(port);
}

/* The backend says what cannot be: nothing of it is believed from now on. */
static void disk_give_up(void)
{
	printf("disk: the backend lies\n");
	port_enable(port, NULL);
	sectors = 0;
	for (unsigned int slot = 0; slot < REQUESTS; slot++)
		if (slots[slot].b)
			disk_done(slots[slot].b, true);
	for (; queue; queue = queue->next)
		disk_done(queue, true);
}

/* False: there is no such request. */
static bool disk_response(const struct blkif_response *rsp)
{
	struct buf *b = rsp->id < REQUESTS ? slots[rsp->id].b : NULL;

	if (!b)
		return false;
	if (b->op == DISK_READ)
		memcpy(b->data, pages[rsp->id], SECTOR);
	slots[rsp->id].b = NULL;
	disk_done(b, rsp->status != BLKIF_RSP_OKAY);
	return true;
}

static void disk_intr(void)
{
	struct blkif_response rsp;
	RING_IDX waiting;
	bool more;

	do {
		PV_FRONT_RING_RESPONSES(&ring, &waiting);
		if (waiting == PV_RING_LIE)
			return disk_give_up();
		while (waiting--) {
			RING_COPY_RESPONSE(&ring, ring.rsp_cons++, &rsp);
			if (!disk_response(&rsp))
				return disk_give_up();
		}
		RING_FINAL_CHECK_FOR_RESPONSES(&ring, more);
	} while (more);
	disk_start();
}

void disk_submit(struct buf *b)
{
	struct buf **end = &queue;
	bool enabled = pv_upcalls_save(VCPU);

	b->done = false;
	b->next = NULL;
	if (!sectors || (b->op != DISK_FLUSH && b->sector >= sectors)) {
		disk_done(b, true);
	} else if (b->op == DISK_FLUSH && !can_flush) {
		disk_done(b, false);
	} else {
		while (*end)
			end = &(*end)->next;
		*end = b;
		disk_start();
	}
	pv_upcalls_restore(VCPU, enabled);
}

bool disk_wait(struct buf *b)
{
	bool enabled = pv_upcalls_save(VCPU);

	while (!b->done) {
		pv_block();
		pv_upcalls_disable(VCPU);
	}
	pv_upcalls_restore(VCPU, enabled);
	return !b->failed;
}

/* Something to share: the ring and the pages by grants, a port to call each other by. */
static bool disk_share(void)
{
	PV_FRONT_RING_INIT(&ring, &shared.ring, PAGE);
	ring_ref = pv_grant(&grants, backend_id, frame_of(&shared), false);
	if (ring_ref == PV_GRANT_NONE || pv_event_alloc(backend_id, &port))
		return false;
	for (unsigned int slot = 0; slot < REQUESTS; slot++) {
		slots[slot].ref = pv_grant(&grants, backend_id, frame_of(pages[slot]), false);
		if (slots[slot].ref == PV_GRANT_NONE)
			return false;
	}
	return true;
}

/* Tells the backend where to find it. The state comes last: it says that the rest is there. */
static bool disk_offer(void)
{
	return !pv_xenbus_write_number(&store, DEVICE, "ring-ref", ring_ref) &&
	       !pv_xenbus_write_number(&store, DEVICE, "event-channel", port) &&
	       !pv_xenbus_write(&store, DEVICE, "protocol", XEN_IO_PROTO_ABI_NATIVE) &&
	       !pv_xenbus_write_number(&store, DEVICE, "state", XenbusStateInitialised);
}

/* What IDENTIFY was. */
static bool disk_identify(void)
{
	uint64_t size, bytes, flush = 0;

	if (pv_xenbus_read_number(&store, backend, "sectors", &size) ||
	    pv_xenbus_read_number(&store, backend, "sector-size", &bytes) || bytes != SECTOR)
		return false;
	pv_xenbus_read_number(&store, backend, "feature-flush-cache", &flush);
	can_flush = flush;
	sectors = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
	return true;
}

bool disk_init(void)
{
	uint64_t id;

	if (pv_xenbus_read(&store, DEVICE, "backend", backend, sizeof(backend)) < 0 ||
	    pv_xenbus_read_number(&store, DEVICE, "backend-id", &id) ||
	    pv_xenbus_watch(&store, backend))
		return false;
	backend_id = (domid_t)id;
	if (pv_xenbus_wait(&store, backend, BIT(XenbusStateInitWait) | STOPPED) !=
		    XenbusStateInitWait ||
	    !disk_share() || !disk_offer() ||
	    pv_xenbus_wait(&store, backend, BIT(XenbusStateConnected) | STOPPED) !=
		    XenbusStateConnected ||
	    !disk_identify() ||
	    pv_xenbus_write_number(&store, DEVICE, "state", XenbusStateConnected))
		return false;
	port_enable(port, disk_intr);
	return true;
}

uint32_t disk_sectors(void)
{
	return sectors;
}

/* False: the backend has it mapped still. Then the page is its own for ever. */
static bool disk_unshare(void)
{
	bool all = pv_grant_end(&grants, ring_ref);

	for (unsigned int slot = 0; slot < REQUESTS; slot++)
		all &= pv_grant_end(&grants, slots[slot].ref);
	return all;
}

void disk_close(void)
{
	static struct buf last;

	disk_flush(&last);
	sectors = 0;
	pv_xenbus_write_number(&store, DEVICE, "state", XenbusStateClosing);
	pv_xenbus_wait(&store, backend, STOPPED);
	pv_xenbus_write_number(&store, DEVICE, "state", XenbusStateClosed);
	pv_xenbus_wait(&store, backend, STOPPED & ~BIT(XenbusStateClosing));
	port_enable(port, NULL);
	pv_event_close(port);
	if (!disk_unshare())
		printf("disk: the backend has kept pages\n");
	pv_xenbus_unwatch(&store, backend);
}
