/* SPDX-License-Identifier: MIT */
/*
 * The network's speed, against bench-net (tests/bench/net.c): round trips of small messages over
 * UDP and TCP, and bytes per second each way. A TCP connection begins with a line that says what
 * the other end is to do: "echo", "send N" or "take N".
 */
#include <pv/lib.h>
#include <pv/time.h>
#include <lwip/udp.h>
#include "conn.h"
#include "net.h"
#include "tools.h"

/* The best of so many rounds counts: what is paid when nothing interferes. */
#define ROUNDS	10
#define TRIPS	200
#define MESSAGE 64

static void result(const char *name, uint64_t value, bool ok)
{
	if (ok)
		printf("net bench %s %lu\n", name, value);
	else
		printf("FAIL net bench %s\n", name);
}

static bool ask(struct conn *c, const ip_addr_t *to, uint16_t port, const char *what)
{
	if (!conn_open(c, to, port))
		return false;
	if (conn_write(c, what, strlen(what))) {
		conn_push(c);
		return true;
	}
	conn_close(c);
	return false;
}

/* ---- round trips ---- */

/* A way to send a message and wait for its echo; false if none came. */
struct way {
	bool (*trip)(struct way *w);
	struct udp_pcb *udp;
	bool answered;
	struct conn tcp;
};

/* Nanoseconds per trip in the best round; 0 if one failed. */
static uint64_t best_round(struct way *w)
{
	uint64_t best = ~0ull;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = time_ns(), ns;

		for (int i = 0; i < TRIPS; i++)
			if (!w->trip(w))
				return 0;
		ns = time_ns() - start;
		best = ns < best ? ns : best;
	}
	return best / TRIPS;
}

static void datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
		     u16_t port)
{
	struct way *w = arg;

	w->answered = true;
	pbuf_free(p);
}

static bool udp_trip(struct way *w)
{
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, MESSAGE, PBUF_RAM);
	uint64_t deadline = time_ns() + SEC;

	if (!p)
		return false;
	memset(p->payload, 0x55, MESSAGE);
	w->answered = false;
	udp_send(w->udp, p);
	pbuf_free(p);
	while (!w->answered && time_ns() < deadline)
		net_wait(deadline);
	return w->answered;
}

static void udp_trips(const ip_addr_t *to, uint16_t port)
{
	struct way w = {.trip = udp_trip, .udp = udp_new()};
	uint64_t ns = 0;

	if (w.udp && udp_connect(w.udp, to, port) == ERR_OK) {
		udp_recv(w.udp, datagram, &w);
		ns = best_round(&w);
	}
	result("udp_rtt_ns", ns, ns);
	if (w.udp)
		udp_remove(w.udp);
}

static bool tcp_trip(struct way *w)
{
	uint8_t message[MESSAGE] = {0x55};

	if (!conn_write(&w->tcp, message, sizeof(message)))
		return false;
	conn_push(&w->tcp);
	return conn_read(&w->tcp, message, sizeof(message));
}

static void tcp_trips(const ip_addr_t *to, uint16_t port)
{
	struct way w = {.trip = tcp_trip};
	bool open = ask(&w.tcp, to, port, "echo\n");
	uint64_t ns = open ? best_round(&w) : 0;

	result("tcp_rtt_ns", ns, ns);
	if (open)
		conn_close(&w.tcp);
}

/* ---- throughput, in KB/s ---- */

static uint64_t rate(unsigned long bytes, uint64_t ns)
{
	return bytes * 1000000 / (ns ? ns : 1);
}

static void receive(const ip_addr_t *to, uint16_t port, unsigned long bytes)
{
	char line[32];
	const void *data;
	unsigned long got = 0;
	uint64_t start;
	struct conn c;
	bool open;
	size_t n;

	snprintf(line, sizeof(line), "send %lu\n", bytes);
	open = ask(&c, to, port, line);
	start = time_ns();
	while (open && got < bytes && (n = conn_peek(&c, &data)) != 0) {
		conn_take(&c, n);
		got += n;
	}
	result("rx_kbs", rate(bytes, time_ns() - start), got == bytes);
	if (open)
		conn_close(&c);
}

/* The peer answers with one byte when it has everything. */
static void transmit(const ip_addr_t *to, uint16_t port, unsigned long bytes)
{
	static uint8_t data[HEAP_PAYLOAD];
	unsigned long left = bytes;
	char line[32], answer;
	uint64_t start;
	struct conn c;
	bool open, ok;

	snprintf(line, sizeof(line), "take %lu\n", bytes);
	open = ok = ask(&c, to, port, line);
	start = time_ns();
	while (ok && left) {
		size_t n = left < sizeof(data) ? left : sizeof(data);

		ok = conn_write(&c, data, n);
		left -= n;
	}
	if (open)
		conn_push(&c);
	ok = ok && conn_read(&c, &answer, 1);
	result("tx_kbs", rate(bytes, time_ns() - start), ok);
	if (open)
		conn_close(&c);
}

void net_bench(const char *host, const char *port, unsigned long megabytes)
{
	ip_addr_t to;
	uint16_t number;
	bool enabled;

	if (!iface_wait())
		return;
	enabled = net_enter();
	if (net_target(host, port, &to, &number)) {
		udp_trips(&to, number);
		tcp_trips(&to, number);
		receive(&to, number, megabytes << 20);
		transmit(&to, number, megabytes << 20);
	}
	net_leave(enabled);
}
