/* SPDX-License-Identifier: MIT */
/* The handshake with the frontend (xen/io/netif.h): features, queues, rings. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "toolstack/backends/net/device.h"

int net_features(struct dev *d)
{
	static const struct {
		const char *node;
		unsigned value;
	} features[] = {
		{"feature-sg", 1},
		{"feature-gso-tcpv4", 1},
		{"feature-gso-tcpv6", 1},
		{"feature-ipv6-csum-offload", 1},
		{"feature-rx-copy", 1},
		{"feature-rx-flip", 0},
		{"feature-split-event-channels", 1},
		{"feature-persistent", 1},
		{"feature-filter", 1},
		{"filter-max-instructions", BPF_MAXINSNS},
		{"multi-queue-max-queues", NET_MAX_QUEUES},
	};

	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (dev_write(d, features[i].node, "%u", features[i].value))
			return -1;
	return 0;
}

static bool front_flag(struct dev *d, const char *node)
{
	return dev_read_or(d, d->front, node, 1, 0);
}

static bool front_number(struct dev *d, const char *sub, const char *node, uint32_t *v)
{
	char path[48];
	uint64_t value;

	snprintf(path, sizeof(path), "%s%s", sub, node);
	if (!dev_read_u64(d, d->front, path, UINT32_MAX, &value))
		return false;
	*v = value;
	return true;
}

/* Two ports, or one for both. */
static bool read_ports(struct dev *d, const char *sub, struct saved_queue *q)
{
	if (front_number(d, sub, "event-channel-tx", &q->tx_port))
		return front_number(d, sub, "event-channel-rx", &q->rx_port);
	if (!front_number(d, sub, "event-channel", &q->tx_port))
		return false;
	q->rx_port = q->tx_port;
	return true;
}

static int read_queues(struct dev *d, struct net_saved *s)
{
	uint64_t nr = dev_read_or(d, d->front, "multi-queue-num-queues", UINT32_MAX, 1);

	if (!nr || nr > NET_MAX_QUEUES)
		return dev_fail(d, "the frontend wants %lu queues, there are 1 to %u", nr,
				NET_MAX_QUEUES);
	s->nr_queues = nr;
	for (unsigned i = 0; i < nr; i++) {
		struct saved_queue *q = s->queues + i;
		char sub[16] = "";

		if (nr > 1)
			snprintf(sub, sizeof(sub), "queue-%u/", i);
		if (!front_number(d, sub, "tx-ring-ref", &q->tx_ref) ||
		    !front_number(d, sub, "rx-ring-ref", &q->rx_ref) || !read_ports(d, sub, q))
			return dev_fail(d,
					"queue %u: the frontend's rings or event channels are "
					"missing or no numbers",
					i);
	}
	return 0;
}

static int read_frontend(struct dev *d, struct net_saved *s)
{
	if (!front_flag(d, "request-rx-copy"))
		return dev_fail(d, "the frontend wants pages flipped (no request-rx-copy)");
	if (!front_flag(d, "feature-rx-notify"))
		return dev_fail(d, "the frontend tells nobody of room in its ring (no "
				   "feature-rx-notify)");
	s->sg = front_flag(d, "feature-sg");
	s->gso4 = s->sg && front_flag(d, "feature-gso-tcpv4");
	s->gso6 = s->sg && front_flag(d, "feature-gso-tcpv6");
	s->no_csum4 = front_flag(d, "feature-no-csum-offload");
	s->csum6 = front_flag(d, "feature-ipv6-csum-offload");
	s->persistent = front_flag(d, "feature-persistent");
	return read_queues(d, s);
}

static void close_queue(struct dev *d, struct queue *q)
{
	grants_drop(&q->tx_grants);
	grants_drop(&q->rx_grants);
	if (q->rx_port && q->rx_port != q->tx_port)
		dev_unbind(d, q->rx_port);
	if (q->tx_port)
		dev_unbind(d, q->tx_port);
	if (q->tx_page)
		dev_unmap(d, q->tx_page, 1);
	if (q->rx_page)
		dev_unmap(d, q->rx_page, 1);
	txq_free(&q->tx);
	backlog_free(&q->backlog);
	q->tx_page = q->rx_page = NULL;
	q->tx_port = q->rx_port = 0;
}

static int bind_ports(struct dev *d, struct queue *q, const struct saved_queue *s)
{
	int port = dev_bind(d, s->tx_port);

	if (port < 0)
		return -1;
	q->tx_port = q->rx_port = port;
	if (s->rx_port == s->tx_port)
		return 0;
	port = dev_bind(d, s->rx_port);
	if (port < 0)
		return -1;
	q->rx_port = port;
	return 0;
}

static int wire_send(void *ctx, struct frame *f)
{
	struct queue *q = ctx;

	return q->net->wire->ops->send(q->net->wire, q->nr, f);
}

/*
 * Where to go on: every slot below rsp_prod is answered, and responses are published by whole
 * frames only. A ring that is new has 0 there. rsp_prod is in the guest's memory, but a wrong one
 * is a ring of its own that does not work.
 */
static int open_rings(struct net *n, struct queue *q)
{
	const struct net_saved *s = n->saved;
	struct netif_tx_sring *tx = q->tx_page;
	struct netif_rx_sring *rx = q->rx_page;

	grants_init(&q->tx_grants, n->d, s->persistent, false);
	grants_init(&q->rx_grants, n->d, s->persistent, true);
	q->tx.grants = (struct grant_ops){grants_copy, &q->tx_grants};
	q->rx.grants = (struct grant_ops){grants_copy, &q->rx_grants};
	q->tx.bucket = &n->bucket;
	q->tx.mac = n->mac_control ? n->mac : NULL;
	q->tx.send = wire_send;
	q->tx.ctx = q;
	q->rx.sg = s->sg;
	q->rx.gso4 = s->gso4;
	q->rx.gso6 = s->gso6;
	q->rx.no_csum4 = s->no_csum4;
	q->rx.csum6 = s->csum6;
	rxq_init(&q->rx, rx, rx->rsp_prod);
	return backlog_init(&q->backlog) || txq_init(&q->tx, tx, tx->rsp_prod);
}

static int open_queue(struct net *n, unsigned i)
{
	struct queue *q = n->queues + i;
	struct saved_queue *s = n->saved->queues + i;
	const int prot = PROT_READ | PROT_WRITE;

	memset(&q->tx, 0, sizeof(q->tx));
	memset(&q->rx, 0, sizeof(q->rx));
	q->net = n;
	q->nr = i;
	q->tx_page = dev_map(n->d, &s->tx_ref, 1, prot);
	q->rx_page = q->tx_page ? dev_map(n->d, &s->rx_ref, 1, prot) : NULL;
	if (!q->rx_page)
		return dev_fail(n->d, "queue %u: cannot map the rings, grants %u and %u: %s", i,
				s->tx_ref, s->rx_ref, strerror(errno));
	if (bind_ports(n->d, q, s))
		return dev_fail(n->d, "queue %u: cannot bind event channels %u and %u: %s", i,
				s->tx_port, s->rx_port, strerror(errno));
	if (open_rings(n, q))
		return dev_fail(n->d, "queue %u: no memory", i);
	return 0;
}

static int start_wire(struct net *n)
{
	const struct net_saved *s = n->saved;
	int rc = 0;

	if (n->wire->ops->offload)
		rc = n->wire->ops->offload(n->wire, !s->no_csum4, s->gso4, s->gso6, s->nr_queues);
	if (rc)
		return dev_fail(n->d, "the wire cannot be set up: %s", strerror(-rc));
	return dev_watch_fd(n->d, &n->wire_fd, EPOLLIN);
}

int net_connect(struct dev *d)
{
	struct net *n = d->priv;

	if (!d->resumed && read_frontend(d, n->saved))
		return -1;
	if (n->saved->nr_queues > NET_MAX_QUEUES)
		return -1;
	for (n->nr_queues = 0; n->nr_queues < n->saved->nr_queues; n->nr_queues++) {
		if (!open_queue(n, n->nr_queues))
			continue;
		close_queue(d, n->queues + n->nr_queues);
		net_disconnect(d);
		return -1;
	}
	if (start_wire(n)) {
		net_disconnect(d);
		return -1;
	}
	if (d->resumed)
		net_filter_restore(n);
	net_filter_changed(d);
	/* events that came before our ports were there are lost: look, and have the guest look */
	for (unsigned i = 0; i < n->nr_queues; i++) {
		dev_notify(d, n->queues[i].tx_port);
		if (n->queues[i].rx_port != n->queues[i].tx_port)
			dev_notify(d, n->queues[i].rx_port);
	}
	return 0;
}

static void say_counts(struct net *n)
{
	struct tx_stats t = {0};
	struct rx_stats r = {0};
	uint64_t full = 0;

	for (unsigned i = 0; i < n->nr_queues; i++) {
		const struct queue *q = n->queues + i;

		t.frames += q->tx.stats.frames;
		t.errors += q->tx.stats.errors;
		t.spoofed += q->tx.stats.spoofed;
		r.frames += q->rx.stats.frames;
		r.dropped += q->rx.stats.dropped;
		r.errors += q->rx.stats.errors;
		full += q->backlog.dropped;
	}
	if (!(t.errors | t.spoofed | r.dropped | r.errors | full))
		return;
	dev_log(n->d,
		"disconnected: sent %lu (%lu malformed, %lu with another's address), received %lu "
		"(%lu filtered, %lu not acceptable, %lu for no room, %lu errors)",
		t.frames, t.errors, t.spoofed, r.frames, n->filter.dropped, r.dropped, full,
		r.errors);
}

void net_disconnect(struct dev *d)
{
	struct net *n = d->priv;

	dev_unwatch_fd(d, &n->wire_fd);
	net_filter_remove(n);
	if (n->nr_queues)
		say_counts(n);
	while (n->nr_queues)
		close_queue(d, n->queues + --n->nr_queues);
}
