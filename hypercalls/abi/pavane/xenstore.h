/* SPDX-License-Identifier: MIT */
/*
 * A xenstore client over the page that start_info->store_mfn names. One request at a time, its
 *reply found by the request's number; watch events that come between are handed to the OS.
 *
 * The OS fills in the first members of struct pv_xs, the rest starts as zeros. Functions return a
 * length or 0, or a negative number of pavane/errno.h: what the store answered, or
 *	-PV_ETIMEDOUT	wait() gave up; the reply, should it still come, is skipped
 *	-PV_E2BIG	the reply is longer than the caller's buffer, or the request than allowed
 *	-PV_EIO		wait() gave up in the middle of a message, or the ring holds nonsense: then
 *			and ever after, for nobody knows where the next message starts
 * No locks: one caller at a time, also while wait() sleeps.
 *
 * A path that does not start with "/" is relative to the domain's own, /local/domain/N.
 */
#ifndef PAVANE_XENSTORE_H
#define PAVANE_XENSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pavane/barrier.h>
#include <pavane/errno.h>
#include <xen/io/xs_wire.h>

struct pv_xs {
	struct xenstore_domain_interface *ring;
	/* Sends an event to start_info->store_evtchn. */
	void (*notify)(void *os);
	/*
	 * Sleeps until an event of that port came, and not at all if one came since the last call
	 * returned: it may have come between the look at the ring and this. May return early.
	 * False gives up.
	 */
	bool (*wait)(void *os);
	/* A watch fired; "" for what is too long. May be NULL. Must not call these functions. */
	void (*watched)(void *os, const char *path, const char *token);
	void *os; /* the argument of all three */

	uint32_t last_id;
	bool fired;  /* a watch, since pv_xs_wait_watch() returned */
	bool broken; /* a message was torn: the ring is of no more use */
	char event[256];
};

struct pv_xs_part {
	const void *data;
	size_t len;
};

/* ---- bytes ---- */

static inline bool pv_xs_give_up(struct pv_xs *xs)
{
	xs->broken = true;
	return false;
}

static inline bool pv_xs_send(struct pv_xs *xs, const void *data, size_t len)
{
	struct xenstore_domain_interface *r = xs->ring;
	const char *from = (const char *)data;

	while (len) {
		XENSTORE_RING_IDX prod = r->req_prod, used = prod - PV_READ(&r->req_cons);

		if (used > XENSTORE_RING_SIZE)
			return pv_xs_give_up(xs);
		if (used == XENSTORE_RING_SIZE) {
			xs->notify(xs->os);
			if (!xs->wait(xs->os))
				return pv_xs_give_up(xs);
			continue;
		}
		xen_mb(); /* the store has read these bytes before we write others */
		for (; len && used < XENSTORE_RING_SIZE; used++, len--)
			r->req[MASK_XENSTORE_IDX(prod++)] = *from++;
		xen_wmb(); /* it sees the bytes before the index */
		PV_WRITE(&r->req_prod, prod);
	}
	return true;
}

/* Takes `len` bytes, and keeps the first `size` of them. */
static inline bool pv_xs_receive(struct pv_xs *xs, void *data, size_t size, size_t len)
{
	struct xenstore_domain_interface *r = xs->ring;
	char *to = (char *)data;

	while (len) {
		XENSTORE_RING_IDX cons = r->rsp_cons, used = PV_READ(&r->rsp_prod) - cons;

		if (used > XENSTORE_RING_SIZE)
			return pv_xs_give_up(xs);
		if (!used) {
			xs->notify(xs->os); /* there is room again */
			if (!xs->wait(xs->os))
				return pv_xs_give_up(xs);
			continue;
		}
		xen_rmb(); /* the index first, then what it tells us to look at */
		for (; len && used; used--, len--, cons++) {
			if (size) {
				*to++ = r->rsp[MASK_XENSTORE_IDX(cons)];
				size--;
			}
		}
		xen_mb(); /* we have read them before the store writes others */
		PV_WRITE(&r->rsp_cons, cons);
	}
	return true;
}

/* ---- messages ---- */

static inline bool pv_xs_empty(const struct pv_xs *xs)
{
	return PV_READ(&xs->ring->rsp_prod) == xs->ring->rsp_cons;
}

/* The header of the next message. */
static inline long pv_xs_header(struct pv_xs *xs, struct xsd_sockmsg *msg)
{
	while (!xs->broken && pv_xs_empty(xs)) {
		if (!xs->wait(xs->os))
			return -PV_ETIMEDOUT;
	}
	if (xs->broken || !pv_xs_receive(xs, msg, sizeof(*msg), sizeof(*msg)))
		return -PV_EIO;
	if (msg->len > XENSTORE_PAYLOAD_MAX) {
		pv_xs_give_up(xs);
		return -PV_EIO;
	}
	return 0;
}

/* The rest of a message: at most `size` - 1 bytes of it, and a terminator. */
static inline long pv_xs_body(struct pv_xs *xs, const struct xsd_sockmsg *msg, char *to,
			      size_t size)
{
	if (!pv_xs_receive(xs, to, size ? size - 1 : 0, msg->len))
		return -PV_EIO;
	xs->notify(xs->os); /* it may wait for room */
	if (size)
		to[msg->len < size ? msg->len : size - 1] = 0;
	return msg->len;
}

/* A watch event: two strings. */
static inline long pv_xs_event(struct pv_xs *xs, const struct xsd_sockmsg *msg)
{
	const char *token = xs->event;
	long len = pv_xs_body(xs, msg, xs->event, sizeof(xs->event));

	if (len < 0)
		return len;
	xs->fired = true;
	if ((size_t)len >= sizeof(xs->event))
		xs->event[0] = 0;
	while (*token)
		token++;
	/* The token stands behind the path, if there is one. */
	token = xs->event[0] && token < xs->event + len ? token + 1 : "";
	if (xs->watched)
		xs->watched(xs->os, xs->event, token);
	return 0;
}

/*
 * A request of any type: its body from `nr` parts, the reply to `reply` with a terminator (of which
 * the length tells nothing: replies may hold zeros). `reply` may be NULL and `size` 0.
 */
static inline long pv_xs_call(struct pv_xs *xs, uint32_t type, uint32_t tx,
			      const struct pv_xs_part *parts, unsigned int nr, char *reply,
			      size_t size)
{
	struct xsd_sockmsg msg;
	char error[32];
	size_t len = 0;
	long rc;

	for (unsigned int i = 0; i < nr; i++)
		len += parts[i].len;
	if (len > XENSTORE_PAYLOAD_MAX)
		return -PV_E2BIG;
	msg.type = type;
	msg.tx_id = tx;
	msg.len = (uint32_t)len;
	/* Watch events have number 0. */
	msg.req_id = xs->last_id = xs->last_id + 1 ? xs->last_id + 1 : 1;
	if (xs->broken || !pv_xs_send(xs, &msg, sizeof(msg)))
		return -PV_EIO;
	for (unsigned int i = 0; i < nr; i++)
		if (!pv_xs_send(xs, parts[i].data, parts[i].len))
			return -PV_EIO;
	xs->notify(xs->os);
	for (;;) {
		rc = pv_xs_header(xs, &msg);
		if (rc)
			return rc;
		if (msg.type == XS_WATCH_EVENT)
			rc = pv_xs_event(xs, &msg);
		else if (msg.req_id != xs->last_id)
			rc = pv_xs_body(xs, &msg, NULL, 0);
		else
			break;
		if (rc < 0)
			return rc;
	}
	if (msg.type == XS_ERROR) {
		rc = pv_xs_body(xs, &msg, error, sizeof(error));
		return rc < 0 ? rc : -pv_errno_of(error);
	}
	rc = pv_xs_body(xs, &msg, reply, size);
	return rc >= 0 && reply && (size_t)rc >= size ? -PV_E2BIG : rc;
}

/* ---- requests ---- */

static inline struct pv_xs_part pv_xs_text(const char *s, bool terminated)
{
	struct pv_xs_part part;

	part.data = s;
	part.len = terminated ? 1 : 0;
	while (*s++)
		part.len++;
	return part;
}

/* A node's value, terminated: its length. */
static inline long pv_xs_read(struct pv_xs *xs, const char *path, char *buf, size_t size)
{
	struct pv_xs_part part = pv_xs_text(path, true);

	return pv_xs_call(xs, XS_READ, 0, &part, 1, buf, size);
}

/* The names below a node, each terminated, one behind the other: their length. */
static inline long pv_xs_list(struct pv_xs *xs, const char *path, char *buf, size_t size)
{
	struct pv_xs_part part = pv_xs_text(path, true);

	return pv_xs_call(xs, XS_DIRECTORY, 0, &part, 1, buf, size);
}

static inline long pv_xs_write(struct pv_xs *xs, const char *path, const char *value)
{
	struct pv_xs_part parts[2];
	long rc;

	parts[0] = pv_xs_text(path, true);
	parts[1] = pv_xs_text(value, false);
	rc = pv_xs_call(xs, XS_WRITE, 0, parts, 2, NULL, 0);
	return rc < 0 ? rc : 0;
}

/* The node and all below it. */
static inline long pv_xs_remove(struct pv_xs *xs, const char *path)
{
	struct pv_xs_part part = pv_xs_text(path, true);
	long rc = pv_xs_call(xs, XS_RM, 0, &part, 1, NULL, 0);

	return rc < 0 ? rc : 0;
}

static inline long pv_xs_watching(struct pv_xs *xs, uint32_t type, const char *path,
				  const char *token)
{
	struct pv_xs_part parts[2];
	long rc;

	parts[0] = pv_xs_text(path, true);
	parts[1] = pv_xs_text(token, true);
	rc = pv_xs_call(xs, type, 0, parts, 2, NULL, 0);
	return rc < 0 ? rc : 0;
}

/* Fires once at once, then at each change of the node or of one below it. */
static inline long pv_xs_watch(struct pv_xs *xs, const char *path, const char *token)
{
	return pv_xs_watching(xs, XS_WATCH, path, token);
}

static inline long pv_xs_unwatch(struct pv_xs *xs, const char *path, const char *token)
{
	return pv_xs_watching(xs, XS_UNWATCH, path, token);
}

/* Returns 0 as soon as a watch fired since it last did so. */
static inline long pv_xs_wait_watch(struct pv_xs *xs)
{
	struct xsd_sockmsg msg;
	long rc = 0;

	while (!xs->fired && rc >= 0) {
		rc = pv_xs_header(xs, &msg);
		if (!rc)
			rc = msg.type == XS_WATCH_EVENT ? pv_xs_event(xs, &msg)
							: pv_xs_body(xs, &msg, NULL, 0);
	}
	if (rc < 0)
		return rc;
	xs->fired = false;
	return 0;
}

#endif
