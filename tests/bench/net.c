/* SPDX-License-Identifier: MIT */
/*
 * The network benchmark without a guest, in the words of pv-guest's `net bench` (pv-guest/net/):
 *   bench-net serve               the other end, for guests and for ourselves; prints "port N"
 *   bench-net client ADDRESS PORT MB
 *                                 what `net bench` measures, over what leads there
 * Round trips of 64 bytes over UDP and TCP, and a stream each way. A TCP connection begins with a
 * line that says what the other end is to do: "echo", "send N" or "take N".
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TRIPS	5000
#define MESSAGE 64

static char chunk[1 << 18]; /* its contents do not matter, and threads may share it */

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int bound(int type, struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int s = socket(AF_INET, type, 0);

	if (s < 0 || bind(s, (void *)at, len) || getsockname(s, (void *)at, &len))
		fail("bind");
	return s;
}

/* ---- the other end ---- */

static void *serve_udp(void *arg)
{
	char message[2048];
	struct sockaddr_in from;
	int s = *(int *)arg;

	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(s, message, sizeof(message), 0, (void *)&from, &len);

		if (n >= 0)
			sendto(s, message, n, 0, (void *)&from, len);
	}
	return NULL;
}

static void echo(int c)
{
	char message[2048];
	ssize_t n;

	while ((n = read(c, message, sizeof(message))) > 0)
		if (write(c, message, n) != n)
			return;
}

static void serve(int c)
{
	char line[32] = "";
	size_t used = 0;
	long left;

	while (used < sizeof(line) - 1 && read(c, line + used, 1) == 1 && line[used] != '\n')
		used++;
	line[used] = 0;
	if (!strcmp(line, "echo")) {
		echo(c);
	} else if (sscanf(line, "send %ld", &left) == 1) {
		ssize_t n = 1;

		for (; left > 0 && n > 0; left -= n)
			n = write(c, chunk,
				  left < (long)sizeof(chunk) ? left : (long)sizeof(chunk));
		shutdown(c, SHUT_WR);
		n = read(c, line, 1); /* until the client closes */
	} else if (sscanf(line, "take %ld", &left) == 1) {
		ssize_t n = 1;

		for (; left > 0 && n > 0; left -= n)
			n = read(c, chunk, sizeof(chunk));
		if (!left && write(c, "!", 1) == 1)
			n = read(c, line, 1);
	}
}

static void *serve_tcp(void *arg)
{
	int c = (int)(intptr_t)arg;

	setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	serve(c);
	close(c);
	return NULL;
}

static void __attribute__((noreturn)) server(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = bound(SOCK_STREAM, &at), udp = bound(SOCK_DGRAM, &at);
	pthread_t t;

	if (listen(listener, 16) || pthread_create(&t, NULL, serve_udp, &udp))
		fail("listen");
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int c = accept(listener, NULL, NULL);

		if (c >= 0 && !pthread_create(&t, NULL, serve_tcp, (void *)(intptr_t)c))
			pthread_detach(t);
	}
}

/* ---- our own end ---- */

static in_addr_t address;

static int ask(int type, int port, const char *what)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address};
	int s = socket(AF_INET, type, 0);

	if (s < 0 || connect(s, (void *)&to, sizeof(to)))
		fail("connect");
	if (type == SOCK_STREAM)
		setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (what && write(s, what, strlen(what)) != (ssize_t)strlen(what))
		fail("write");
	return s;
}

static void trips(const char *name, int s)
{
	char message[MESSAGE] = "";
	double start = 0;

	for (int i = -1; i < TRIPS; i++) { /* the first is not counted */
		size_t got = 0;

		if (!i)
			start = now();
		if (write(s, message, MESSAGE) != MESSAGE)
			fail("write");
		while (got < MESSAGE) {
			ssize_t n = read(s, message, MESSAGE - got);

			if (n <= 0)
				fail("read");
			got += n;
		}
	}
	printf("net bench %s_rtt_ns %.0f\n", name, (now() - start) / TRIPS);
	close(s);
}

static void stream(const char *name, const char *verb, int port, long bytes)
{
	char line[32];
	double start;
	long left = bytes;
	bool take = !strcmp(verb, "take");
	int s;

	snprintf(line, sizeof(line), "%s %ld\n", verb, bytes);
	s = ask(SOCK_STREAM, port, line);
	start = now();
	while (left > 0) {
		size_t n = left < (long)sizeof(chunk) ? (size_t)left : sizeof(chunk);
		ssize_t done = take ? write(s, chunk, n) : read(s, chunk, n);

		if (done <= 0)
			fail(verb);
		left -= done;
	}
	if (take && read(s, line, 1) != 1)
		fail("read");
	printf("net bench %s_kbs %.0f\n", name, bytes * 1e6 / (now() - start));
	close(s);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "serve"))
		server();
	if (argc != 5 || strcmp(argv[1], "client")) {
		fputs("Usage: bench-net serve | bench-net client ADDRESS PORT MB\n", stderr);
		return 2;
	}
	const int port = atoi(argv[3]);
	const long bytes = atol(argv[4]) << 20;

	address = inet_addr(argv[2]);
	trips("udp", ask(SOCK_DGRAM, port, NULL));
	trips("tcp", ask(SOCK_STREAM, port, "echo\n"));
	stream("rx", "send", port, bytes);
	stream("tx", "take", port, bytes);
	return 0;
}
