/* SPDX-License-Identifier: MIT */
/* A guest on libslirp's wire that wants too much: every descriptor, and the host's own services. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/backends/net/device.h"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static uint8_t arrived[NET_MAX_FRAME];
static unsigned syn_acks, unreachables;

static uint8_t *room(void *ctx, int queue, uint32_t len)
{
	return arrived;
}

static void deliver(void *ctx, int queue, struct frame *f)
{
	const uint8_t *d = f->data;

	if (f->len < 54 || d[12] != 8 || d[13])
		return;
	syn_acks += d[23] == IPPROTO_TCP && (d[47] & 0x12) == 0x12;
	unreachables += d[23] == IPPROTO_ICMP && d[34] == 3;
}

static const uint8_t eth[12] = {0x52, 0x55, 10, 0, 2, 2, 0, 0x16, 0x3e, 1, 2, 3};

/* So that libslirp knows where 10.0.2.15 is. */
static void say_arp(struct wire *w)
{
	uint8_t b[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x16, 0x3e, 1, 2, 3, 8,	 6, 0, 1,
			 8,    0,    6,	   4,	 0,    1,    0, 0x16, 0x3e, 1, 2, 3, 10, 0, 2, 15};
	struct frame f = {.data = b, .len = sizeof(b)};

	memcpy(b + 38, (uint8_t[]){10, 0, 2, 2}, 4);
	w->ops->send(w, 0, &f);
}

/* The first segment of a TCP connection, or a datagram of as many bytes. */
static struct frame packet(uint8_t *b, const char *to, uint8_t proto, uint16_t from, uint16_t port)
{
	static const uint8_t ip[16] = {0x45, 0, 0, 40, 0, 0, 0, 0, 64, 0, 0, 0, 10, 0, 2, 15};
	unsigned sum = 0;

	memset(b, 0, 54);
	memcpy(b, eth, sizeof(eth));
	b[12] = 8;
	memcpy(b + 14, ip, sizeof(ip));
	b[23] = proto;
	inet_pton(AF_INET, to, b + 30);
	b[34] = from >> 8, b[35] = from;
	b[36] = port >> 8, b[37] = port;
	if (proto == IPPROTO_TCP)
		b[46] = 0x50, b[47] = 2, b[48] = 0x40;
	else
		b[39] = 20;
	for (int i = 14; i < 34; i += 2)
		sum += b[i] << 8 | b[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	b[24] = sum >> 8, b[25] = sum;
	return (struct frame){.data = b, .len = 54, .csum = CSUM_BLANK};
}

static void turns(struct wire *w, unsigned n)
{
	while (n--) {
		w->ops->turn(w, true);
		usleep(1000);
	}
}

static struct wire *wire(bool host)
{
	char why[256];
	struct wire *w = slirp_open("", host, why, sizeof(why));

	assert_non_null(w);
	w->room = room;
	w->deliver = deliver;
	w->ops->offload(w, true, false, false, 1);
	say_arp(w);
	return w;
}

/* A service on 127.0.0.1 that must not be the guest's business. */
static int service(int type, uint16_t *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(s, (void *)&a, sizeof(a)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(s, 4096), 0);
	getsockname(s, (void *)&a, &len);
	*port = ntohs(a.sin_port);
	return s;
}

static const char *const host_names[] = {"10.0.2.2", "127.0.0.1", "0.0.0.0", "255.255.255.255"};

/* By how many of the host's names a guest gets to a service there. */
static unsigned reached(bool host)
{
	uint16_t tcp, udp;
	const int s = service(SOCK_STREAM, &tcp), u = service(SOCK_DGRAM, &udp);
	struct wire *w = wire(host);
	unsigned n = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t b[64], got[64];
		struct frame f = packet(b, host_names[i], IPPROTO_TCP, 5000 + i, tcp);

		syn_acks = 0;
		w->ops->send(w, 0, &f);
		turns(w, 20);
		n += syn_acks != 0;
		f = packet(b, host_names[i], IPPROTO_UDP, 5000 + i, udp);
		w->ops->send(w, 0, &f);
		turns(w, 5);
		n += recv(u, got, sizeof(got), 0) > 0;
	}
	w->ops->close(w);
	close(s);
	close(u);
	return n;
}

static void test_host(void **state)
{
	assert_true(reached(true) >= 4);
	assert_int_equal(reached(false), 0);
}

static bool leads(const char *to, uint8_t proto, uint16_t port)
{
	uint8_t b[64];
	const struct frame f = packet(b, to, proto, 1024, port);

	return leads_to_host(&f);
}

static bool leads6(const char *to, uint8_t proto, uint16_t port)
{
	uint8_t b[64] = {[12] = 0x86, 0xdd, 0x60};

	b[20] = proto;
	inet_pton(AF_INET6, to, b + 38);
	b[56] = port >> 8, b[57] = port;
	return leads_to_host(&(struct frame){.data = b, .len = sizeof(b)});
}

static void test_names(void **state)
{
	uint8_t b[64];
	struct frame f;

	assert_true(leads("127.0.0.1", IPPROTO_TCP, 80));
	assert_true(leads("127.9.9.9", IPPROTO_UDP, 80));
	assert_true(leads("0.0.0.0", IPPROTO_TCP, 80));
	assert_false(leads("10.0.2.2", IPPROTO_UDP, 67)); /* DHCP; libslirp knows the rest */
	assert_false(leads("10.0.2.3", IPPROTO_UDP, 53));
	assert_false(leads("10.0.2.3", IPPROTO_TCP, 53));
	assert_false(leads("10.0.2.3", IPPROTO_ICMP, 0));
	assert_true(leads("10.0.2.3", IPPROTO_TCP, 22)); /* may be 127.0.0.53 */
	assert_true(leads("10.0.2.3", IPPROTO_UDP, 54));
	assert_false(leads("192.0.2.1", IPPROTO_TCP, 22));
	f = packet(b, "10.0.2.3", IPPROTO_UDP, 1024, 53);
	b[20] = 0x20; /* the first of several fragments */
	assert_true(leads_to_host(&f));
	b[20] = 0;
	b[14] = 0x4f; /* more options than there are bytes */
	assert_true(leads_to_host(&f));
	for (f.len = 0; f.len < 34; f.len++)
		assert_true(f.len >= 14 && b[12] != 8 ? true : leads_to_host(&f));
	assert_true(leads6("::1", IPPROTO_TCP, 80));
	assert_true(leads6("::", IPPROTO_TCP, 80));
	assert_true(leads6("::ffff:127.0.0.1", IPPROTO_TCP, 80));
	assert_false(leads6("fec0::3", IPPROTO_UDP, 53));
	assert_true(leads6("fec0::3", IPPROTO_UDP, 22));
	assert_false(leads6("fec0::3", IPPROTO_ICMPV6, 0));
	assert_false(leads6("2001:db8::1", IPPROTO_TCP, 80));
}

static unsigned descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 8192; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Exit status 0 if 3000 connections cost no more descriptors than there may be. */
static int open_many(void)
{
	uint16_t port;
	const int s = service(SOCK_STREAM, &port);
	struct wire *w = wire(true);

	if (confine_descriptors())
		return 1;
	for (unsigned i = 0; i < 3000; i++) {
		uint8_t b[64];
		struct frame f = packet(b, "10.0.2.2", IPPROTO_TCP, 1024 + i, port);

		w->ops->send(w, 0, &f);
		if (i % 64 == 0)
			w->ops->turn(w, true);
	}
	turns(w, 5);
	if (descriptors() > NET_MAX_FDS || !unreachables)
		return 2;
	close(s); /* they end: so do their descriptors */
	for (int i = 0; i < 200 && descriptors() > NET_MAX_FDS / 2; i++)
		turns(w, 10);
	w->ops->close(w);
	return descriptors() > 16 ? 3 : 0;
}

static void test_descriptors(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(open_many());
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
