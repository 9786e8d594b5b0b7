/* SPDX-License-Identifier: MIT */
/* A frontend in this process: two rings, pages that grants name, and a wire that keeps frames. */
#ifndef PAVANE_FAKE_NETFRONT_H
#define PAVANE_FAKE_NETFRONT_H

#include <stdlib.h>
#include <string.h>

#include "toolstack/backends/net/net.h"

#define FAKE_PAGES 512U
#define FAKE_SENT  256U

struct fake {
	struct netif_tx_sring *tx; /* the shared rings, a page each */
	struct netif_rx_sring *rx;
	RING_IDX tx_prod, rx_prod;
	uint8_t *pages; /* grant reference n is page n */
	uint32_t bad_ref;
	struct txq txq;
	struct rxq rxq;
	unsigned copies; /* calls of the copy operation */
	/* what the wire got */
	unsigned nr_sent;
	struct frame sent[FAKE_SENT];
	int refuse;
};

static inline void fake_copy(void *ctx, struct seg *s, unsigned n, bool to_guest)
{
	struct fake *f = ctx;

	f->copies++;
	for (; n--; s++) {
		if (s->ref >= FAKE_PAGES || s->ref == f->bad_ref) {
			s->status = GNTST_bad_gntref;
			continue;
		}
		if (s->off + s->len > NET_PAGE)
			abort(); /* the backend checks that */
		if (to_guest)
			memcpy(f->pages + s->ref * NET_PAGE + s->off, s->buf, s->len);
		else
			memcpy(s->buf, f->pages + s->ref * NET_PAGE + s->off, s->len);
		s->status = GNTST_okay;
	}
}

static inline int fake_send(void *ctx, struct frame *f)
{
	struct fake *k = ctx;
	struct frame *copy = &k->sent[k->nr_sent % FAKE_SENT];

	if (k->refuse)
		return -1;
	free(copy->data);
	*copy = *f;
	copy->data = malloc(f->len);
	memcpy(copy->data, f->data, f->len);
	k->nr_sent++;
	return 0;
}

/* As new; the pages keep their bytes. */
static inline void fake_reset(struct fake *f)
{
	uint8_t *buf = f->txq.buf;

	SHARED_RING_INIT(f->tx);
	SHARED_RING_INIT(f->rx);
	memset(&f->txq, 0, sizeof(f->txq));
	memset(&f->rxq, 0, sizeof(f->rxq));
	f->txq.buf = buf;
	f->tx_prod = f->rx_prod = 0;
	f->bad_ref = ~0U;
	f->txq.grants = f->rxq.grants = (struct grant_ops){fake_copy, f};
	f->txq.send = fake_send;
	f->txq.ctx = f;
	txq_init(&f->txq, f->tx, 0);
	rxq_init(&f->rxq, f->rx, 0);
}

static inline struct fake *fake_new(void)
{
	struct fake *f = calloc(1, sizeof(*f));

	f->tx = aligned_alloc(NET_PAGE, NET_PAGE);
	f->rx = aligned_alloc(NET_PAGE, NET_PAGE);
	f->pages = calloc(FAKE_PAGES, NET_PAGE);
	fake_reset(f);
	return f;
}

static inline void fake_free(struct fake *f)
{
	txq_free(&f->txq);
	for (unsigned i = 0; i < FAKE_SENT; i++)
		free(f->sent[i].data);
	free(f->pages);
	free(f->tx);
	free(f->rx);
	free(f);
}

/* Put a request into the next slot of the tx ring; fake_kick publishes. */
static inline void fake_tx(struct fake *f, uint32_t ref, uint16_t off, uint16_t size,
			   uint16_t flags)
{
	f->tx->ring[f->tx_prod % NET_RING_SLOTS].req = (struct netif_tx_request){
		.gref = ref, .offset = off, .flags = flags, .id = f->tx_prod, .size = size};
	f->tx_prod++;
}

static inline void fake_tx_extra(struct fake *f, struct netif_extra_info e)
{
	memset(&f->tx->ring[f->tx_prod % NET_RING_SLOTS], 0xee, sizeof(f->tx->ring[0]));
	memcpy(&f->tx->ring[f->tx_prod % NET_RING_SLOTS], &e, sizeof(e));
	f->tx_prod++;
}

static inline void fake_kick(struct fake *f)
{
	f->tx->req_prod = f->tx_prod;
}

static inline void fake_rx(struct fake *f, uint32_t ref)
{
	f->rx->ring[f->rx_prod % NET_RING_SLOTS].req =
		(struct netif_rx_request){.id = f->rx_prod % NET_RING_SLOTS, .gref = ref};
	f->rx->req_prod = ++f->rx_prod;
}

/*
 * An Ethernet frame with a TCP or UDP packet over IPv4 or IPv6, `payload` bytes of a pattern. Its
 * length.
 */
static inline uint32_t fake_packet(uint8_t *p, int version, int proto, uint32_t payload)
{
	const uint32_t l4 = proto == 6 ? 20 : 8, l3 = version == 4 ? 20 : 40;
	uint8_t *ip = p + 14, *t = ip + l3;

	memset(p, 0, 14 + l3 + l4);
	memcpy(p, "\x52\x54\x00\x00\x00\x02\x00\x16\x3e\x00\x00\x01", 12);
	p[12] = version == 4 ? 0x08 : 0x86;
	p[13] = version == 4 ? 0x00 : 0xdd;
	if (version == 4) {
		ip[0] = 0x45;
		ip[2] = (l3 + l4 + payload) >> 8;
		ip[3] = l3 + l4 + payload;
		ip[8] = 64;
		ip[9] = proto;
		memcpy(ip + 12, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
	} else {
		ip[0] = 0x60;
		ip[4] = (l4 + payload) >> 8;
		ip[5] = l4 + payload;
		ip[6] = proto;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfe;
		ip[23] = 1;
		ip[39] = 2;
	}
	t[0] = 0x30;
	t[1] = 0x39;
	t[3] = 80;
	if (proto == 6) {
		t[12] = 0x50;
		t[13] = 0x18;
	} else {
		t[4] = (l4 + payload) >> 8;
		t[5] = l4 + payload;
	}
	for (uint32_t i = 0; i < payload; i++)
		t[l4 + i] = i * 7 + (i >> 8);
	return 14 + l3 + l4 + payload;
}

#endif
