/* SPDX-License-Identifier: MIT */
/*
 * The echo service: what comes is sent back, over TCP and UDP. It needs no thread: lwIP calls it
 * from whoever serves the stack. TCP's window opens only for what could be sent back, so a peer
 * that does not read cannot fill our memory.
 */
#include <pv/lib.h>
#include <lwip/tcp.h>
#include <lwip/udp.h>
#include "echo.h"
#include "net.h"

struct echo {
	struct tcp_pcb *pcb;
	struct pbuf *left; /* to be sent back */
	bool ended;
};

/* ERR_ABRT, which lwIP must be told, if the connection had to be cut off. */
static err_t close_echo(struct echo *e)
{
	struct tcp_pcb *pcb = e->pcb;

	if (e->left)
		pbuf_free(e->left);
	net_free(e);
	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_poll(pcb, NULL, 0);
	tcp_err(pcb, NULL);
	if (tcp_close(pcb) == ERR_OK)
		return ERR_OK;
	tcp_abort(pcb);
	return ERR_ABRT;
}

static err_t send_back(struct echo *e)
{
	while (e->left) {
		u16_t n = e->left->len;

		if (n > HEAP_PAYLOAD)
			n = HEAP_PAYLOAD;
		if (n > tcp_sndbuf(e->pcb) ||
		    tcp_write(e->pcb, e->left->payload, n, TCP_WRITE_FLAG_COPY) != ERR_OK)
			break;
		e->left = pbuf_free_header(e->left, n);
		tcp_recved(e->pcb, n);
	}
	tcp_output(e->pcb);
	return e->ended && !e->left ? close_echo(e) : ERR_OK;
}

static err_t received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
	struct echo *e = arg;

	if (!p)
		e->ended = true;
	else if (e->left)
		pbuf_cat(e->left, p);
	else
		e->left = p;
	return send_back(e);
}

static err_t sent(void *arg, struct tcp_pcb *pcb, u16_t n)
{
	return send_back(arg);
}

/* Twice a second: if there was no memory before. */
static err_t again(void *arg, struct tcp_pcb *pcb)
{
	return send_back(arg);
}

static void failed(void *arg, err_t error)
{
	struct echo *e = arg;

	if (e->left)
		pbuf_free(e->left);
	net_free(e);
}

static err_t accepted(void *arg, struct tcp_pcb *pcb, err_t error)
{
	struct echo *e = error == ERR_OK ? net_malloc(sizeof(*e)) : NULL;

	if (!e)
		return ERR_MEM;
	*e = (struct echo){.pcb = pcb};
	tcp_nagle_disable(pcb);
	tcp_arg(pcb, e);
	tcp_recv(pcb, received);
	tcp_sent(pcb, sent);
	tcp_poll(pcb, again, 1);
	tcp_err(pcb, failed);
	return ERR_OK;
}

static void datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
		     u16_t port)
{
	udp_sendto(pcb, p, from, port);
	pbuf_free(p);
}

bool echo_start(uint16_t port)
{
	struct tcp_pcb *tcp = tcp_new();
	struct udp_pcb *udp = udp_new();

	if (!tcp || !udp || tcp_bind(tcp, IP_ADDR_ANY, port) != ERR_OK ||
	    udp_bind(udp, IP_ADDR_ANY, port) != ERR_OK)
		goto no;
	/* Frees the old one and makes a smaller one. */
	tcp = tcp_listen(tcp);
	if (!tcp)
		goto no;
	tcp_accept(tcp, accepted);
	udp_recv(udp, datagram, NULL);
	return true;
no:
	if (tcp)
		tcp_close(tcp);
	if (udp)
		udp_remove(udp);
	return false;
}
