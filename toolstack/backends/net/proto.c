/* SPDX-License-Identifier: MIT */
/* Headers, checksums (RFC 1071) and flows. Every byte here was written by a guest or a stranger. */
#include <netinet/in.h>
#include <string.h>

#include "toolstack/backends/net/net.h"

#define ETH_IPV4 0x0800
#define ETH_IPV6 0x86dd
#define ETH_VLAN 0x8100

#define TCP_HEADER   20U
#define UDP_HEADER   8U
#define MAX_IPV6_EXT 8

static uint16_t be16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static int parse_ipv4(const uint8_t *d, uint32_t len, struct headers *h)
{
	const uint8_t *ip = d + h->l3;
	uint32_t hlen, total;

	if (len < h->l3 + 20 || ip[0] >> 4 != 4)
		return -1;
	hlen = (ip[0] & 15) * 4;
	total = be16(ip + 2);
	if (hlen < 20 || total < hlen || total > len - h->l3 || (be16(ip + 6) & 0x3fff))
		return -1;
	h->version = 4;
	h->proto = ip[9];
	h->l4 = h->l3 + hlen;
	h->l4_len = total - hlen;
	return 0;
}

/* Extension headers that may stand before TCP or UDP: hop-by-hop, routing, destination options. */
static int parse_ipv6(const uint8_t *d, uint32_t len, struct headers *h)
{
	const uint8_t *ip = d + h->l3;
	uint32_t end;

	if (len < h->l3 + 40 || ip[0] >> 4 != 6 || be16(ip + 4) > len - h->l3 - 40)
		return -1;
	end = h->l3 + 40 + be16(ip + 4);
	h->version = 6;
	h->proto = ip[6];
	h->l4 = h->l3 + 40;
	for (int i = 0; i < MAX_IPV6_EXT; i++) {
		if (h->proto != IPPROTO_HOPOPTS && h->proto != IPPROTO_ROUTING &&
		    h->proto != IPPROTO_DSTOPTS)
			break;
		if (end - h->l4 < 8 || end - h->l4 < (d[h->l4 + 1] + 1) * 8U)
			return -1;
		h->proto = d[h->l4];
		h->l4 += (d[h->l4 + 1] + 1) * 8U;
	}
	h->l4_len = end - h->l4;
	return 0;
}

int headers_parse(const uint8_t *d, uint32_t len, struct headers *h)
{
	uint16_t type;

	h->l3 = ETH_HEADER;
	if (len < h->l3)
		return -1;
	type = be16(d + 12);
	if (type == ETH_VLAN && len >= h->l3 + 4) {
		type = be16(d + 16);
		h->l3 += 4;
	}
	if (type == ETH_IPV4 ? parse_ipv4(d, len, h) : type != ETH_IPV6 || parse_ipv6(d, len, h))
		return -1;
	if (h->proto == IPPROTO_TCP)
		return h->l4_len >= TCP_HEADER ? 0 : -1;
	return h->proto == IPPROTO_UDP && h->l4_len >= UDP_HEADER ? 0 : -1;
}

/* The ones' complement sum of the bytes, not folded, in the machine's byte order. */
static uint64_t sum(const uint8_t *p, uint32_t len, uint64_t s)
{
	uint64_t w;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		s += w;
		s += s < w; /* the carry comes in again at the bottom */
	}
	if (len) {
		w = 0;
		memcpy(&w, p, len);
		s += w;
		s += s < w;
	}
	return s;
}

/* Folded to 16 bits, in the machine's order: as it lies in memory it is in network order. */
static uint16_t fold(uint64_t s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return s;
}

static uint64_t pseudo_sum(const uint8_t *d, const struct headers *h)
{
	uint8_t tail[8] = {0};

	tail[2] = h->l4_len >> 8;
	tail[3] = h->l4_len;
	tail[7] = h->proto;
	if (h->version == 4)
		return sum(d + h->l3 + 12, 8, sum(tail, sizeof(tail), 0));
	return sum(d + h->l3 + 8, 32, sum(tail, sizeof(tail), 0));
}

static uint32_t field_of(const struct headers *h)
{
	return h->proto == IPPROTO_TCP ? 16 : 6;
}

int csum_fill(struct frame *f)
{
	struct headers h;
	uint16_t c;

	if (headers_parse(f->data, f->len, &h))
		return -1;
	memset(f->data + h.l4 + field_of(&h), 0, 2);
	c = ~fold(sum(f->data + h.l4, h.l4_len, pseudo_sum(f->data, &h)));
	if (!c && h.proto == IPPROTO_UDP)
		c = 0xffff; /* 0 would mean "none" */
	memcpy(f->data + h.l4 + field_of(&h), &c, 2);
	f->csum = CSUM_VALID;
	return 0;
}

int csum_prepare(struct frame *f, uint16_t *start, uint16_t *offset)
{
	struct headers h;
	uint16_t c;

	if (headers_parse(f->data, f->len, &h))
		return -1;
	c = fold(pseudo_sum(f->data, &h));
	memcpy(f->data + h.l4 + field_of(&h), &c, 2);
	*start = h.l4;
	*offset = field_of(&h);
	return 0;
}

bool gso_sane(const struct frame *f)
{
	struct headers h;
	uint32_t hlen;

	if (f->gso_size < NET_MIN_MSS || headers_parse(f->data, f->len, &h) ||
	    h.proto != IPPROTO_TCP ||
	    h.version != (f->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 ? 4 : 6))
		return false;
	hlen = (f->data[h.l4 + 12] >> 4) * 4;
	return hlen >= TCP_HEADER && hlen <= h.l4_len;
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

#define TCP_SYN	      0x02
#define TCPOPT_EOL    0
#define TCPOPT_NOP    1
#define TCPOPT_MAXSEG 2

uint16_t mss_replace(struct frame *f, uint16_t mss)
{
	struct headers h;
	uint32_t at, end;
	uint16_t was;

	if (headers_parse(f->data, f->len, &h) || h.version != 4 || h.proto != IPPROTO_TCP ||
	    !(f->data[h.l4 + 13] & TCP_SYN))
		return 0;
	end = (f->data[h.l4 + 12] >> 4) * 4;
	if (end > h.l4_len)
		return 0;
	for (at = h.l4 + TCP_HEADER, end += h.l4; at + 4 <= end; at += f->data[at + 1]) {
		while (f->data[at] == TCPOPT_NOP && at + 4 < end)
			at++;
		if (f->data[at] == TCPOPT_EOL || at + 4 > end || f->data[at + 1] < 2)
			break;
		if (f->data[at] != TCPOPT_MAXSEG || f->data[at + 1] != 4)
			continue;
		was = be16(f->data + at + 2);
		put16(f->data + at + 2, mss);
		f->csum = CSUM_BLANK;
		return was;
	}
	return 0;
}

#define IP_MORE 0x2000

uint32_t fragment_next(const struct frame *f, uint32_t *at, uint8_t *to)
{
	const uint8_t *ip = f->data + ETH_HEADER;
	uint32_t hlen, total, n, room;
	uint16_t off, c;

	if (f->len < ETH_HEADER + 20 || be16(f->data + 12) != ETH_IPV4)
		return 0;
	hlen = (ip[0] & 15) * 4;
	total = be16(ip + 2);
	if (hlen < 20 || total < hlen || total > f->len - ETH_HEADER || *at >= total - hlen)
		return 0;
	room = (NET_MTU - hlen) & ~7U;
	n = total - hlen - *at;
	off = be16(ip + 6); /* it may be a fragment itself */
	if (n > room) {
		n = room;
		off |= IP_MORE;
	}
	memcpy(to, f->data, ETH_HEADER + hlen);
	memcpy(to + ETH_HEADER + hlen, ip + hlen + *at, n);
	to += ETH_HEADER;
	put16(to + 2, hlen + n);
	put16(to + 6, off + *at / 8);
	put16(to + 10, 0);
	c = ~fold(sum(to, hlen, 0));
	memcpy(to + 10, &c, 2);
	*at += n;
	return ETH_HEADER + hlen + n;
}

uint32_t flow_hash(const struct frame *f)
{
	struct headers h;
	uint64_t s;
	uint16_t ports;

	if (headers_parse(f->data, f->len, &h))
		return 0;
	/* sums do not care for the order: both directions are alike */
	s = h.version == 4 ? sum(f->data + h.l3 + 12, 8, h.proto)
			   : sum(f->data + h.l3 + 8, 32, h.proto);
	ports = be16(f->data + h.l4) + be16(f->data + h.l4 + 2);
	return (fold(s) * 0x9e3779b1U + ports) * 0x85ebca6bU >> 16;
}
