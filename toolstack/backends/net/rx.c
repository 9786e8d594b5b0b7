/* SPDX-License-Identifier: MIT */
/*
 * Frames to the guest (xen/io/netif.h, "Guest receive"). Requests are taken and answered in order,
 * each response in its request's slot. An extra info overlays the response of the second slot.
 */
#include <string.h>

#include "toolstack/backends/net/net.h"

struct rx_batch {
	unsigned nr_slots, nr_segs;
	struct seg segs[NET_RING_SLOTS];
	union netif_rx_sring_entry rsp[NET_RING_SLOTS];
	int16_t seg_of[NET_RING_SLOTS]; /* -1: an extra */
};

void rxq_init(struct rxq *q, struct netif_rx_sring *s, RING_IDX from)
{
	BACK_RING_ATTACH(&q->ring, s, from, NET_PAGE);
}

static unsigned pages(const struct frame *f)
{
	return (f->len + NET_PAGE - 1) / NET_PAGE;
}

unsigned rx_slots(const struct frame *f)
{
	return pages(f) + !!f->gso_size;
}

/* Can this frontend take such a frame at all? */
static bool acceptable(const struct rxq *q, const struct frame *f)
{
	if (pages(f) > (q->sg ? NET_MAX_FRAGS : 1))
		return false;
	if (!f->gso_size)
		return true;
	return q->sg && (f->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 ? q->gso4 : q->gso6);
}

/* A blank checksum goes only to frontends that take one. */
static bool settle_csum(const struct rxq *q, struct frame *f)
{
	struct headers h;

	if (f->csum != CSUM_BLANK)
		return true;
	if (headers_parse(f->data, f->len, &h))
		return false;
	if (h.version == 4 ? !q->no_csum4 : q->csum6)
		return true;
	return !csum_fill(f);
}

static uint16_t flags_of(const struct frame *f)
{
	uint16_t flags = f->gso_size ? NETRXF_extra_info : 0;

	if (f->csum == CSUM_BLANK)
		flags |= NETRXF_csum_blank | NETRXF_data_validated;
	else if (f->csum == CSUM_VALID)
		flags |= NETRXF_data_validated;
	return flags;
}

static void add_extra(struct rx_batch *b, const struct frame *f)
{
	struct netif_extra_info e = {.type = XEN_NETIF_EXTRA_TYPE_GSO};

	e.u.gso.size = f->gso_size;
	e.u.gso.type = f->gso_type;
	memcpy(&b->rsp[b->nr_slots], &e, sizeof(e));
	b->seg_of[b->nr_slots++] = -1;
}

/* Lay one frame over the next requests. */
static void add_frame(struct rxq *q, struct rx_batch *b, const struct frame *f)
{
	const unsigned n = pages(f);

	for (unsigned i = 0; i < n; i++) {
		const uint32_t at = i * NET_PAGE;
		const uint16_t len = f->len - at < NET_PAGE ? f->len - at : NET_PAGE;
		struct netif_rx_request r;

		RING_COPY_REQUEST(&q->ring, q->ring.req_cons + b->nr_slots, &r);
		b->segs[b->nr_segs] =
			(struct seg){.ref = r.gref, .off = 0, .len = len, .buf = f->data + at};
		b->rsp[b->nr_slots].rsp = (struct netif_rx_response){
			.id = r.id,
			.flags = (i ? 0 : flags_of(f)) | (i + 1 < n ? NETRXF_more_data : 0),
			.status = len,
		};
		b->seg_of[b->nr_slots++] = b->nr_segs++;
		if (!i && f->gso_size)
			add_extra(b, f);
	}
}

static bool push(struct rxq *q)
{
	struct netif_rx_sring *s = q->ring.sring;
	const RING_IDX old = s->rsp_prod, new = q->ring.rsp_prod_pvt;

	__atomic_store_n(&s->rsp_prod, new, __ATOMIC_RELEASE);
	xen_mb();
	return new - __atomic_load_n(&s->rsp_event, __ATOMIC_RELAXED) < new - old;
}

static void finish(struct rxq *q, struct rx_batch *b, bool *notify)
{
	if (!b->nr_slots)
		return;
	q->grants.copy(q->grants.ctx, b->segs, b->nr_segs, true);
	for (unsigned i = 0; i < b->nr_slots; i++) {
		const int s = b->seg_of[i];

		if (s >= 0 && b->segs[s].status != GNTST_okay) {
			b->rsp[i].rsp.status = NETIF_RSP_ERROR;
			q->stats.errors++;
		}
		*RING_GET_RESPONSE(&q->ring, q->ring.rsp_prod_pvt + i) = b->rsp[i].rsp;
	}
	q->ring.req_cons += b->nr_slots;
	q->ring.rsp_prod_pvt += b->nr_slots;
	*notify |= push(q);
}

static int room(const struct rxq *q)
{
	const RING_IDX prod = __atomic_load_n(&q->ring.sring->req_prod, __ATOMIC_ACQUIRE);
	const RING_IDX n = prod - q->ring.req_cons;

	return n > NET_RING_SLOTS ? -1 : (int)n;
}

int rx_send(struct rxq *q, struct frame *f, unsigned n, bool *notify)
{
	struct rx_batch b;
	const int have = room(q);
	unsigned i;

	b.nr_slots = b.nr_segs = 0;
	if (have < 0)
		return -1;
	for (i = 0; i < n; i++, f++) {
		if (!acceptable(q, f) || !settle_csum(q, f)) {
			q->stats.dropped++;
			continue;
		}
		if (b.nr_slots + rx_slots(f) > (unsigned)have)
			break;
		add_frame(q, &b, f);
		q->stats.frames++;
		q->stats.bytes += f->len;
	}
	finish(q, &b, notify);
	return i;
}

bool rx_sleep(struct rxq *q, unsigned slots)
{
	__atomic_store_n(&q->ring.sring->req_event, q->ring.req_cons + slots, __ATOMIC_RELAXED);
	xen_mb();
	return (unsigned)room(q) >= slots;
}
