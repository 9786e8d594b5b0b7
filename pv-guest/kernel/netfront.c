/* SPDX-License-Identifier: MIT */
/*
 * The network frontend: rings, and what a backend may not do to us. What it writes into a ring is
 * copied before it is looked at; ids, sizes and indices that cannot be end the traffic of this
 * interface, and of nothing else. netfront_bus.c makes the rings and finds the backend.
 */
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/lock.h>
#include <pv/netfront.h>

static void broken(struct netfront *f, const char *why)
{
	if (!f->broken)
		printf("net: %s: the backend is broken: %s\n", f->device->path, why);
	f->broken = why;
	f->up = false;
}

/* ---- to send ---- */

static netif_tx_request_t *tx_slot(struct netfront *f)
{
	return RING_GET_REQUEST(&f->tx, f->tx.req_prod_pvt++);
}

static void put_piece(struct netfront *f, const struct net_packet *p, unsigned int i, size_t total,
		      uint16_t flags)
{
	const struct net_piece *piece = &p->piece[i];
	uint16_t id = f->free_id[--f->free_ids];

	f->owner[id] = p->owner;
	*tx_slot(f) = (netif_tx_request_t){
		.gref = piece->ref,
		.offset = piece->offset,
		.id = id,
		/* The first says how long the packet is, the others how long they are. */
		.size = (uint16_t)(i ? piece->size : total),
		.flags = (uint16_t)(flags | (i + 1 < p->pieces ? NETTXF_more_data : 0)),
	};
}

static void put_segment_size(struct netfront *f, uint16_t size)
{
	*(netif_extra_info_t *)(void *)tx_slot(f) = (netif_extra_info_t){
		.type = XEN_NETIF_EXTRA_TYPE_GSO,
		.u.gso = {.size = size, .type = XEN_NETIF_GSO_TYPE_TCPV4},
	};
}

bool netfront_send(struct netfront *f, const struct net_packet *p)
{
	unsigned int slots = p->pieces + (p->segment ? 1 : 0);
	uint16_t flags = p->blank ? NETTXF_csum_blank | NETTXF_data_validated : 0;
	size_t total = 0;

	if (!f->up || slots > RING_FREE_REQUESTS(&f->tx) || p->pieces > f->free_ids) {
		f->tx_wanted = f->up;
		f->stats.tx_full++;
		return false;
	}
	for (unsigned int i = 0; i < p->pieces; i++)
		total += p->piece[i].size;
	put_piece(f, p, 0, total, (uint16_t)(flags | (p->segment ? NETTXF_extra_info : 0)));
	if (p->segment)
		put_segment_size(f, p->segment);
	for (unsigned int i = 1; i < p->pieces; i++)
		put_piece(f, p, i, total, 0);
	f->stats.tx_packets++;
	f->stats.tx_bytes += total;
	f->stats.tx_slots += slots;
	return true;
}

/* Packets that the backend has done with, well or not. */
static bool reap(struct netfront *f)
{
	RING_IDX prod = READ_ONCE(f->tx.sring->rsp_prod), cons = f->tx.rsp_cons;

	if (prod == cons)
		return false;
	if (prod - cons > f->tx.req_prod_pvt - cons) {
		broken(f, "it answered more than it was sent");
		return false;
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (; cons != prod; cons++) {
		netif_tx_response_t r =
			*(volatile netif_tx_response_t *)RING_GET_RESPONSE(&f->tx, cons);
		void *owner;

		/* The slot that held a segment size. */
		if (r.status == NETIF_RSP_NULL)
			continue;
		if (r.id >= NET_RING || !f->owner[r.id]) {
			broken(f, "it answered what was not sent");
			break;
		}
		f->stats.tx_errors += r.status != NETIF_RSP_OKAY;
		owner = f->owner[r.id];
		f->owner[r.id] = NULL;
		f->free_id[f->free_ids++] = r.id;
		net_sent(owner);
	}
	f->tx.rsp_cons = cons;
	f->tx_wanted = false;
	return true;
}

/* ---- to receive ---- */

void netfront_give(struct netfront *f, struct net_buffer *b)
{
	b->next = f->spare;
	f->spare = b;
}

/* Puts all spare buffers into the ring, each with its place as its id. */
static void post(struct netfront *f)
{
	while (f->up && f->spare && RING_FREE_REQUESTS(&f->rx)) {
		RING_IDX at = f->rx.req_prod_pvt;
		struct net_buffer *b = f->spare;

		f->spare = b->next;
		f->posted[at % NET_RING] = b;
		*RING_GET_REQUEST(&f->rx, at) =
			(netif_rx_request_t){.id = (uint16_t)(at % NET_RING), .gref = b->ref};
		f->rx.req_prod_pvt = at + 1;
	}
}

static void drop(struct netfront *f)
{
	for (unsigned int i = 0; i < f->packet.slices; i++)
		netfront_give(f, f->packet.slice[i].buffer);
	f->packet.slices = 0;
}

/* One slot's data, and what of it can be used. */
static void take_data(struct netfront *f, struct net_buffer *b, const netif_rx_response_t *r)
{
	struct net_received *p = &f->packet;

	if (r->status < 0 || r->offset > PAGE_SIZE ||
	    (unsigned int)r->status > PAGE_SIZE - r->offset || p->slices == NET_PIECES ||
	    p->total + (unsigned int)r->status > NET_MAX) {
		f->bad = true;
		netfront_give(f, b);
		return;
	}
	p->slice[p->slices++] = (struct net_slice){b, r->offset, (uint16_t)r->status};
	p->total += (unsigned int)r->status;
}

/* The packet's last slot was taken: up with it, unless something was wrong. */
static void packet_end(struct netfront *f)
{
	if (f->bad || !f->packet.total) {
		f->stats.rx_errors++;
		drop(f);
	} else {
		f->stats.rx_packets++;
		f->stats.rx_bytes += f->packet.total;
		net_received(f, &f->packet);
	}
	f->packet.slices = f->packet.total = 0;
	f->packet.checked = f->bad = false;
}

/* A slot that holds no data but a word about the packet. How long segments were: we need not know.
 */
static void take_extra(struct netfront *f, struct net_buffer *b, const netif_extra_info_t *x)
{
	f->bad |= x->type == XEN_NETIF_EXTRA_TYPE_NONE || x->type >= XEN_NETIF_EXTRA_TYPE_MAX;
	f->extra = x->flags & XEN_NETIF_EXTRA_FLAG_MORE;
	netfront_give(f, b);
}

static bool take_slot(struct netfront *f, RING_IDX at)
{
	union {
		netif_rx_response_t data;
		netif_extra_info_t extra;
	} r;
	struct net_buffer *b = f->posted[at % NET_RING];

	r.data = *(volatile netif_rx_response_t *)RING_GET_RESPONSE(&f->rx, at);
	f->posted[at % NET_RING] = NULL;
	f->stats.rx_slots++;
	if (f->extra) {
		take_extra(f, b, &r.extra);
	} else if (r.data.id != at % NET_RING) {
		netfront_give(f, b);
		broken(f, "it filled what was not next");
		return false;
	} else {
		if (!f->more)
			f->packet.checked = r.data.flags &
					    (NETRXF_data_validated | NETRXF_csum_blank);
		f->more = r.data.flags & NETRXF_more_data;
		f->extra = r.data.flags & NETRXF_extra_info;
		take_data(f, b, &r.data);
	}
	if (!f->more && !f->extra)
		packet_end(f);
	return true;
}

static bool receive(struct netfront *f)
{
	RING_IDX prod = READ_ONCE(f->rx.sring->rsp_prod), cons = f->rx.rsp_cons;

	if (prod == cons)
		return false;
	if (prod - cons > f->rx.req_prod_pvt - cons) {
		broken(f, "it filled more than it was given");
		return false;
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	while (cons != prod && take_slot(f, cons))
		f->rx.rsp_cons = ++cons;
	return true;
}

/* ---- both ---- */

bool netfront_poll(struct netfront *f)
{
	bool sent, received;

	if (!f->up)
		return false;
	sent = reap(f);
	received = f->up && receive(f);
	return sent || received;
}

static void notify(struct netfront *f, unsigned int port)
{
	f->stats.notifies++;
	event_send(port);
}

void netfront_flush(struct netfront *f)
{
	int wanted;

	if (!f->up)
		return;
	post(f);
	if (f->rx.req_prod_pvt != f->rx.sring->req_prod) {
		RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&f->rx, wanted);
		if (wanted)
			notify(f, f->rx_port);
	}
	if (f->tx.req_prod_pvt != f->tx.sring->req_prod) {
		RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&f->tx, wanted);
		if (wanted)
			notify(f, f->tx_port);
	}
}

bool netfront_ready(const struct netfront *f)
{
	return f->up && (READ_ONCE(f->rx.sring->rsp_prod) != f->rx.rsp_cons ||
			 (f->tx_wanted && READ_ONCE(f->tx.sring->rsp_prod) != f->tx.rsp_cons));
}

/* Packets sent are no news, unless somebody waits for their room: then half of them are. */
bool netfront_arm(struct netfront *f)
{
	if (!f->up)
		return false;
	WRITE_ONCE(f->rx.sring->rsp_event, f->rx.rsp_cons + 1);
	if (f->tx_wanted)
		WRITE_ONCE(f->tx.sring->rsp_event,
			   f->tx.rsp_cons + (f->tx.req_prod_pvt - f->tx.rsp_cons) / 2 + 1);
	mb();
	return netfront_ready(f);
}
