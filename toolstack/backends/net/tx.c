/* SPDX-License-Identifier: MIT */
/*
 * Frames from the guest (xen/io/netif.h, "Guest transmit"). A run takes whole frames off the ring,
 * copies the bytes of all of them in one go, sends them, and only then publishes the responses,
 * each in its request's slot: the shared rsp_prod therefore always stands between two frames, and
 * tells a successor where to go on.
 */
#include <stdlib.h>
#include <string.h>

#include "toolstack/backends/net/net.h"

#define BATCH 64U

struct tx_frame {
	unsigned slots;	  /* of the ring, extras with them */
	unsigned nr_segs; /* 0: refused already */
	struct seg *segs;
	struct frame f;
};

struct batch {
	unsigned nr_frames, nr_slots, nr_segs, used;
	struct tx_frame frames[BATCH];
	struct seg segs[NET_RING_SLOTS];
	uint16_t id[NET_RING_SLOTS];
	bool extra[NET_RING_SLOTS];
};

enum taken {
	TAKEN,	/* a frame, or slots to refuse */
	AGAIN,	/* not now: nothing was taken */
	BROKEN, /* what a slot is cannot be told any more */
};

int txq_init(struct txq *q, struct netif_tx_sring *s, RING_IDX from)
{
	BACK_RING_ATTACH(&q->ring, s, from, NET_PAGE);
	q->seen = from;
	q->skip = q->part = false;
	q->throttled = 0;
	if (!q->buf)
		q->buf = malloc(TX_BUF);
	return q->buf ? 0 : -1;
}

void txq_free(struct txq *q)
{
	free(q->buf);
	q->buf = NULL;
}

static RING_IDX req_prod(const struct txq *q)
{
	return __atomic_load_n(&q->ring.sring->req_prod, __ATOMIC_ACQUIRE);
}

/* The one copy of a slot: 12 bytes that are a request or an extra. */
static void slot_copy(const struct txq *q, RING_IDX i, struct netif_tx_request *r)
{
	RING_COPY_REQUEST(&q->ring, i, r);
}

/* false: of a type or a content that this backend did not offer. */
static bool extra_apply(const struct netif_tx_request *slot, struct frame *f, bool *more)
{
	struct netif_extra_info e;

	memcpy(&e, slot, sizeof(e));
	*more = e.flags & XEN_NETIF_EXTRA_FLAG_MORE;
	switch (e.type) {
	case XEN_NETIF_EXTRA_TYPE_GSO:
		f->gso_size = e.u.gso.size;
		f->gso_type = e.u.gso.type;
		return f->gso_size && (f->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 ||
				       f->gso_type == XEN_NETIF_GSO_TYPE_TCPV6);
	case XEN_NETIF_EXTRA_TYPE_HASH: return true; /* of no use here, and harmless */
	default: return false;
	}
}

/* A chain's slots as they are read: a cursor that ends with what the frontend has published. */
struct cursor {
	const struct txq *q;
	RING_IDX next;
	unsigned left;
};

static bool next(struct cursor *c, struct netif_tx_request *r)
{
	if (!c->left)
		return false;
	slot_copy(c->q, c->next++, r);
	c->left--;
	return true;
}

static void note_slot(struct batch *b, unsigned n, const struct netif_tx_request *r, bool extra)
{
	b->id[b->nr_slots + n] = r->id;
	b->extra[b->nr_slots + n] = extra;
}

static enum csum csum_of(const struct netif_tx_request *r, const struct frame *f)
{
	if ((r->flags & NETTXF_csum_blank) || f->gso_size)
		return CSUM_BLANK;
	return r->flags & NETTXF_data_validated ? CSUM_VALID : CSUM_NONE;
}

/*
 * Read one chain into b->frames[b->nr_frames], nothing is taken yet. The first slot says how long
 * the frame is, the others how long they are themselves: what is left is the first one's.
 */
static enum taken read_chain(struct txq *q, struct batch *b, struct cursor *c, struct tx_frame *t)
{
	struct netif_tx_request r, first;
	struct seg *s = b->segs + b->nr_segs;
	uint32_t rest = 0;
	unsigned n = 0, extras = 0, frags = 0;
	bool more, good = true;

	memset(t, 0, sizeof(*t));
	t->segs = s;
	if (!next(c, &first))
		return AGAIN;
	note_slot(b, n++, &first, false);
	for (more = first.flags & NETTXF_extra_info; more; extras++) {
		if (extras == NET_MAX_EXTRAS)
			return BROKEN;
		if (!next(c, &r))
			return AGAIN;
		note_slot(b, n++, &r, true);
		good &= extra_apply(&r, &t->f, &more);
	}
	r = first;
	do {
		if (frags == NET_MAX_FRAGS) {
			q->skip = true;
			good = false;
			break;
		}
		if (frags) {
			if (!next(c, &r))
				return AGAIN;
			note_slot(b, n++, &r, false);
			rest += r.size;
		}
		good &= r.offset + r.size <= NET_PAGE || !frags;
		s[frags++] = (struct seg){.ref = r.gref, .off = r.offset, .len = r.size};
	} while (r.flags & NETTXF_more_data);
	good &= first.size >= ETH_HEADER && first.size > rest &&
		first.offset + first.size - rest <= NET_PAGE;
	t->slots = n;
	if (!good)
		return TAKEN;
	s[0].len = first.size - rest;
	t->nr_segs = frags;
	t->f.len = first.size;
	t->f.csum = csum_of(&first, &t->f);
	return TAKEN;
}

static enum taken read_skipped(struct txq *q, struct batch *b, struct cursor *c, struct tx_frame *t)
{
	struct netif_tx_request r;

	memset(t, 0, sizeof(*t));
	if (!next(c, &r))
		return AGAIN;
	note_slot(b, 0, &r, false);
	q->skip = r.flags & NETTXF_more_data;
	t->slots = 1;
	return TAKEN;
}

/* Is there room in the batch's buffer and in the bucket? */
static bool admit(struct txq *q, const struct batch *b, const struct tx_frame *t, uint64_t now)
{
	if (!t->nr_segs)
		return true;
	if (t->f.len > TX_BUF - b->used)
		return false;
	if (!q->bucket || bucket_take(q->bucket, t->f.len, now))
		return true;
	q->throttled = t->f.len;
	return false;
}

static enum taken gather(struct txq *q, struct batch *b, unsigned avail, uint64_t now)
{
	struct cursor c = {q, q->ring.req_cons, avail};

	while (b->nr_frames < BATCH && c.left) {
		struct tx_frame *t = b->frames + b->nr_frames;
		enum taken how = q->skip ? read_skipped(q, b, &c, t) : read_chain(q, b, &c, t);
		uint8_t *at = q->buf + b->used;

		if (how == BROKEN)
			return BROKEN;
		q->part = how == AGAIN;
		if (how == AGAIN || !admit(q, b, t, now))
			break;
		t->f.data = at;
		for (unsigned i = 0; i < t->nr_segs; at += t->segs[i++].len)
			t->segs[i].buf = at;
		b->used += (t->nr_segs ? t->f.len + 7 : 0) & ~7U;
		b->nr_segs += t->nr_segs;
		b->nr_slots += t->slots;
		b->nr_frames++;
	}
	return TAKEN;
}

static int16_t send_one(struct txq *q, struct tx_frame *t)
{
	bool good = t->nr_segs;

	for (unsigned i = 0; i < t->nr_segs; i++)
		good &= t->segs[i].status == GNTST_okay;
	if (!good || (t->f.gso_size && !gso_sane(&t->f))) {
		q->stats.errors++;
		return NETIF_RSP_ERROR;
	}
	if (q->mac && memcmp(t->f.data + 6, q->mac, 6)) {
		q->stats.spoofed++;
		return NETIF_RSP_DROPPED;
	}
	q->stats.frames++;
	q->stats.bytes += t->f.len;
	if (!q->send(q->ctx, &t->f))
		return NETIF_RSP_OKAY;
	q->stats.errors++;
	return NETIF_RSP_ERROR;
}

static void answer(struct txq *q, const struct batch *b, unsigned slot, unsigned n, int16_t status)
{
	for (unsigned i = slot; i < slot + n; i++) {
		struct netif_tx_response *r = RING_GET_RESPONSE(&q->ring, q->ring.rsp_prod_pvt);

		r->id = b->id[i];
		r->status = b->extra[i] ? NETIF_RSP_NULL : status;
		q->ring.rsp_prod_pvt++;
	}
}

/* Publish the responses. true: the frontend asked for an event with one of them. */
static bool push(struct txq *q)
{
	struct netif_tx_sring *s = q->ring.sring;
	const RING_IDX old = s->rsp_prod, new = q->ring.rsp_prod_pvt;

	__atomic_store_n(&s->rsp_prod, new, __ATOMIC_RELEASE);
	xen_mb();
	return new - __atomic_load_n(&s->rsp_event, __ATOMIC_RELAXED) < new - old;
}

int tx_run(struct txq *q, uint64_t now, bool *notify)
{
	struct batch b;
	unsigned avail, slot = 0;

	b.nr_frames = b.nr_slots = b.nr_segs = b.used = 0; /* and not all of it: it is large */
	q->seen = req_prod(q);
	avail = q->seen - q->ring.req_cons;
	q->throttled = 0;
	q->part = false;
	if (avail > NET_RING_SLOTS || gather(q, &b, avail, now) == BROKEN)
		return -1;
	if (!b.nr_frames)
		return 0;
	if (b.nr_segs)
		q->grants.copy(q->grants.ctx, b.segs, b.nr_segs, false);
	q->ring.req_cons += b.nr_slots;
	for (unsigned i = 0; i < b.nr_frames; i++) {
		answer(q, &b, slot, b.frames[i].slots, send_one(q, b.frames + i));
		slot += b.frames[i].slots;
	}
	*notify |= push(q);
	return b.nr_slots;
}

bool tx_pending(const struct txq *q)
{
	const RING_IDX prod = req_prod(q);

	return prod != q->ring.req_cons && !(q->part && prod == q->seen);
}

bool tx_sleep(struct txq *q)
{
	__atomic_store_n(&q->ring.sring->req_event, req_prod(q) + 1, __ATOMIC_RELAXED);
	xen_mb();
	return tx_pending(q);
}
