/* SPDX-License-Identifier: MIT */
/*
 * pv-guest's network against its backend: netfront's rings, which may say anything, and behind
 * them lwIP, to which frames of any kind come: raw ones; and TCP segments and DHCP answers that
 * continue what the guest sent, for without its numbers they would get nowhere. A panic, as lwIP's
 * assertions are, counts as a crash.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pv/event.h>
#include <pv/grant.h>
#include <pv/netfront.h>
#include <pv/time.h>

/* Not the C library's, and nothing that differs from run to run. */
#define strtol	port_strtol
#define rdtsc() 1
#include "pv-guest/net/port.c"
#undef strtol

#include <lwip/dhcp.h>
#include <lwip/init.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/prot/dhcp.h>
#include <lwip/prot/iana.h>
#include <lwip/timeouts.h>
#include "pv-guest/net/echo.h"
#include "pv-guest/net/net.h"

#define POOL 2048 /* pages of the guest */
#define ECHO 7

/* ---- the guest's world ---- */

char _virt_base[POOL * 4096] __attribute__((aligned(4096)));
static mfn_t mfns[POOL];
static struct start_info info = {.mfn_list = (unsigned long)mfns};
struct start_info *start_info = &info;
struct lock net_lock;
static void *free_pages[POOL];
static unsigned int nr_free;
static uint64_t now;

/* A reference is the page's number and a thousand. */
long grant_access(domid_t domid, mfn_t mfn, bool readonly)
{
	return (long)mfn + 1000;
}
static uint8_t *page_of(grant_ref_t ref)
{
	return (uint8_t *)_virt_base + (ref - 1000) * 4096ul;
}
void *page_try_alloc(void)
{
	return nr_free ? memset(free_pages[--nr_free], 0, 4096) : NULL;
}
void page_free(void *page)
{
	free_pages[nr_free++] = page;
}
unsigned long page_total(void)
{
	return POOL;
}
uint64_t time_ns(void)
{
	return now;
}
long event_send(unsigned int port)
{
	return 0;
}
/* The driver says whenever it finds its backend broken. */
int __wrap_printf(const char *fmt, ...);
int __wrap_printf(const char *fmt, ...)
{
	return 0;
}
void panic(const char *fmt, ...)
{
	abort();
}
bool net_enter(void)
{
	return true;
}
void net_leave(bool enabled)
{
}
void net_wait(uint64_t deadline)
{
}
void stack_init(void)
{
	lwip_init();
}

/* ---- the backend ---- */

static char tx_memory[4096] __attribute__((aligned(4096)));
static char rx_memory[4096] __attribute__((aligned(4096)));
static netif_tx_sring_t *tx = (netif_tx_sring_t *)(void *)tx_memory;
static netif_rx_sring_t *rx = (netif_rx_sring_t *)(void *)rx_memory;
static struct xenbus_device device;
static struct netfront front = {.device = &device, .mac = {0, 0x16, 0x3e, 1, 2, 3}};

struct netfront *netfront_get(unsigned int index)
{
	return index ? NULL : &front;
}

/* What the guest said last, which an answer has to repeat. */
static uint8_t xid[4];
static struct tcp_hdr last_tcp;
static unsigned int last_length;

static void listen_to(const uint8_t *p, unsigned int n)
{
	if (n < 54 || p[12] != 8 || p[13])
		return;
	if (p[23] == IP_PROTO_TCP) {
		memcpy(&last_tcp, p + 34, sizeof(last_tcp));
		last_length = (unsigned int)(p[16] << 8 | p[17]) - 20 - (p[46] >> 4) * 4u +
			      !!(p[47] & (TCP_SYN | TCP_FIN));
	} else if (p[23] == IP_PROTO_UDP && p[37] == LWIP_IANA_PORT_DHCP_SERVER && n >= 54) {
		memcpy(xid, p + 46, 4);
	}
}

/* Takes what was sent; the answers are honest here. */
static void take_sent(void)
{
	bool first = true;

	for (; tx->rsp_prod != tx->req_prod; tx->rsp_prod++) {
		netif_tx_request_t r = *RING_GET_REQUEST(&front.tx, tx->rsp_prod);
		unsigned int room = 4096u - r.offset;

		/* Of a packet in pieces the first one's size is the packet's. */
		if (first)
			listen_to(page_of(r.gref) + r.offset, r.size < room ? r.size : room);
		first = !(r.flags & NETTXF_more_data);
		*RING_GET_RESPONSE(&front.tx, tx->rsp_prod) =
			(netif_tx_response_t){.id = r.id, .status = NETIF_RSP_OKAY};
	}
}

static void run(void)
{
	netfront_poll(&front);
	sys_check_timeouts();
	netfront_flush(&front);
	if (front.up)
		take_sent();
}

/* ---- the input ---- */

static const uint8_t *data;
static size_t left;

static unsigned int byte(void)
{
	return left ? left--, *data++ : 0;
}
static unsigned int word(void)
{
	unsigned int low = byte();

	return byte() << 8 | low;
}
static unsigned int bytes(uint8_t *to, unsigned int n)
{
	n = n < left ? n : (unsigned int)left;
	memcpy(to, data, n);
	data += n;
	left -= n;
	return n;
}

/* A slot of any contents, in the page that the guest gave for it, if there is one. */
static void any_slot(void)
{
	RING_IDX at = rx->rsp_prod;
	netif_rx_request_t q = *RING_GET_REQUEST(&front.rx, at);
	netif_rx_response_t r = {.id = q.id,
				 .offset = (uint16_t)(byte() & 3 ? 0 : word()),
				 .flags = (uint16_t)byte(),
				 .status = (int16_t)word()};

	if (byte() > 250)
		r.id = (uint16_t)word();
	if (at != rx->req_prod && r.offset < 4096)
		bytes(page_of(q.gref) + r.offset, 4096u - r.offset < 200 ? 4096u - r.offset : 200);
	*RING_GET_RESPONSE(&front.rx, at) = r;
	rx->rsp_prod++;
}

/* A frame cut into slots of the given size. */
static void frame(const uint8_t *p, unsigned int n, unsigned int part, unsigned int flags)
{
	for (unsigned int at = 0; at < n && rx->rsp_prod != rx->req_prod; at += part) {
		netif_rx_request_t q = *RING_GET_REQUEST(&front.rx, rx->rsp_prod);
		unsigned int size = n - at < part ? n - at : part;

		memcpy(page_of(q.gref), p + at, size);
		*RING_GET_RESPONSE(&front.rx, rx->rsp_prod) = (netif_rx_response_t){
			.id = q.id,
			.status = (int16_t)size,
			.flags = (uint16_t)(flags | (at + size < n ? NETRXF_more_data : 0))};
		rx->rsp_prod++;
	}
}

/* An IP packet for us whose contents begin behind its header; lengths as they should be. */
static void packet(uint8_t *p, unsigned int protocol, unsigned int payload, unsigned int part)
{
	static const uint8_t head[] = {0, 0x16, 0x3e, 1, 2, 3, 2, 2, 2, 2, 2, 2, 8, 0, 0x45, 0};
	unsigned int n = 20 + payload;

	memcpy(p, head, sizeof(head));
	memset(p + 16, 0, 6);
	p[16] = (uint8_t)(n >> 8);
	p[17] = (uint8_t)n;
	p[22] = 64;
	p[23] = (uint8_t)protocol;
	memcpy(p + 26, "\x0a\0\2\2\x0a\0\2\x0f", 8);
	frame(p, 14 + n, part, NETRXF_data_validated);
}

static void tcp_segment(void)
{
	static uint8_t p[4096];
	struct tcp_hdr h = {.src = last_tcp.dest, .dest = last_tcp.src, .chksum = 0};
	unsigned int words = 5 + (byte() & 3 ? 0 : byte() % 11), n;

	if (!(byte() & 7) || !h.dest) {
		h.src = lwip_htons((u16_t)(1024 + byte() % 4));
		h.dest = PP_HTONS(ECHO);
	}
	h.seqno =
		lwip_htonl(lwip_ntohl(last_tcp.ackno) + (u32_t)(byte() & 3 ? 0 : (int16_t)word()));
	h.ackno = lwip_htonl(lwip_ntohl(last_tcp.seqno) + last_length - (byte() & 3 ? 0 : byte()));
	h._hdrlen_rsvd_flags = lwip_htons((u16_t)(words << 12 | (byte() & 0x3f)));
	h.wnd = (u16_t)word();
	h.urgp = (u16_t)word();
	memcpy(p + 34, &h, sizeof(h));
	n = bytes(p + 34 + sizeof(h), byte() * 4);
	packet(p, IP_PROTO_TCP, (unsigned int)sizeof(h) + n, 1 + byte() * 16);
}

/* The gateway asks for our address, and so tells its own. */
static void arp_request(void)
{
	static const uint8_t p[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 2, 2, 2, 2,	2, 8, 6,
				    0,	  1,	8,    0,    6,	  4,	0, 1, 2, 2, 2,	2, 2, 2,
				    10,	  0,	2,    2,    0,	  0,	0, 0, 0, 0, 10, 0, 2, 15};

	frame(p, sizeof(p), sizeof(p), 0);
	run();
}

/* A whole handshake with the echo service. */
static void connect(void)
{
	static uint8_t p[54];
	struct tcp_hdr h = {.src = PP_HTONS(1024), .dest = PP_HTONS(ECHO), .wnd = 0xffff};

	h.seqno = PP_HTONL(1000);
	h._hdrlen_rsvd_flags = PP_HTONS(5 << 12 | TCP_SYN);
	memcpy(p + 34, &h, sizeof(h));
	packet(p, IP_PROTO_TCP, sizeof(h), sizeof(p));
	run();
	h.seqno = PP_HTONL(1001);
	h.ackno = lwip_htonl(lwip_ntohl(last_tcp.seqno) + 1);
	h._hdrlen_rsvd_flags = PP_HTONS(5 << 12 | TCP_ACK);
	memcpy(p + 34, &h, sizeof(h));
	packet(p, IP_PROTO_TCP, sizeof(h), sizeof(p));
	run();
}

static void dhcp_answer(void)
{
	static uint8_t p[2048];
	struct dhcp_msg *m = (struct dhcp_msg *)(p + 42);
	unsigned int n;

	memset(p, 0, 42 + DHCP_OPTIONS_OFS);
	memcpy(p + 34, "\0\x43\0\x44", 4);
	m->op = DHCP_BOOTREPLY;
	memcpy(&m->xid, xid, 4);
	memcpy(&m->yiaddr, "\x0a\0\2\x0f", 4);
	memcpy(m->chaddr, front.mac, 6);
	m->cookie = PP_HTONL(DHCP_MAGIC_COOKIE);
	n = DHCP_OPTIONS_OFS + bytes(p + 42 + DHCP_OPTIONS_OFS, byte() * 2);
	p[38] = (uint8_t)((n + 8) >> 8);
	p[39] = (uint8_t)(n + 8);
	packet(p, IP_PROTO_UDP, n + 8, 1 + byte() * 16);
}

static void any_packet(void)
{
	static uint8_t p[4096];
	unsigned int protocol = byte();

	packet(p, protocol, bytes(p + 34, byte() * 8), 1 + byte() * 16);
}

static void any_frame(void)
{
	static uint8_t p[4096];
	unsigned int part = 1 + byte() * 16;

	frame(p, bytes(p, byte() * 8), part, byte() & 3);
}

static void step(void)
{
	switch (byte() % 8) {
	case 0: any_slot(); break;
	case 1: any_frame(); break;
	case 2: any_packet(); break;
	case 3:
	case 4: tcp_segment(); break;
	case 5: dhcp_answer(); break;
	case 6: now += byte() * 100 * MSEC; break;
	case 7:
		if (byte() > 240)
			rx->rsp_prod += word();
		break;
	}
	run();
}

/* ---- one world per input ---- */

static void link_up(void)
{
	SHARED_RING_INIT(tx);
	SHARED_RING_INIT(rx);
	FRONT_RING_INIT(&front.tx, tx, 4096);
	FRONT_RING_INIT(&front.rx, rx, 4096);
	front.free_ids = 0;
	for (unsigned int id = 0; id < NET_RING; id++)
		front.free_id[front.free_ids++] = (uint16_t)id;
	front.packet.slices = front.packet.total = 0;
	front.more = front.extra = front.bad = false;
	front.broken = NULL;
	front.up = true;
	net_link(&front, true);
	netfront_flush(&front);
}

static void link_down(void)
{
	front.up = false;
	net_link(&front, false);
	for (unsigned int i = 0; i < front.packet.slices; i++)
		netfront_give(&front, front.packet.slice[i].buffer);
	for (unsigned int i = 0; i < NET_RING; i++) {
		void *owner = front.owner[i];

		front.owner[i] = NULL;
		if (owner)
			net_sent(owner);
		if (front.posted[i])
			netfront_give(&front, front.posted[i]);
		front.posted[i] = NULL;
	}
	while (tcp_active_pcbs)
		tcp_abort(tcp_active_pcbs);
	while (tcp_tw_pcbs)
		tcp_abort(tcp_tw_pcbs);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	for (unsigned int i = 0; i < POOL; i++) {
		mfns[i] = i;
		page_free(_virt_base + (POOL - 1 - i) * 4096ul);
	}
	front.gather = front.checksums = front.segments = true;
	if (!net_attach(&front))
		abort();
	link_up();
	if (!echo_start(ECHO))
		abort();
	link_down();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct netif *n = iface_get(0);

	data = input;
	left = size;
	memset(&last_tcp, 0, sizeof(last_tcp));
	link_up();
	if (byte() & 1) {
		iface_static(n, 0, 0, 0);
		iface_dhcp(n);
		run();
	} else {
		iface_static(n, PP_HTONL(0x0a00020f), PP_HTONL(0xffffff00), PP_HTONL(0x0a000202));
		arp_request();
		connect();
	}
	while (left && front.up)
		step();
	link_down();
	return 0;
}
