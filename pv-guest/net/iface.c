/* SPDX-License-Identifier: MIT */
/*
 * lwIP's interface on top of netfront. Out: packets go where they lie in the heap, without a copy.
 * In: the backend may write to a page it was given at any time, so headers are copied before lwIP
 * trusts them, and small packets as a whole; the rest of TCP's data stays in its page until it is
 * used.
 */
#include <pv/grant.h>
#include <pv/thread.h>
#include <pv/time.h>
#include <lwip/dhcp.h>
#include <lwip/dns.h>
#include <lwip/etharp.h>
#include <lwip/ip4_frag.h>
#include <lwip/netif.h>
#include <lwip/prot/tcp.h>
#include <lwip/prot/udp.h>
#include <lwip/timeouts.h>
#include "net.h"

#define HEAD	 192 /* all headers that TCP over IP over Ethernet can have, and more */
#define PATIENCE (5 * SEC)

/* A page to receive in, and lwIP's handle of it while its data is in use. */
struct rx {
	struct pbuf_custom pbuf; /* first: lwIP hands it back */
	struct net_buffer buffer;
};

static struct iface {
	struct netif netif;
	struct netfront *front;
	bool added, buffers;
} ifaces[NETFRONTS];

struct netif *iface_get(unsigned int index)
{
	return index < NETFRONTS && ifaces[index].added ? &ifaces[index].netif : NULL;
}

/* ---- out ---- */

/*
 * lwIP believes in a large MTU where the backend cuts segments; but that holds for TCP only. The
 * rest goes in fragments.
 */
static err_t route(struct netif *n, struct pbuf *p, const ip4_addr_t *to)
{
	const u16_t believed = n->mtu;
	err_t rc;

	if (p->tot_len <= NET_MTU || IPH_PROTO((struct ip_hdr *)p->payload) == IP_PROTO_TCP)
		return etharp_output(n, p, to);
	n->mtu = NET_MTU;
	rc = ip4_frag(p, n, to);
	n->mtu = believed;
	return rc;
}

/* Cuts a chain into pieces; false if some of it does not lie in the heap. */
static bool cut(struct net_packet *out, const struct pbuf *p)
{
	for (; p; p = p->next) {
		/* Memory of lwIP's "heap" type, struct and data in one piece, is ours. */
		if (!pbuf_match_type(p, PBUF_RAM) || out->pieces == NET_PIECES)
			return false;
		if (!p->len)
			continue;
		out->piece[out->pieces++] = (struct net_piece){
			.ref = heap_ref(p),
			.offset = (uint16_t)((unsigned long)p->payload & ~PAGE_MASK),
			.size = p->len,
		};
	}
	return true;
}

/* A chain in the heap, with room for so many bytes. */
static struct pbuf *heap_chain(unsigned int bytes)
{
	struct pbuf *chain = NULL;

	while (bytes) {
		u16_t n = (u16_t)(bytes < HEAP_PAYLOAD ? bytes : HEAP_PAYLOAD);
		struct pbuf *p = pbuf_alloc(PBUF_RAW, n, PBUF_RAM);

		if (!p) {
			if (chain)
				pbuf_free(chain);
			return NULL;
		}
		if (chain)
			pbuf_cat(chain, p);
		else
			chain = p;
		bytes -= n;
	}
	return chain;
}

/* The sum over the pseudo header of RFC 793, not inverted. */
static uint16_t pseudo_sum(const struct ip_hdr *ip, uint16_t length)
{
	struct {
		uint32_t src, dst;
		uint16_t protocol, length;
	} pseudo = {ip->src.addr, ip->dest.addr, PP_HTONS(IPH_PROTO(ip)), lwip_htons(length)};

	return net_checksum(&pseudo, sizeof(pseudo));
}

/*
 * What lwIP left to the backend: TCP's and UDP's checksums, of which it fills in the pseudo
 * header's part, and the cutting of long segments. Fragments are left alone: of theirs lwIP makes
 * no checksum, which UDP permits.
 */
static void offload(struct net_packet *out, struct pbuf *p)
{
	const struct eth_hdr *eth = p->payload;
	struct ip_hdr *ip = (struct ip_hdr *)((char *)p->payload + SIZEOF_ETH_HDR);
	unsigned int head, length;
	void *l4;

	if (p->len < SIZEOF_ETH_HDR + IP_HLEN || eth->type != PP_HTONS(ETHTYPE_IP) ||
	    (IPH_OFFSET(ip) & PP_HTONS(IP_OFFMASK | IP_MF)))
		return;
	head = SIZEOF_ETH_HDR + IPH_HL_BYTES(ip);
	length = p->tot_len - head;
	l4 = (char *)p->payload + head;
	if (IPH_PROTO(ip) == IP_PROTO_TCP && p->len >= head + TCP_HLEN) {
		((struct tcp_hdr *)l4)->chksum = pseudo_sum(ip, (uint16_t)length);
		if (p->tot_len > SIZEOF_ETH_HDR + NET_MTU)
			out->segment = TCP_MSS;
	} else if (IPH_PROTO(ip) == IP_PROTO_UDP && p->len >= head + UDP_HLEN) {
		((struct udp_hdr *)l4)->chksum = pseudo_sum(ip, (uint16_t)length);
	} else {
		return;
	}
	out->blank = true;
}

static bool send_chain(struct iface *i, struct pbuf *p)
{
	struct net_packet out = {.owner = p};

	if (!cut(&out, p))
		return false;
	if (!(i->netif.chksum_flags & NETIF_CHECKSUM_GEN_TCP))
		offload(&out, p);
	/* One reference for each piece that is under way. */
	for (unsigned int piece = 0; piece < out.pieces; piece++)
		pbuf_ref(p);
	if (netfront_send(i->front, &out))
		return true;
	for (unsigned int piece = 0; piece < out.pieces; piece++)
		pbuf_free(p);
	return false;
}

static err_t output(struct netif *n, struct pbuf *p)
{
	struct iface *i = n->state;
	struct pbuf *copy;
	bool sent;

	if (i->front->gather || !p->next) {
		if (send_chain(i, p))
			return ERR_OK;
	}
	/* Not in the heap, or more pieces than go; or there is no room, which the copy will see. */
	if (p->tot_len > HEAP_PAYLOAD && !i->front->gather)
		return ERR_BUF;
	copy = heap_chain(p->tot_len);
	if (!copy || pbuf_copy(copy, p) != ERR_OK)
		sent = false;
	else
		sent = send_chain(i, copy);
	if (copy)
		pbuf_free(copy);
	return sent ? ERR_OK : ERR_MEM;
}

void net_sent(void *owner)
{
	pbuf_free(owner);
}

/* ---- in ---- */

static void rx_free(struct pbuf *p)
{
	struct rx *rx = (struct rx *)p;

	netfront_give(rx->buffer.front, &rx->buffer);
}

static struct rx *rx_of(struct net_buffer *b)
{
	return (struct rx *)((char *)b - offsetof(struct rx, buffer));
}

/* Copies the packet's first n bytes, wherever they lie. */
static struct pbuf *copy_head(const struct net_received *r, unsigned int n)
{
	struct pbuf *p = heap_chain(n);
	unsigned int done = 0;

	for (unsigned int i = 0; p && done < n; i++) {
		const struct net_slice *s = &r->slice[i];
		unsigned int part = s->size < n - done ? s->size : n - done;

		pbuf_take_at(p, (char *)s->buffer->page + s->offset, (u16_t)part, (u16_t)done);
		done += part;
	}
	return p;
}

static bool is_tcp(const struct pbuf *head)
{
	const struct eth_hdr *eth = head->payload;
	const struct ip_hdr *ip = (struct ip_hdr *)((char *)head->payload + SIZEOF_ETH_HDR);

	return head->len == HEAD && eth->type == PP_HTONS(ETHTYPE_IP) &&
	       IPH_PROTO(ip) == IP_PROTO_TCP && !(IPH_OFFSET(ip) & PP_HTONS(IP_OFFMASK | IP_MF));
}

/* Appends what lies behind the first `skip` bytes, where it is; gives back buffers without any. */
static void append_rest(struct netfront *f, struct pbuf *p, const struct net_received *r,
			unsigned int skip)
{
	for (unsigned int i = 0; i < r->slices; i++) {
		const struct net_slice *s = &r->slice[i];
		unsigned int part = s->size < skip ? s->size : skip;
		struct rx *rx = rx_of(s->buffer);

		skip -= part;
		if (part == s->size) {
			netfront_give(f, s->buffer);
			continue;
		}
		rx->pbuf.custom_free_function = rx_free;
		pbuf_cat(p,
			 pbuf_alloced_custom(PBUF_RAW, (u16_t)(s->size - part), PBUF_REF, &rx->pbuf,
					     (char *)s->buffer->page + s->offset + part,
					     (u16_t)(s->size - part)));
	}
}

static void give_all(struct netfront *f, const struct net_received *r)
{
	for (unsigned int i = 0; i < r->slices; i++)
		netfront_give(f, r->slice[i].buffer);
}

/* lwIP's packet from the driver's; NULL for want of memory. Takes over the buffers. */
static struct pbuf *assemble(struct netfront *f, const struct net_received *r)
{
	struct pbuf *p = copy_head(r, r->total < HEAD ? r->total : HEAD);

	if (p && r->total > HEAD && is_tcp(p)) {
		append_rest(f, p, r, HEAD);
		return p;
	}
	if (p && r->total > HEAD) {
		pbuf_free(p);
		p = copy_head(r, r->total);
	}
	give_all(f, r);
	return p;
}

void net_received(struct netfront *f, const struct net_received *r)
{
	struct netif *n = &ifaces[f->index].netif;
	const u16_t check = NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP;
	struct pbuf *p = assemble(f, r);

	if (!p)
		return;
	/* For this packet only: it goes all the way up before this returns. */
	NETIF_SET_CHECKSUM_CTRL(
		n, (u16_t)(r->checked ? n->chksum_flags & ~check : n->chksum_flags | check));
	if (n->input(p, n) != ERR_OK)
		pbuf_free(p);
}

/* ---- coming and going ---- */

static err_t init(struct netif *n)
{
	struct iface *i = n->state;

	n->name[0] = 'e';
	n->name[1] = 'n';
	n->hostname = "pv-guest";
	n->output = route;
	n->linkoutput = output;
	n->hwaddr_len = 6;
	memcpy(n->hwaddr, i->front->mac, 6);
	n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
	return ERR_OK;
}

/* As many pages to receive in as a ring has room for, if that is not too much of all there are. */
static bool make_buffers(struct iface *i)
{
	unsigned long pages = page_total() / 16 < NET_RING ? page_total() / 16 : NET_RING;
	struct rx *rx = NULL, *end = NULL;

	for (; pages; pages--, rx++) {
		void *page = page_try_alloc();
		long ref;

		if (rx == end) {
			rx = page_try_alloc();
			end = rx + PAGE_SIZE / sizeof(*rx);
		}
		if (!page || !rx)
			return false;
		ref = grant_access(i->front->device->backend_id, va_to_mfn(page), false);
		if (ref < 0)
			return false;
		rx->buffer = (struct net_buffer){
			.front = i->front, .page = page, .ref = (grant_ref_t)ref};
		netfront_give(i->front, &rx->buffer);
	}
	return true;
}

bool net_attach(struct netfront *f)
{
	struct iface *i = &ifaces[f->index];

	if (!heap_init(f->device->backend_id))
		return false;
	i->front = f;
	if (!i->buffers && !make_buffers(i))
		return false;
	i->buffers = true;
	stack_init();
	return true;
}

static bool has_address(const struct netif *n)
{
	return !ip4_addr_isany_val(*netif_ip4_addr(n));
}

void iface_static(struct netif *n, uint32_t address, uint32_t mask, uint32_t gateway)
{
	ip4_addr_t a = {address}, m = {mask}, g = {gateway};

	dhcp_release_and_stop(n);
	netif_set_addr(n, &a, &m, &g);
}

/* Nobody answered: the address that a user-mode network gives its first guest. */
static void fall_back(void *arg)
{
	struct netif *n = arg;

	if (has_address(n) || !netif_is_link_up(n))
		return;
	printf("net: no answer from DHCP, taking 10.0.2.15\n");
	iface_static(n, PP_HTONL(0x0a00020f), PP_HTONL(0xffffff00), PP_HTONL(0x0a000202));
}

void iface_dhcp(struct netif *n)
{
	sys_untimeout(fall_back, n);
	sys_timeout(PATIENCE / MSEC, fall_back, n);
	dhcp_start(n);
}

static void add(struct iface *i)
{
	netif_add_noaddr(&i->netif, i, init, netif_input);
	i->added = true;
	if (!netif_default)
		netif_set_default(&i->netif);
	netif_set_up(&i->netif);
}

/* The backend may be another one than last time, with other powers. */
void net_link(struct netfront *f, bool up)
{
	struct iface *i = &ifaces[f->index];

	if (!up) {
		netif_set_link_down(&i->netif);
		return;
	}
	if (!i->added)
		add(i);
	memcpy(i->netif.hwaddr, f->mac, 6);
	i->netif.mtu = f->segments ? IP_HLEN + TCP_HLEN + NET_SEGMENTS * TCP_MSS : NET_MTU;
	NETIF_SET_CHECKSUM_CTRL(
		&i->netif, f->checksums ? NETIF_CHECKSUM_ENABLE_ALL &
						  ~(NETIF_CHECKSUM_GEN_TCP | NETIF_CHECKSUM_GEN_UDP)
					: NETIF_CHECKSUM_ENABLE_ALL);
	netif_set_link_up(&i->netif);
	if (!has_address(&i->netif))
		iface_dhcp(&i->netif);
}

bool iface_wait(void)
{
	uint64_t start = time_ns(), deadline = start + 60 * SEC;
	bool enabled = net_enter(), found = false;

	while (!(found = netif_default && has_address(netif_default)) && time_ns() < deadline) {
		/* No device at all: it would have been found by now. */
		if (!netfront_get(0) && time_ns() - start > SEC)
			break;
		net_wait(time_ns() + SEC / 10);
	}
	net_leave(enabled);
	if (!found)
		printf("net: no interface with an address\n");
	return found;
}
