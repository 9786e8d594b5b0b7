/* SPDX-License-Identifier: MIT */
/*
 * TCP for a thread that waits: one connection, opened, read, written and closed in that order,
 * on top of lwIP's callbacks. Everything with net_lock held (net_enter()), which is free while one
 * of these waits.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <lwip/ip_addr.h>
#include <lwip/tcp.h>

struct conn {
	struct tcp_pcb *pcb;   /* NULL once lwIP has given up the connection */
	struct pbuf *in;       /* received, and not yet taken */
	bool connected, ended; /* the peer will send no more */
	err_t error;
};

/* A dotted address, a name for the resolver, or "gw" for our gateway. */
bool net_resolve(const char *name, ip_addr_t *to);
bool conn_open(struct conn *c, const ip_addr_t *to, uint16_t port);
/* Waits for data; how many bytes there are in one piece, 0 at the end or behind an error. */
size_t conn_peek(struct conn *c, const void **data);
/* Gives n of them back. */
void conn_take(struct conn *c, size_t n);
/* Exactly n bytes into a buffer. */
bool conn_read(struct conn *c, void *to, size_t n);
/* Waits for room, not for an answer: conn_push() sends what is left over. */
bool conn_write(struct conn *c, const void *data, size_t n);
void conn_push(struct conn *c);
/* Waits until the peer has acknowledged everything. */
bool conn_drain(struct conn *c);
void conn_close(struct conn *c);
/* A command's words: a host and a port; says what is wrong with them. */
bool net_target(const char *host, const char *port, ip_addr_t *to, uint16_t *number);

#endif
