/* SPDX-License-Identifier: MIT */
#include <pv/time.h>
#include <lwip/dns.h>
#include <lwip/netif.h>
#include <lwip/priv/tcp_priv.h>
#include "conn.h"
#include "net.h"

#define PATIENCE (60 * SEC)

_Static_assert(NET_SEGMENTS *TCP_MSS <= (NET_PIECES - 6) * HEAP_PAYLOAD,
	       "what one packet may hold");

/* ---- names ---- */

struct query {
	bool done, found;
	ip_addr_t address;
};

static void resolved(const char *name, const ip_addr_t *address, void *arg)
{
	struct query *q = arg;

	q->done = true;
	q->found = address;
	if (address)
		q->address = *address;
}

bool net_resolve(const char *name, ip_addr_t *to)
{
	/* Not on the stack: an answer may come when nobody waits for it any more. */
	static struct query q;
	uint64_t deadline = time_ns() + PATIENCE;

	if (!strcmp(name, "gw") && netif_default) {
		*to = *netif_ip4_gw(netif_default);
		return true;
	}
	q = (struct query){.done = false};
	switch (dns_gethostbyname(name, to, resolved, &q)) {
	case ERR_OK: return true;
	case ERR_INPROGRESS: break;
	default: return false;
	}
	while (!q.done && time_ns() < deadline)
		net_wait(deadline);
	if (q.found)
		*to = q.address;
	return q.found;
}

bool net_target(const char *host, const char *port, ip_addr_t *to, uint16_t *number)
{
	char *end;
	unsigned long n = strtoul(port, &end, 10);

	if (*end || !n || n > 65535) {
		printf("FAIL %s is no port\n", port);
		return false;
	}
	*number = (uint16_t)n;
	if (net_resolve(host, to))
		return true;
	printf("FAIL %s: no such host\n", host);
	return false;
}

/* ---- lwIP's callbacks ---- */

static err_t received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
	struct conn *c = arg;

	if (!p)
		c->ended = true;
	else if (c->in)
		pbuf_cat(c->in, p);
	else
		c->in = p;
	return ERR_OK;
}

/* The connection is gone, and its pcb with it. */
static void failed(void *arg, err_t error)
{
	struct conn *c = arg;

	c->pcb = NULL;
	c->error = error;
}

/*
 * Once a second. When the peer's window is smaller than the next segment lwIP would cut that in
 * two; but of a long one the rest is more than a piece of the heap. So ask the peer for its window
 * instead, in case the word of a larger one was lost, or the peer.
 */
static err_t ask_window(void *arg, struct tcp_pcb *pcb)
{
	if (pcb->persist_backoff && !pcb->unacked)
		tcp_keepalive(pcb);
	return ERR_OK;
}

/*
 * Where the backend cuts segments, lwIP may make long ones: to it the connection has a larger
 * segment size, and the window that goes with it. Only for a peer that takes our usual size, for
 * into that the backend will cut.
 */
static void lengthen(struct tcp_pcb *pcb)
{
	const struct netfront *f = netfront_get(0);

	if (!f || !f->segments || tcp_mss(pcb) != TCP_MSS || netfront_get(1))
		return;
	pcb->mss = NET_SEGMENTS * TCP_MSS;
	tcp_poll(pcb, ask_window, 2);
	if (pcb->cwnd < 2u * pcb->mss)
		pcb->cwnd = 2u * pcb->mss;
}

static err_t connected(void *arg, struct tcp_pcb *pcb, err_t error)
{
	struct conn *c = arg;

	c->connected = true;
	lengthen(pcb);
	return ERR_OK;
}

/* ---- what threads call ---- */

bool conn_open(struct conn *c, const ip_addr_t *to, uint16_t port)
{
	uint64_t deadline = time_ns() + PATIENCE;

	*c = (struct conn){.pcb = tcp_new()};
	if (!c->pcb)
		return false;
	tcp_arg(c->pcb, c);
	tcp_recv(c->pcb, received);
	tcp_err(c->pcb, failed);
	tcp_nagle_disable(c->pcb);
	if (tcp_connect(c->pcb, to, port, connected) == ERR_OK)
		while (c->pcb && !c->connected && time_ns() < deadline)
			net_wait(deadline);
	if (c->connected)
		return true;
	conn_close(c);
	return false;
}

size_t conn_peek(struct conn *c, const void **data)
{
	uint64_t deadline = time_ns() + PATIENCE;

	while (!c->in && c->pcb && !c->ended && time_ns() < deadline)
		net_wait(deadline);
	if (!c->in)
		return 0;
	*data = c->in->payload;
	return c->in->len;
}

void conn_take(struct conn *c, size_t n)
{
	c->in = pbuf_free_header(c->in, (u16_t)n);
	if (c->pcb)
		tcp_recved(c->pcb, (u16_t)n);
}

bool conn_read(struct conn *c, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		const void *data;
		size_t part = conn_peek(c, &data);

		if (!part)
			return false;
		if (part > n - done)
			part = n - done;
		memcpy((char *)to + done, data, part);
		conn_take(c, part);
		done += part;
	}
	return true;
}

/* Pieces that each lie in one page of the heap. */
bool conn_write(struct conn *c, const void *data, size_t n)
{
	uint64_t deadline = time_ns() + PATIENCE;
	const char *s = data;

	while (n && c->pcb) {
		size_t part = n < HEAP_PAYLOAD ? n : HEAP_PAYLOAD, room = tcp_sndbuf(c->pcb);

		if (part <= room &&
		    tcp_write(c->pcb, s, (u16_t)part, TCP_WRITE_FLAG_COPY | TCP_WRITE_FLAG_MORE) ==
			    ERR_OK) {
			s += part;
			n -= part;
			deadline = time_ns() + PATIENCE;
			continue;
		}
		if (time_ns() > deadline)
			return false;
		tcp_output(c->pcb);
		net_wait(deadline);
	}
	return c->pcb;
}

void conn_push(struct conn *c)
{
	if (c->pcb)
		tcp_output(c->pcb);
}

bool conn_drain(struct conn *c)
{
	uint64_t deadline = time_ns() + PATIENCE;

	conn_push(c);
	while (c->pcb && (c->pcb->unsent || c->pcb->unacked) && time_ns() < deadline)
		net_wait(deadline);
	return c->pcb && !c->pcb->unsent && !c->pcb->unacked;
}

void conn_close(struct conn *c)
{
	if (c->in)
		pbuf_free(c->in);
	c->in = NULL;
	if (!c->pcb)
		return;
	/* What lwIP still has to send or hear is its own business. */
	tcp_arg(c->pcb, NULL);
	tcp_recv(c->pcb, NULL);
	tcp_err(c->pcb, NULL);
	if (tcp_close(c->pcb) != ERR_OK)
		tcp_abort(c->pcb);
	c->pcb = NULL;
}
