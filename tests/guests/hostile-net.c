/* SPDX-License-Identifier: MIT */
/*
 * A network frontend that lies: in its rings, in its packets, in xenstore. The first interface
 * stays honest, and must work after every lie: that is, its ARP request is answered. (The network
 * is libslirp's: 10.0.2.2 is always there.) The second lies in what it sends, and must work again
 * when it connects anew. Of lies about the ring itself, and about what makes it, a backend may
 * take offence for good: each of the other interfaces is spent on one of these. Which, and what is
 * random, depends on a seed on the command line.
 */
#include "store.h"

#include <pv/grant.h>
#define xen_mb()  mb()
#define xen_rmb() mb()
#define xen_wmb() mb()
#include <xen/io/netif.h>
#include <xen/io/xenbus.h>

TEST("hostile-net", "a lying network frontend hurts nothing but its own queue");

#define RING	256
#define PAGES	8 /* to receive in, and as many to send from */
#define LIMIT	(60 * SEC)
#define ROUNDS	50
#define PATTERN 0x5a

#define FRONTS 8

static struct front {
	unsigned int id;
	netif_tx_sring_t *tx;
	netif_rx_sring_t *rx;
	uint8_t *tx_page[PAGES], *rx_page[PAGES];
	grant_ref_t tx_ring_ref, rx_ring_ref, tx_ref[PAGES], rx_ref[PAGES];
	RING_IDX tx_prod, rx_prod, rx_cons;
	unsigned int port;
	char backend[128];
	uint8_t mac[6];
} fronts[FRONTS], *f; /* the one that talks now */

static unsigned int nr_fronts;
static uint8_t *canary;
static grant_ref_t read_only, ended;

/* ---- xenstore ---- */

static const char *node(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "device/vif/%u/%s", f->id, name);
	return path;
}

static void say(const char *name, unsigned long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", value);
	store_write(node(name), text);
}

static unsigned long backend_state(void)
{
	char path[140];

	snprintf(path, sizeof(path), "%s/state", f->backend);
	return store_number(path);
}

static bool wait_state(unsigned long a, unsigned long b)
{
	uint64_t deadline = time_ns() + LIMIT;
	unsigned long s;

	while ((s = backend_state()) != a && s != b && time_ns() < deadline)
		nap(start_info->store_evtchn);
	return s == a || s == b;
}

/* ---- an honest frontend ---- */

static void post_all(void)
{
	while (f->rx_prod - f->rx_cons < PAGES) {
		f->rx->ring[f->rx_prod % RING].req = (netif_rx_request_t){
			.id = (uint16_t)(f->rx_prod % RING), .gref = f->rx_ref[f->rx_prod % PAGES]};
		f->rx_prod++;
	}
	mb();
	f->rx->req_prod = f->rx_prod;
	event_send(f->port);
}

static void clear_rings(void)
{
	page_clear(f->tx);
	page_clear(f->rx);
	SHARED_RING_INIT(f->tx);
	SHARED_RING_INIT(f->rx);
	f->tx_prod = f->rx_prod = f->rx_cons = 0;
}

static void write_nodes(void)
{
	say("tx-ring-ref", f->tx_ring_ref);
	say("rx-ring-ref", f->rx_ring_ref);
	say("event-channel", f->port);
	say("multi-queue-num-queues", 1);
	say("request-rx-copy", 1);
	say("feature-rx-notify", 1);
	say("feature-sg", 1);
	say("feature-gso-tcpv4", 1);
	say("feature-persistent", rnd(2));
}

static bool connect(void)
{
	if (!wait_state(XenbusStateInitWait, XenbusStateInitWait))
		return false;
	clear_rings();
	f->port = (unsigned int)event_alloc_unbound(0);
	write_nodes();
	say("state", XenbusStateConnected);
	if (!wait_state(XenbusStateConnected, XenbusStateConnected))
		return false;
	post_all();
	return true;
}

/* Whatever state the device is in: down, and up again. */
static bool reconnect(void)
{
	say("state", XenbusStateClosing);
	if (!wait_state(XenbusStateClosing, XenbusStateClosed))
		return false;
	say("state", XenbusStateClosed);
	if (!wait_state(XenbusStateClosed, XenbusStateInitWait))
		return false;
	event_close(f->port);
	say("state", XenbusStateInitialising);
	return connect();
}

static netif_tx_request_t *slot(unsigned int page, unsigned int size, unsigned int flags)
{
	netif_tx_request_t *r = &f->tx->ring[f->tx_prod % RING].req;

	*r = (netif_tx_request_t){.gref = f->tx_ref[page % PAGES],
				  .flags = (uint16_t)flags,
				  .id = (uint16_t)(f->tx_prod % RING),
				  .size = (uint16_t)size};
	f->tx_prod++;
	return r;
}

static void extra(unsigned int type, unsigned int flags, unsigned int size, unsigned int gso)
{
	netif_extra_info_t *x = (netif_extra_info_t *)(void *)&f->tx->ring[f->tx_prod++ % RING];

	*x = (netif_extra_info_t){.type = (uint8_t)type,
				  .flags = (uint8_t)flags,
				  .u.gso = {.size = (uint16_t)size, .type = (uint8_t)gso}};
}

static void go(void)
{
	mb();
	f->tx->req_prod = f->tx_prod;
	event_send(f->port);
}

/* "Who has 10.0.2.2?", of the smallest size that Ethernet has. */
static void make_arp(uint8_t *p)
{
	static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

	page_clear(p);
	memset(p, 0xff, 6);
	memcpy(p + 6, f->mac, 6);
	memcpy(p + 12, head, sizeof(head));
	memcpy(p + 22, f->mac, 6);
	memcpy(p + 28, "\x0a\0\2\x0f", 4);
	memcpy(p + 38, "\x0a\0\2\2", 4);
}

/* Frames that came, whatever they are, make room for others; true if one was the answer. */
static bool take_frames(void)
{
	bool found = false;

	while (f->rx_cons != READ_ONCE(f->rx->rsp_prod) && f->rx_cons != f->rx_prod) {
		netif_rx_response_t r = f->rx->ring[f->rx_cons % RING].rsp;
		const uint8_t *p = f->rx_page[f->rx_cons % PAGES];

		f->rx_cons++;
		found |= r.status >= 42 && p[12] == 8 && p[13] == 6 && p[21] == 2 && p[31] == 2;
	}
	post_all();
	return found;
}

static bool honest(void)
{
	uint64_t deadline = time_ns() + LIMIT;
	bool found = false;

	f->tx_prod = f->tx->req_prod;
	make_arp(f->tx_page[0]);
	slot(0, 60, 0);
	go();
	while (!found && time_ns() < deadline) {
		found = take_frames();
		nap(f->port);
	}
	return found && READ_ONCE(f->tx->rsp_prod) == f->tx_prod;
}

/* ---- lies: each fills the tx ring from where it is, or does worse ---- */

static void lie_ahead(void)
{
	f->tx_prod += RING + 1;
}
static void lie_far_ahead(void)
{
	f->tx_prod += 0x80000000;
}
static void lie_behind(void)
{
	f->tx_prod -= 1;
}
static void lie_responses(void)
{
	f->tx->rsp_prod += 100;
	f->tx->rsp_event -= 1000;
	slot(0, 60, 0);
}
static void lie_nothing(void)
{
	slot(0, 0, 0);
}
static void lie_short(void)
{
	slot(0, 13, 0);
}
static void lie_long(void)
{
	slot(0, 65535, 0);
}
static void lie_over_page(void)
{
	slot(0, 100, 0)->offset = 4095;
}
static void lie_offset(void)
{
	slot(0, 60, 0)->offset = 65535;
}
static void lie_parts(void)
{
	slot(0, 60, NETTXF_more_data);
	slot(1, 60, NETTXF_more_data);
	slot(2, 65535, 0);
}
static void lie_wrap(void)
{
	slot(0, 1000, NETTXF_more_data);
	for (int i = 0; i < 16; i++)
		slot(1, 65535, NETTXF_more_data);
	slot(2, 16, 0);
}
static void lie_no_end(void)
{
	for (int i = 0; i < RING; i++)
		slot(0, i ? 1 : 60, NETTXF_more_data);
}
static void lie_too_many(void)
{
	for (unsigned int i = 0; i < XEN_NETIF_NR_SLOTS_MIN + 3; i++)
		slot(0, i ? 16 : 1000, i < XEN_NETIF_NR_SLOTS_MIN + 2 ? NETTXF_more_data : 0);
}
static void lie_extra_none(void)
{
	slot(0, 60, NETTXF_extra_info);
	extra(XEN_NETIF_EXTRA_TYPE_NONE, 0, 0, 0);
}
static void lie_extra_type(void)
{
	slot(0, 60, NETTXF_extra_info);
	extra(255, 0, 100, 1);
}
static void lie_extra_no_end(void)
{
	slot(0, 60, NETTXF_extra_info);
	for (int i = 1; i < RING; i++)
		extra(XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_EXTRA_FLAG_MORE, 100, 1);
}
static void lie_extra_missing(void)
{
	slot(0, 60, NETTXF_extra_info);
}
static void lie_gso_zero(void)
{
	slot(0, 60, NETTXF_extra_info);
	extra(XEN_NETIF_EXTRA_TYPE_GSO, 0, 0, XEN_NETIF_GSO_TYPE_TCPV4);
}
static void lie_gso_type(void)
{
	slot(0, 60, NETTXF_extra_info);
	extra(XEN_NETIF_EXTRA_TYPE_GSO, 0, 1000, 9);
}
static void lie_gso_arp(void)
{
	slot(0, 60, NETTXF_extra_info);
	extra(XEN_NETIF_EXTRA_TYPE_GSO, 0, 1, XEN_NETIF_GSO_TYPE_TCPV4);
}

/* A TCP packet of 4000 bytes whose header lengths are the given ones. */
static void tcp_packet(uint8_t ip_words, uint8_t tcp_words, unsigned int segment)
{
	uint8_t *p = f->tx_page[0];

	memset(p + 14, 0, 4000 - 14);
	p[12] = 8;
	p[13] = 0;
	p[14] = (uint8_t)(0x40 | ip_words);
	p[16] = 3986 >> 8;
	p[17] = 3986 & 255;
	p[23] = 6;
	memcpy(p + 26, "\x0a\0\2\x0f\x0a\0\2\2", 8);
	p[46] = (uint8_t)(tcp_words << 4);
	slot(0, 4000, NETTXF_extra_info | NETTXF_csum_blank | NETTXF_data_validated);
	extra(XEN_NETIF_EXTRA_TYPE_GSO, 0, segment, XEN_NETIF_GSO_TYPE_TCPV4);
}

static void lie_gso_tiny(void)
{
	tcp_packet(5, 5, 1);
}
static void lie_gso_headers(void)
{
	tcp_packet(15, 15, 100);
	tcp_packet(0, 5, 100);
	tcp_packet(5, 0, 100);
}
static void lie_gso_huge(void)
{
	tcp_packet(5, 5, 65535);
}
static void lie_blank(void)
{
	slot(0, 60, NETTXF_csum_blank);
	slot(0, 15, NETTXF_csum_blank);
}
static void lie_grant(void)
{
	slot(0, 60, 0)->gref = 0xffffffff;
	slot(0, 60, 0)->gref = 511;
	slot(0, 60, 0)->gref = ended;
	slot(0, 60, 0)->gref = 1 << 20;
}
static void lie_ids(void)
{
	for (int i = 0; i < 20; i++)
		slot(0, 60, 0)->id = 65535;
}
static void lie_own_ring(void)
{
	slot(0, 4096, 0)->gref = f->tx_ring_ref;
}
static void lie_rx_ahead(void)
{
	f->rx->req_prod += RING + 1;
}
static void lie_rx_behind(void)
{
	f->rx->req_prod -= RING;
}

/* Something has to come in, so that the backend looks at what we offer: an answer to our ARP. */
static void rx_with(grant_ref_t ref)
{
	for (RING_IDX i = f->rx_cons; i != f->rx_prod; i++)
		f->rx->ring[i % RING].req.gref = ref;
	mb();
	make_arp(f->tx_page[0]);
	slot(0, 60, 0);
}
static void lie_rx_grant(void)
{
	rx_with(0xffffffff);
}
static void lie_rx_ended(void)
{
	rx_with(ended);
}
static void lie_rx_read_only(void)
{
	rx_with(read_only);
}
static void lie_rx_ring(void)
{
	rx_with(f->rx_ring_ref);
}

/* Anything, but in honest ring order. */
static void lie_random(void)
{
	unsigned int n = 1 + rnd(40);

	while (n--) {
		netif_tx_request_t *r = slot(rnd(PAGES), rnd(4) ? rnd(2000) : rnd(65536),
					     rnd(3) ? 0 : rnd(rnd(2) ? 16 : 65536));

		if (!rnd(4))
			r->offset = (uint16_t)rnd(rnd(2) ? 4096 : 65536);
		if (!rnd(10))
			r->gref = rnd(600);
		if (!rnd(5))
			r->id = (uint16_t)rnd(65536);
	}
}

static const struct lie {
	const char *name;
	void (*tell)(void);
} lies[] =
	{
		{"responses that the backend did not make", lie_responses},
		{"a packet of nothing", lie_nothing},
		{"a packet shorter than its header", lie_short},
		{"a packet longer than its slot", lie_long},
		{"a packet over its page's end", lie_over_page},
		{"a packet behind its page", lie_offset},
		{"parts longer than the whole", lie_parts},
		{"lengths that wrap", lie_wrap},
		{"a chain without end", lie_no_end},
		{"a chain of too many slots", lie_too_many},
		{"an extra of no type", lie_extra_none},
		{"an extra of an unknown type", lie_extra_type},
		{"an extra that does not follow", lie_extra_missing},
		{"segments of no size", lie_gso_zero},
		{"segments of an unknown type", lie_gso_type},
		{"segments of an ARP packet", lie_gso_arp},
		{"segments of one byte", lie_gso_tiny},
		{"segments behind headers that lie", lie_gso_headers},
		{"segments larger than the packet", lie_gso_huge},
		{"a checksum where there can be none", lie_blank},
		{"grants that are none", lie_grant},
		{"the same id for all", lie_ids},
		{"the ring itself as a packet", lie_own_ring},
		{"room without a grant", lie_rx_grant},
		{"room that was taken back", lie_rx_ended},
		{"room that may not be written", lie_rx_read_only},
		{"the ring itself as room", lie_rx_ring},
},
  ring_lies[] = {
	  {"more requests than a ring has", lie_ahead},
	  {"requests two thousand million ahead", lie_far_ahead},
	  {"requests taken back", lie_behind},
	  {"extras without end", lie_extra_no_end},
	  {"more room than a ring has", lie_rx_ahead},
	  {"room taken back", lie_rx_behind},
};

static const char *const store_lies[][2] = {
	{"tx-ring-ref", "4294967295"},
	{"tx-ring-ref", "18446744073709551617"},
	{"tx-ring-ref", "-1"},
	{"tx-ring-ref", "abc"},
	{"rx-ring-ref", "4294967295"},
	{"rx-ring-ref", ""},
	{"event-channel", "0"},
	{"event-channel", "99999999999"},
	{"event-channel", "4"},
	{"multi-queue-num-queues", "0"},
	{"multi-queue-num-queues", "9999"},
	{"multi-queue-num-queues", "x"},
	{"state", "77"},
	{"state", "connected"},
};

/* ---- telling them ---- */

/* Time for the backend to look; it answers, or closes, or waits for more. */
static void settle(void)
{
	uint64_t deadline = time_ns() + SEC / 50;

	while (READ_ONCE(f->tx->rsp_prod) != f->tx_prod && time_ns() < deadline)
		nap(f->port);
}

static void others_work(const char *lie)
{
	char text[120];

	f = &fronts[0];
	snprintf(text, sizeof(text), "the other interface works after %s", lie);
	check(text, honest());
}

static void tell(struct front *front, const struct lie *lie)
{
	f = front;
	f->tx_prod = READ_ONCE(f->tx->req_prod);
	make_arp(f->tx_page[0]);
	lie->tell();
	go();
	settle();
	others_work(lie->name);
}

static void tell_and_return(const struct lie *lie)
{
	char text[120];

	tell(&fronts[1], lie);
	f = &fronts[1];
	snprintf(text, sizeof(text), "the interface works again after %s", lie->name);
	check(text, reconnect() && honest());
}

/* A frontend of which one node is not as it should be. */
static void tell_in_store(struct front *front, const char *name, const char *value)
{
	f = front;
	if (!wait_state(XenbusStateInitWait, XenbusStateInitWait))
		return;
	clear_rings();
	write_nodes();
	store_write(node(name), value);
	if (strcmp(name, "state"))
		say("state", XenbusStateConnected);
	settle();
	others_work(value);
}

/* Each of the other interfaces is used once. */
static void last_lies(unsigned int seed)
{
	const unsigned int rings = ARRAY_SIZE(ring_lies), all = rings + ARRAY_SIZE(store_lies);

	for (unsigned int i = 2; i < nr_fronts; i++) {
		unsigned int n = (seed * (FRONTS - 2) + i - 2) % all;

		if (n >= rings) {
			tell_in_store(&fronts[i], store_lies[n - rings][0],
				      store_lies[n - rings][1]);
			continue;
		}
		f = &fronts[i];
		check("one more interface connects", connect());
		tell(f, &ring_lies[n]);
	}
}

/* ---- */

static grant_ref_t share(void *page, bool readonly)
{
	return (grant_ref_t)grant_access(0, va_to_mfn(page), readonly);
}

static bool read_mac(void)
{
	char text[24], *end = text;

	if (store_read(node("mac"), text, sizeof(text)) != 17)
		return false;
	for (int i = 0; i < 6; i++)
		f->mac[i] = (uint8_t)strtoul(end + !!i, &end, 16);
	return true;
}

/* The interface of this number, if there is one. */
static bool set_up(unsigned int id)
{
	f = &fronts[id];
	f->id = id;
	if (!read_mac() || store_read(node("backend"), f->backend, sizeof(f->backend)) <= 0)
		return false;
	f->tx = page_alloc();
	f->rx = page_alloc();
	f->tx_ring_ref = share(f->tx, false);
	f->rx_ring_ref = share(f->rx, false);
	for (int i = 0; i < PAGES; i++) {
		f->tx_page[i] = page_alloc();
		f->rx_page[i] = page_alloc();
		f->tx_ref[i] = share(f->tx_page[i], true);
		f->rx_ref[i] = share(f->rx_page[i], false);
	}
	return true;
}

static bool untouched(void)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (canary[i] != PATTERN)
			return false;
	return true;
}

void test_main(void)
{
	static const struct lie any = {"random packets", lie_random};
	unsigned int seed = (unsigned int)strtoul((const char *)start_info->cmd_line, NULL, 0);

	rnd_state = seed * 2 + 0x9e3779b97f4a7c15ul;
	if (!store_init() || grant_init())
		skip("no xenstore");
	while (nr_fronts < FRONTS && set_up(nr_fronts))
		nr_fronts++;
	if (nr_fronts < 2)
		skip("no two network interfaces");
	canary = page_alloc();
	memset(canary, PATTERN, PAGE_SIZE);
	read_only = share(canary, true);
	ended = share(canary, false);
	grant_end(ended);
	for (unsigned int i = 0; i < 2; i++) {
		f = &fronts[i];
		check("an honest frontend connects", connect());
		check("an honest frontend works", honest());
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++)
		tell_and_return(&lies[i]);
	for (unsigned int i = 0; i < ROUNDS; i++)
		tell_and_return(&any);
	last_lies(seed);
	check("a page that nobody may write is as it was", untouched());
}
