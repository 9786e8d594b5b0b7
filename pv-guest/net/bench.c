/* SPDX-License-Identifier: MIT */
/*
 * The network's speed, against tests/bench/net-peer: round trips of small messages over UDP and
 * TCP, and bytes per second each way. A TCP connection begins with a line that says what the peer
 * is to do: "echo", "send N" or "take N".
 */
#include <pv/lib.h>
#include <pv/time.h>
#include <lwip/udp.h>
#include "conn.h"
#include "net.h"
#include "tools.h"

#define TRIPS	2000
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

static void datagram(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
		     u16_t port)
{
	*(bool *)arg = true;
	pbuf_free(p);
}

static bool udp_trip(struct udp_pcb *pcb, bool *answered)
{
	struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, MESSAGE, PBUF_RAM);
	uint64_t deadline = time_ns() + SEC;

	if (!p)
		return false;
	memset(p->payload, 0x55, MESSAGE);
	*answered = false;
	udp_send(pcb, p);
	pbuf_free(p);
	while (!*answered && time_ns() < deadline)
		net_wait(deadline);
	return *answered;
}

static void udp_trips(const ip_addr_t *to, uint16_t port)
{
	struct udp_pcb *pcb = udp_new();
	bool answered = false, ok = pcb && udp_connect(pcb, to, port) == ERR_OK;
	uint64_t start;

	if (pcb)
		udp_recv(pcb, datagram, &answered);
	ok = ok && udp_trip(pcb, &answered); /* which also finds the way */
	start = time_ns();
	for (int i = 0; ok && i < TRIPS; i++)
		ok = udp_trip(pcb, &answered);
	result("udp_rtt_ns", (time_ns() - start) / TRIPS, ok);
	if (pcb)
		udp_remove(pcb);
}

static bool tcp_trip(struct conn *c)
{
	uint8_t message[MESSAGE] = {0x55};

	if (!conn_write(c, message, sizeof(message)))
		return false;
	conn_push(c);
	return conn_read(c, message, sizeof(message));
}

static void tcp_trips(const ip_addr_t *to, uint16_t port)
{
	struct conn c;
	bool open = ask(&c, to, port, "echo\n"), ok = open && tcp_trip(&c);
	uint64_t start = time_ns();

	for (int i = 0; ok && i < TRIPS; i++)
		ok = tcp_trip(&c);
	result("tcp_rtt_ns", (time_ns() - start) / TRIPS, ok);
	if (open)
		conn_close(&c);
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
