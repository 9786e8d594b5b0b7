/* SPDX-License-Identifier: MIT */
/*
 * A network frontend that lies: in its rings, in its packets, in xenstore. After every lie the
 * backend may have refused the packet or closed the device; in both cases an honest frontend must
 * get through again, with an ARP request that the network answers. The network is libslirp's:
 * 10.0.2.2 is always there. The command line may hold a seed.
 */
#include "store.h"

#include <pv/grant.h>
#define xen_mb()  mb()
#define xen_rmb() mb()
#define xen_wmb() mb()
#include <xen/io/netif.h>
#include <xen/io/xenbus.h>

TEST("hostile-net", "a lying network frontend hurts nothing but its own queue");

#define DIR	"device/vif/0"
#define RING	256
#define PAGES	8 /* to receive in, and as many to send from */
#define LIMIT	(5 * SEC)
#define ROUNDS	300
#define PATTERN 0x5a

static netif_tx_sring_t *tx;
static netif_rx_sring_t *rx;
static uint8_t *tx_page[PAGES], *rx_page[PAGES], *canary;
static grant_ref_t tx_ring_ref, rx_ring_ref, tx_ref[PAGES], rx_ref[PAGES], read_only, ended;
static RING_IDX tx_prod, tx_cons, rx_prod, rx_cons;
static unsigned int port;
static char backend[128];
static uint8_t mac[6];
static uint64_t random_state;

static unsigned int rnd(unsigned int below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (unsigned int)((random_state * 0x2545f4914f6cdd1dul) >> 33) % below;
}

/* ---- xenstore ---- */

static void say(const char *node, unsigned long value)
{
	char path[64], text[24];

	snprintf(path, sizeof(path), DIR "/%s", node);
	snprintf(text, sizeof(text), "%lu", value);
	store_write(path, text);
}

static unsigned long backend_state(void)
{
	char path[140];

	snprintf(path, sizeof(path), "%s/state", backend);
	return store_number(path);
}

static bool wait_state(unsigned long a, unsigned long b)
{
	uint64_t deadline = time_ns() + LIMIT;
	unsigned long s;

	while ((s = backend_state()) != a && s != b && time_ns() < deadline)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	return s == a || s == b;
}

/* ---- an honest frontend ---- */

static void post_all(void)
{
	while (rx_prod - rx_cons < PAGES) {
		rx->ring[rx_prod % RING].req = (netif_rx_request_t){
			.id = (uint16_t)(rx_prod % RING), .gref = rx_ref[rx_prod % PAGES]};
		rx_prod++;
	}
	mb();
	rx->req_prod = rx_prod;
	event_send(port);
}

static void clear_rings(void)
{
	page_clear(tx);
	page_clear(rx);
	SHARED_RING_INIT(tx);
	SHARED_RING_INIT(rx);
	tx_prod = tx_cons = rx_prod = rx_cons = 0;
}

static void write_nodes(void)
{
	say("tx-ring-ref", tx_ring_ref);
	say("rx-ring-ref", rx_ring_ref);
	say("event-channel", port);
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
	port = (unsigned int)event_alloc_unbound(0);
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
	event_close(port);
	say("state", XenbusStateInitialising);
	return connect();
}

static netif_tx_request_t *slot(unsigned int page, unsigned int size, unsigned int flags)
{
	netif_tx_request_t *r = &tx->ring[tx_prod % RING].req;

	*r = (netif_tx_request_t){.gref = tx_ref[page % PAGES],
				  .flags = (uint16_t)flags,
				  .id = (uint16_t)(tx_prod % RING),
				  .size = (uint16_t)size};
	tx_prod++;
	return r;
}

static void extra(unsigned int type, unsigned int flags, unsigned int size, unsigned int gso)
{
	netif_extra_info_t *x = (netif_extra_info_t *)(void *)&tx->ring[tx_prod++ % RING];

	*x = (netif_extra_info_t){.type = (uint8_t)type,
				  .flags = (uint8_t)flags,
				  .u.gso = {.size = (uint16_t)size, .type = (uint8_t)gso}};
}

static void go(void)
{
	mb();
	tx->req_prod = tx_prod;
	event_send(port);
}

/* "Who has 10.0.2.2?", of the smallest size that Ethernet has. */
static void make_arp(uint8_t *p)
{
	static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

	page_clear(p);
	memset(p, 0xff, 6);
	memcpy(p + 6, mac, 6);
	memcpy(p + 12, head, sizeof(head));
	memcpy(p + 22, mac, 6);
	memcpy(p + 28, "\x0a\0\2\x0f", 4);
	memcpy(p + 38, "\x0a\0\2\2", 4);
}

/* Frames that came, whatever they are, make room for others; true if one was the answer. */
static bool take_frames(void)
{
	bool found = false;

	while (rx_cons != READ_ONCE(rx->rsp_prod) && rx_cons != rx_prod) {
		netif_rx_response_t r = rx->ring[rx_cons % RING].rsp;
		const uint8_t *p = rx_page[rx_cons % PAGES];

		rx_cons++;
		found |= r.status >= 42 && p[12] == 8 && p[13] == 6 && p[21] == 2 && p[31] == 2;
	}
	post_all();
	return found;
}

static bool honest(void)
{
	uint64_t deadline = time_ns() + LIMIT;
	bool found = false;

	tx_prod = tx->req_prod;
	make_arp(tx_page[0]);
	slot(0, 60, 0);
	go();
	while (!found && time_ns() < deadline) {
		found = take_frames();
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
	return found && READ_ONCE(tx->rsp_prod) == tx_prod;
}

/* ---- lies: each fills the tx ring from where it is, or does worse ---- */

static void lie_ahead(void)
{
	tx_prod += RING + 1;
}
static void lie_far_ahead(void)
{
	tx_prod += 0x80000000;
}
static void lie_behind(void)
{
	tx_prod -= 1;
}
static void lie_responses(void)
{
	tx->rsp_prod += 100;
	tx->rsp_event -= 1000;
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
	uint8_t *p = tx_page[0];

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
	slot(0, 4096, 0)->gref = tx_ring_ref;
}
static void lie_rx_ahead(void)
{
	rx->req_prod += RING + 1;
}
static void lie_rx_behind(void)
{
	rx->req_prod -= RING;
}

/* Something has to come in, so that the backend looks at what we offer: an answer to our ARP. */
static void rx_with(grant_ref_t ref)
{
	for (RING_IDX i = rx_cons; i != rx_prod; i++)
		rx->ring[i % RING].req.gref = ref;
	mb();
	make_arp(tx_page[0]);
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
	rx_with(rx_ring_ref);
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

static const struct {
	const char *name;
	void (*tell)(void);
} lies[] = {
	{"more requests than a ring has", lie_ahead},
	{"requests two thousand million ahead", lie_far_ahead},
	{"requests taken back", lie_behind},
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
	{"extras without end", lie_extra_no_end},
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
	{"more room than a ring has", lie_rx_ahead},
	{"room taken back", lie_rx_behind},
	{"room without a grant", lie_rx_grant},
	{"room that was taken back", lie_rx_ended},
	{"room that may not be written", lie_rx_read_only},
	{"the ring itself as room", lie_rx_ring},
};

/* Time for the backend to look; it answers, or closes, or waits for more. */
static void settle(void)
{
	uint64_t deadline = time_ns() + SEC / 50;

	while (READ_ONCE(tx->rsp_prod) != tx_prod && time_ns() < deadline)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
}

static void tell(const char *name, void (*lie)(void))
{
	char text[120];

	tx_prod = READ_ONCE(tx->req_prod);
	make_arp(tx_page[0]);
	lie();
	go();
	settle();
	snprintf(text, sizeof(text), "an honest frontend works after %s", name);
	check(text, reconnect() && honest());
}

/* ---- lies in xenstore ---- */

static void lie_in_store(const char *node, const char *value)
{
	char path[64], text[120];

	say("state", XenbusStateClosing);
	wait_state(XenbusStateClosing, XenbusStateClosed);
	say("state", XenbusStateClosed);
	wait_state(XenbusStateClosed, XenbusStateInitWait);
	say("state", XenbusStateInitialising);
	wait_state(XenbusStateInitWait, XenbusStateInitWait);
	clear_rings();
	write_nodes();
	snprintf(path, sizeof(path), DIR "/%s", node);
	store_write(path, value);
	if (strcmp(node, "state"))
		say("state", XenbusStateConnected);
	settle();
	snprintf(text, sizeof(text), "an honest frontend works after %s = %s", node, value);
	check(text, reconnect() && honest());
}

static void lies_in_store(void)
{
	static const char *const nodes[] = {"tx-ring-ref", "rx-ring-ref", "event-channel",
					    "multi-queue-num-queues", "state"};
	static const char *const values[] = {"4294967295", "18446744073709551617", "-1", "abc", "",
					     "77"};

	for (unsigned int n = 0; n < ARRAY_SIZE(nodes); n++)
		for (unsigned int v = 0; v < ARRAY_SIZE(values); v++)
			lie_in_store(nodes[n], values[v]);
}

/* ---- */

static grant_ref_t share(void *page, bool readonly)
{
	return (grant_ref_t)grant_access(0, va_to_mfn(page), readonly);
}

static bool read_mac(void)
{
	char text[24], *end = text;

	if (store_read(DIR "/mac", text, sizeof(text)) != 17)
		return false;
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)strtoul(end + !!i, &end, 16);
	return true;
}

static void set_up(void)
{
	tx = page_alloc();
	rx = page_alloc();
	tx_ring_ref = share(tx, false);
	rx_ring_ref = share(rx, false);
	canary = page_alloc();
	memset(canary, PATTERN, PAGE_SIZE);
	read_only = share(canary, true);
	ended = share(canary, false);
	grant_end(ended);
	for (int i = 0; i < PAGES; i++) {
		tx_page[i] = page_alloc();
		rx_page[i] = page_alloc();
		tx_ref[i] = share(tx_page[i], true);
		rx_ref[i] = share(rx_page[i], false);
	}
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
	random_state =
		strtoul((const char *)start_info->cmd_line, NULL, 0) * 2 + 0x9e3779b97f4a7c15ul;
	if (!store_init() || !read_mac() ||
	    store_read(DIR "/backend", backend, sizeof(backend)) <= 0)
		skip("no network interface");
	if (grant_init())
		skip("no grant table");
	set_up();
	check("an honest frontend connects", connect());
	check("an honest frontend works", honest());
	for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++)
		tell(lies[i].name, lies[i].tell);
	for (unsigned int i = 0; i < ROUNDS; i++)
		tell("random packets", lie_random);
	lies_in_store();
	check("a page that nobody may write is as it was", untouched());
}
