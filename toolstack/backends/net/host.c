/* SPDX-License-Identifier: MIT */
/*
 * `host=no`: which of a guest's frames lead to the host itself by way of libslirp. Its own switch
 * for that (disable_host_loopback) closes 10.0.2.2, but what a guest sends to 127.0.0.1 is a
 * connection of this process to 127.0.0.1; and 10.0.2.3 leads to every port of the host's name
 * server, which may be 127.0.0.53.
 */
#include <netinet/in.h>
#include <string.h>

#include "toolstack/backends/net/net.h"

#define IPV4_HEADER 20U
#define IPV6_HEADER 40U
#define DNS_PORT    53

static uint16_t be16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

/* To the name server only what is a question to it; ICMP is libslirp's to answer. */
static bool asks_names(const uint8_t *l4, uint32_t len, uint8_t proto)
{
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
		return true;
	return (proto == IPPROTO_TCP || proto == IPPROTO_UDP) && len >= 4 &&
	       be16(l4 + 2) == DNS_PORT;
}

static bool ipv4_leads(const uint8_t *ip, uint32_t len)
{
	static const uint8_t nameserver[4] = {10, 0, 2, 3};
	const uint32_t hlen = (ip[0] & 15) * 4;
	const uint8_t *to = ip + 16;

	if (to[0] == 127 || to[0] == 0)
		return true;
	if (memcmp(to, nameserver, 4))
		return false;
	/* a fragment may be anything's */
	return hlen < IPV4_HEADER || hlen > len || (be16(ip + 6) & 0x3fff) ||
	       !asks_names(ip + hlen, len - hlen, ip[9]);
}

static bool ipv6_leads(const uint8_t *ip, uint32_t len)
{
	static const uint8_t nothing[10], nameserver[16] = {0xfe, 0xc0, [15] = 3};
	const uint8_t *to = ip + 24;

	/* ::1, ::, and IPv4 addresses in the clothes of IPv6 */
	if (!memcmp(to, nothing, sizeof(nothing)))
		return true;
	return !memcmp(to, nameserver, 16) &&
	       !asks_names(ip + IPV6_HEADER, len - IPV6_HEADER, ip[6]);
}

bool leads_to_host(const struct frame *f)
{
	const uint8_t *ip = f->data + ETH_HEADER;
	const uint32_t len = f->len - ETH_HEADER;

	if (f->len < ETH_HEADER)
		return true;
	switch (be16(f->data + 12)) {
	case 0x0800: return len < IPV4_HEADER || ipv4_leads(ip, len);
	case 0x86dd: return len < IPV6_HEADER || ipv6_leads(ip, len);
	default: return false; /* ARP; others are not libslirp's */
	}
}
