/* SPDX-License-Identifier: MIT */
/* Files over plain TCP, for tests and measurements: how much, how fast, and a checksum of it. */
#include <pv/lib.h>
#include <pv/time.h>
#include "conn.h"
#include "echo.h"
#include "net.h"
#include "tools.h"

/* MB/s with one digit behind the point. */
static void print_rate(const char *what, unsigned long bytes, uint64_t ns, uint32_t crc, bool ok)
{
	uint64_t tenths = ns ? bytes * 10000 / ns : 0;

	printf("%s tcp %s: %lu bytes, %lu us, %lu.%lu MB/s, crc32 %08x\n", ok ? "ok" : "FAIL", what,
	       bytes, ns / 1000, tenths / 10, tenths % 10, crc);
}

/* Until the peer has no more, or so many. */
static void get(const ip_addr_t *to, uint16_t port, unsigned long want)
{
	unsigned long bytes = 0;
	uint64_t start = time_ns();
	uint32_t crc = 0;
	const void *data;
	struct conn c;
	size_t n;

	if (!conn_open(&c, to, port)) {
		printf("FAIL tcp get: no connection\n");
		return;
	}
	while (bytes < want && (n = conn_peek(&c, &data)) != 0) {
		if (n > want - bytes)
			n = want - bytes;
		crc = crc32(crc, data, n);
		conn_take(&c, n);
		bytes += n;
	}
	print_rate("get", bytes, time_ns() - start, crc,
		   bytes == want || (want == ~0ul && c.ended));
	conn_close(&c);
}

/* Words that do not repeat: what is lost, doubled or out of order shows in the checksum. */
static void fill(uint64_t *words, unsigned int n, uint64_t *state)
{
	for (unsigned int i = 0; i < n; i++)
		words[i] = *state += 0x9e3779b97f4a7c15ull;
}

static void put(const ip_addr_t *to, uint16_t port, unsigned long want)
{
	static uint64_t words[HEAP_PAYLOAD / 8];
	uint64_t start = time_ns(), state = 0;
	unsigned long bytes = 0;
	uint32_t crc = 0;
	struct conn c;
	bool ok;

	if (!conn_open(&c, to, port)) {
		printf("FAIL tcp put: no connection\n");
		return;
	}
	while (bytes < want) {
		size_t n = want - bytes < sizeof(words) ? want - bytes : sizeof(words);

		fill(words, ARRAY_SIZE(words), &state);
		crc = crc32(crc, words, n);
		if (!conn_write(&c, words, n))
			break;
		bytes += n;
	}
	ok = bytes == want && conn_drain(&c);
	print_rate("put", bytes, time_ns() - start, crc, ok);
	conn_close(&c);
}

static void echo(const char *word)
{
	unsigned long port = strtoul(word, NULL, 10);
	bool ok = port && port < 65536 && echo_start((uint16_t)port);

	printf("%s tcp echo: port %lu\n", ok ? "ok" : "FAIL", port);
}

static void run(int argc, char **argv)
{
	unsigned long bytes = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;
	ip_addr_t to;
	uint16_t port;

	if (argc == 3 && !strcmp(argv[1], "echo"))
		echo(argv[2]);
	else if (argc >= 4 && !strcmp(argv[1], "get") && net_target(argv[2], argv[3], &to, &port))
		get(&to, port, bytes ? bytes : ~0ul);
	else if (argc >= 4 && !strcmp(argv[1], "put") && net_target(argv[2], argv[3], &to, &port))
		put(&to, port, bytes ? bytes : 1 << 20);
}

void tcp_command(int argc, char **argv)
{
	bool enabled;

	if (argc < 3 || (argc < 4 && strcmp(argv[1], "echo"))) {
		printf("usage: tcp echo PORT, tcp get|put HOST PORT [BYTES]\n");
		return;
	}
	if (!iface_wait())
		return;
	enabled = net_enter();
	run(argc, argv);
	net_leave(enabled);
}
