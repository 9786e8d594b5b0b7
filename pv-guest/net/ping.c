/* SPDX-License-Identifier: MIT */
/* Echo requests, one every second or as soon as the last was answered. */
#include <pv/lib.h>
#include <pv/time.h>
#include <lwip/icmp.h>
#include <lwip/inet_chksum.h>
#include <lwip/raw.h>
#include "conn.h"
#include "net.h"
#include "tools.h"

#define ID    0x7076
#define BYTES 56

struct ping {
	struct raw_pcb *pcb;
	ip_addr_t to;
	uint16_t seq;
	uint64_t patience; /* ns */
	bool answered;
};

/* An ICMP message of any kind: 1 if it was the answer that we wait for, and is eaten up. */
static u8_t answer(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
	struct ping *ping = arg;
	const struct ip_hdr *ip = p->payload;
	struct icmp_echo_hdr echo;

	if (pbuf_copy_partial(p, &echo, sizeof(echo), (u16_t)IPH_HL_BYTES(ip)) != sizeof(echo) ||
	    ICMPH_TYPE(&echo) != ICMP_ER || echo.id != PP_HTONS(ID) ||
	    echo.seqno != lwip_htons(ping->seq))
		return 0;
	ping->answered = true;
	pbuf_free(p);
	return 1;
}

static bool request(struct ping *ping)
{
	struct pbuf *p = pbuf_alloc(PBUF_IP, sizeof(struct icmp_echo_hdr) + BYTES, PBUF_RAM);
	struct icmp_echo_hdr *echo;
	err_t rc;

	if (!p)
		return false;
	echo = p->payload;
	memset(echo, 0x55, p->len);
	ICMPH_TYPE_SET(echo, ICMP_ECHO);
	ICMPH_CODE_SET(echo, 0);
	echo->id = PP_HTONS(ID);
	echo->seqno = lwip_htons(++ping->seq);
	echo->chksum = 0;
	echo->chksum = inet_chksum(echo, p->len);
	ping->answered = false;
	rc = raw_sendto(ping->pcb, p, &ping->to);
	pbuf_free(p);
	return rc == ERR_OK;
}

/* Nanoseconds, or 0 if nothing came back. */
static uint64_t once(struct ping *ping)
{
	uint64_t start = time_ns(), deadline = start + ping->patience;

	if (!request(ping))
		return 0;
	while (!ping->answered && time_ns() < deadline)
		net_wait(deadline);
	return ping->answered ? time_ns() - start : 0;
}

static void ping(const char *host, unsigned long count, unsigned long seconds)
{
	struct ping ping = {.patience = seconds * SEC};
	uint64_t min = ~0ull, sum = 0;
	unsigned long answers = 0;

	if (!net_resolve(host, &ping.to) || (ping.pcb = raw_new(IP_PROTO_ICMP)) == NULL) {
		printf("FAIL ping %s: no such host\n", host);
		return;
	}
	raw_recv(ping.pcb, answer, &ping);
	for (unsigned long i = 0; i < count; i++) {
		uint64_t ns = once(&ping);

		if (!ns)
			continue;
		answers++;
		sum += ns;
		min = ns < min ? ns : min;
	}
	raw_remove(ping.pcb);
	if (answers)
		printf("%s ping %s: %lu of %lu answered, min %lu us, mean %lu us\n",
		       answers == count ? "ok" : "FAIL", host, answers, count, min / 1000,
		       sum / answers / 1000);
	else
		printf("FAIL ping %s: no answer\n", host);
}

void ping_command(int argc, char **argv)
{
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 4;
	unsigned long seconds = argc > 3 ? strtoul(argv[3], NULL, 10) : 60;
	bool enabled;

	if (argc < 2 || !count) {
		printf("usage: ping HOST [COUNT [SECONDS]]\n");
		return;
	}
	if (!iface_wait())
		return;
	enabled = net_enter();
	ping(argv[1], count, seconds);
	net_leave(enabled);
}
