/* SPDX-License-Identifier: MIT */
/* pvnet's rings over memory: what a frontend may send, what it must not, and what it gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fake_netfront.h"

#define MAC "\x00\x16\x3e\x00\x00\x01"

static int setup(void **state)
{
	*state = fake_new();
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static int run(struct fake *f)
{
	bool notify = false;

	fake_kick(f);
	return tx_run(&f->txq, 1, &notify);
}

static int status(struct fake *f, RING_IDX i)
{
	return f->tx->ring[i % NET_RING_SLOTS].rsp.status;
}

/* Without the wire's copy: the checksum over the whole packet, as a receiver does it. */
static bool csum_right(const struct frame *f)
{
	const int version = f->data[14] >> 4, l3 = version == 4 ? 20 : 40;
	const uint8_t *ip = f->data + 14, *t = ip + l3;
	const uint32_t n = f->len - 14 - l3;
	uint32_t s = n + (version == 4 ? ip[9] : ip[6]);

	for (const uint8_t *a = ip + (version == 4 ? 12 : 8); a < t; a += 2)
		s += a[0] << 8 | a[1];
	for (uint32_t i = 0; i < n; i += 2)
		s += t[i] << 8 | (i + 1 < n ? t[i + 1] : 0);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s == 0xffff;
}

static void test_tx_one(void **state)
{
	struct fake *f = *state;
	uint32_t len = fake_packet(f->pages + 3 * NET_PAGE + 100, 4, 17, 50);
	bool notify = false;

	fake_tx(f, 3, 100, len, 0);
	fake_kick(f);
	assert_int_equal(tx_run(&f->txq, 1, &notify), 1);
	assert_true(notify); /* rsp_event is 1 at first */
	assert_int_equal(f->tx->rsp_prod, 1);
	assert_int_equal(status(f, 0), NETIF_RSP_OKAY);
	assert_int_equal(f->nr_sent, 1);
	assert_int_equal(f->sent[0].len, len);
	assert_memory_equal(f->sent[0].data, f->pages + 3 * NET_PAGE + 100, len);
	assert_int_equal(f->sent[0].csum, CSUM_NONE);
	assert_false(tx_sleep(&f->txq));
	assert_int_equal(f->tx->req_event, 2);
	notify = false;
	fake_tx(f, 3, 100, len, NETTXF_data_validated);
	fake_kick(f);
	assert_int_equal(tx_run(&f->txq, 1, &notify), 1);
	assert_false(notify); /* not asked for */
	assert_int_equal(f->sent[1].csum, CSUM_VALID);
}

/* A frame over three pages: the first slot's size is the whole. */
static void test_tx_sg(void **state)
{
	struct fake *f = *state;
	static uint8_t p[9000];
	uint32_t len = fake_packet(p, 4, 6, 6000), first = 1000, second = 4096;

	memcpy(f->pages + 1 * NET_PAGE + 3096, p, first);
	memcpy(f->pages + 2 * NET_PAGE, p + first, second);
	memcpy(f->pages + 3 * NET_PAGE + 7, p + first + second, len - first - second);
	fake_tx(f, 1, 3096, len, NETTXF_more_data | NETTXF_csum_blank);
	fake_tx(f, 2, 0, second, NETTXF_more_data);
	fake_tx(f, 3, 7, len - first - second, 0);
	assert_int_equal(run(f), 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(status(f, i), NETIF_RSP_OKAY);
		assert_int_equal(f->tx->ring[i].rsp.id, i);
	}
	assert_int_equal(f->sent[0].len, len);
	assert_memory_equal(f->sent[0].data, p, len);
	assert_int_equal(f->sent[0].csum, CSUM_BLANK);
}

static struct netif_extra_info gso(uint8_t type, uint16_t size, uint8_t flags)
{
	struct netif_extra_info e = {.type = XEN_NETIF_EXTRA_TYPE_GSO, .flags = flags};

	e.u.gso.size = size;
	e.u.gso.type = type;
	return e;
}

/* One frame that begins on page 1; its bytes lie on pages that follow each other. */
static void put_large(struct fake *f, uint32_t len, struct netif_extra_info e)
{
	uint32_t at = 0, page = 1;

	fake_tx(f, page++, 0, len,
		NETTXF_csum_blank | NETTXF_extra_info | (len > NET_PAGE ? NETTXF_more_data : 0));
	fake_tx_extra(f, e);
	for (at = NET_PAGE; at < len; at += NET_PAGE)
		fake_tx(f, page++, 0, len - at < NET_PAGE ? len - at : NET_PAGE,
			len - at > NET_PAGE ? NETTXF_more_data : 0);
}

static void test_tx_gso(void **state)
{
	struct fake *f = *state;
	uint32_t len = fake_packet(f->pages + NET_PAGE, 4, 6, 60000);

	put_large(f, len, gso(XEN_NETIF_GSO_TYPE_TCPV4, 1448, 0));
	assert_int_equal(run(f), 16);
	assert_int_equal(f->nr_sent, 1);
	assert_int_equal(f->sent[0].len, len);
	assert_int_equal(f->sent[0].gso_size, 1448);
	assert_memory_equal(f->sent[0].data, f->pages + NET_PAGE, len);
	assert_int_equal(status(f, 0), NETIF_RSP_OKAY);
	assert_int_equal(status(f, 1), NETIF_RSP_NULL);
	assert_int_equal(status(f, 2), NETIF_RSP_OKAY);
	len = fake_packet(f->pages + NET_PAGE, 6, 6, 20000);
	put_large(f, len, gso(XEN_NETIF_GSO_TYPE_TCPV6, 1428, 0));
	assert_int_equal(run(f), 6);
	assert_int_equal(f->sent[1].gso_type, XEN_NETIF_GSO_TYPE_TCPV6);
}

/* Each is refused with an error in every slot but the extra's, and nothing is sent. */
static void test_tx_bad_gso(void **state)
{
	struct fake *f = *state;
	uint32_t len = fake_packet(f->pages + NET_PAGE, 4, 6, 3000);
	const struct netif_extra_info bad[] = {
		gso(XEN_NETIF_GSO_TYPE_TCPV4, 0, 0),
		gso(XEN_NETIF_GSO_TYPE_TCPV4, NET_MIN_MSS - 1, 0),
		gso(XEN_NETIF_GSO_TYPE_TCPV6, 1448, 0), /* it is version 4 */
		gso(XEN_NETIF_GSO_TYPE_NONE, 1448, 0),
		gso(7, 1448, 0),
		{.type = XEN_NETIF_EXTRA_TYPE_MCAST_ADD},
		{.type = XEN_NETIF_EXTRA_TYPE_NONE},
		{.type = 200},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_large(f, len, bad[i]);
		assert_int_equal(run(f), 2);
		assert_int_equal(status(f, f->tx_prod - 2), NETIF_RSP_ERROR);
		assert_int_equal(status(f, f->tx_prod - 1), NETIF_RSP_NULL);
	}
	assert_int_equal(f->nr_sent, 0);
	assert_int_equal(f->txq.stats.errors, sizeof(bad) / sizeof(bad[0]));
	put_large(f, len, gso(XEN_NETIF_GSO_TYPE_TCPV4, NET_MIN_MSS, 0));
	assert_int_equal(run(f), 2);
	assert_int_equal(f->nr_sent, 1);
}

static void test_tx_bad_sizes(void **state)
{
	struct fake *f = *state;
	static const struct {
		uint16_t off, size;
	} bad[] = {{0, 0}, {0, 13}, {0, 4097}, {4000, 97}, {4096, 60}, {65535, 60}, {4050, 65535}};
	const unsigned n = sizeof(bad) / sizeof(bad[0]);

	fake_packet(f->pages + NET_PAGE, 4, 17, 100);
	for (unsigned i = 0; i < n; i++)
		fake_tx(f, 1, bad[i].off, bad[i].size, 0);
	fake_tx(f, 1, 0, 142, 0);
	assert_int_equal(run(f), n + 1);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(status(f, i), NETIF_RSP_ERROR);
	assert_int_equal(status(f, n), NETIF_RSP_OKAY);
	assert_int_equal(f->nr_sent, 1);
	/* fragments: beyond the page; together longer than the whole; as long as the whole */
	fake_tx(f, 1, 0, 200, NETTXF_more_data);
	fake_tx(f, 2, 4090, 7, 0);
	fake_tx(f, 1, 0, 200, NETTXF_more_data);
	fake_tx(f, 2, 0, 300, 0);
	fake_tx(f, 1, 0, 200, NETTXF_more_data);
	fake_tx(f, 2, 0, 200, 0);
	assert_int_equal(run(f), 6);
	for (unsigned i = n + 1; i < n + 7; i++)
		assert_int_equal(status(f, i), NETIF_RSP_ERROR);
	assert_int_equal(f->nr_sent, 1);
}

static void test_tx_bad_grant(void **state)
{
	struct fake *f = *state;

	fake_packet(f->pages + NET_PAGE, 4, 17, 100);
	f->bad_ref = 2;
	fake_tx(f, 1, 0, 142, 0);
	fake_tx(f, 1, 0, 142, NETTXF_more_data);
	fake_tx(f, 2, 0, 20, 0);
	fake_tx(f, 1, 0, 142, 0);
	assert_int_equal(run(f), 4);
	assert_int_equal(status(f, 0), NETIF_RSP_OKAY);
	assert_int_equal(status(f, 1), NETIF_RSP_ERROR);
	assert_int_equal(status(f, 2), NETIF_RSP_ERROR);
	assert_int_equal(status(f, 3), NETIF_RSP_OKAY);
	assert_int_equal(f->copies, 1); /* all of them in one go */
}

/* 18 slots are a frame; a longer chain is thrown away to its end, whatever its length. */
static void test_tx_long_chain(void **state)
{
	struct fake *f = *state;

	fake_packet(f->pages + NET_PAGE, 4, 6, 2000);
	fake_tx(f, 1, 0, 1000 + 17 * 10, NETTXF_more_data);
	for (int i = 1; i < 18; i++)
		fake_tx(f, 1, 1000, 10, i < 17 ? NETTXF_more_data : 0);
	assert_int_equal(run(f), 18);
	assert_int_equal(f->nr_sent, 1);
	fake_tx(f, 1, 0, 1000 + 99 * 10, NETTXF_more_data);
	for (int i = 1; i < 100; i++)
		fake_tx(f, 1, 1000, 10, i < 99 ? NETTXF_more_data : 0);
	fake_tx(f, 1, 0, 500, 0);
	while (run(f) > 0)
		;
	assert_int_equal(f->tx->rsp_prod, 18 + 100 + 1);
	for (int i = 18; i < 118; i++)
		assert_int_equal(status(f, i), NETIF_RSP_ERROR);
	assert_int_equal(status(f, 118), NETIF_RSP_OKAY);
	assert_int_equal(f->nr_sent, 2);
}

/* The rest of a chain may come later; nothing is answered, and nobody spins. */
static void test_tx_part(void **state)
{
	struct fake *f = *state;

	fake_packet(f->pages + NET_PAGE, 4, 6, 2000);
	fake_tx(f, 1, 0, 1000, NETTXF_more_data);
	assert_int_equal(run(f), 0);
	assert_false(tx_sleep(&f->txq));
	assert_int_equal(f->tx->req_event, 2);
	fake_tx(f, 2, 0, 10, 0);
	fake_kick(f);
	assert_true(tx_pending(&f->txq));
	assert_int_equal(run(f), 2);
	assert_int_equal(f->nr_sent, 1);
}

static void test_tx_lies(void **state)
{
	struct fake *f = *state;
	struct netif_extra_info more = gso(XEN_NETIF_GSO_TYPE_TCPV4, 1448, 1);
	bool notify = false;

	f->tx->req_prod = NET_RING_SLOTS + 1;
	assert_int_equal(tx_run(&f->txq, 1, &notify), -1);
	f->tx->req_prod = -1U;
	assert_int_equal(tx_run(&f->txq, 1, &notify), -1);
	fake_tx(f, 1, 0, 100, NETTXF_extra_info);
	for (int i = 0; i < 5; i++)
		fake_tx_extra(f, more);
	assert_int_equal(run(f), -1); /* more extras than there are types */
	assert_int_equal(f->nr_sent, 0);
}

static void test_tx_full_ring(void **state)
{
	struct fake *f = *state;

	fake_packet(f->pages + NET_PAGE, 4, 17, 100);
	for (unsigned i = 0; i < NET_RING_SLOTS; i++)
		fake_tx(f, 1, 0, 142, 0);
	fake_kick(f);
	while (run(f) > 0)
		;
	assert_int_equal(f->nr_sent, NET_RING_SLOTS);
	assert_int_equal(f->tx->rsp_prod, NET_RING_SLOTS);
	assert_int_equal(f->copies, 4);
}

static void test_tx_mac(void **state)
{
	struct fake *f = *state;

	f->txq.mac = (const uint8_t *)MAC;
	fake_packet(f->pages + NET_PAGE, 4, 17, 100);
	fake_packet(f->pages + 2 * NET_PAGE, 4, 17, 100);
	f->pages[2 * NET_PAGE + 11]++;
	fake_tx(f, 1, 0, 142, 0);
	fake_tx(f, 2, 0, 142, 0);
	assert_int_equal(run(f), 2);
	assert_int_equal(status(f, 0), NETIF_RSP_OKAY);
	assert_int_equal(status(f, 1), NETIF_RSP_DROPPED);
	assert_int_equal(f->txq.stats.spoofed, 1);
	assert_int_equal(f->nr_sent, 1);
}

/* A process that comes after takes what has no response. */
static void test_tx_resume(void **state)
{
	struct fake *f = *state;

	fake_packet(f->pages + NET_PAGE, 4, 17, 100);
	for (int i = 0; i < 10; i++)
		fake_tx(f, 1, 0, 142, 0);
	assert_int_equal(run(f), 10);
	for (int i = 0; i < 3; i++)
		fake_tx(f, 1, 0, 142, 0);
	fake_kick(f);
	txq_init(&f->txq, f->tx, f->tx->rsp_prod);
	assert_int_equal(run(f), 3);
	assert_int_equal(f->tx->rsp_prod, 13);
	assert_int_equal(f->nr_sent, 13);
}

static void test_bucket(void **state)
{
	struct fake *f = *state;
	const uint64_t sec = 1000000000;
	struct bucket b;
	uint64_t sent = 0;
	bool notify = false;

	bucket_init(&b, 1000000, sec);
	f->txq.bucket = &b;
	fake_packet(f->pages + NET_PAGE, 4, 17, 958);
	for (uint64_t t = sec; t < 3 * sec; t += sec / 1000) {
		while (f->tx_prod - f->tx->rsp_prod < 100)
			fake_tx(f, 1, 0, 1000, 0);
		fake_kick(f);
		while (tx_run(&f->txq, t, &notify) > 0)
			;
		sent = f->nr_sent * 1000;
		assert_int_equal(f->txq.throttled, 1000);
		assert_in_range(bucket_wait(&b, 1000), 1, sec / 1000);
	}
	/* two seconds' worth and the bucket that was full */
	assert_in_range(sent, 2000000 + b.size - 2000, 2000000 + b.size);
}

static void test_csum(void **state)
{
	static uint8_t p[NET_MAX_FRAME];
	static const int versions[] = {4, 6}, protos[] = {6, 17};
	uint16_t start, offset;

	for (int v = 0; v < 2; v++)
		for (int k = 0; k < 2; k++)
			for (uint32_t n = 0; n < 60000; n = n * 3 + 1) {
				struct frame f = {.data = p};

				f.len = fake_packet(p, versions[v], protos[k], n);

				assert_false(csum_right(&f));
				assert_int_equal(csum_fill(&f), 0);
				assert_true(csum_right(&f));
				assert_int_equal(csum_prepare(&f, &start, &offset), 0);
				assert_int_equal(start, versions[v] == 4 ? 34 : 54);
				assert_int_equal(offset, protos[k] == 6 ? 16 : 6);
			}
}

static void test_csum_refused(void **state)
{
	uint8_t p[200];
	struct frame f = {.data = p, .len = fake_packet(p, 4, 6, 100)};
	struct headers h;

	assert_int_equal(headers_parse(p, f.len, &h), 0);
	for (uint32_t len = 0; len < f.len; len++)
		assert_int_equal(headers_parse(p, len, &h), -1); /* cut off */
	p[14 + 6] = 0x20;					 /* more fragments */
	assert_int_equal(csum_fill(&f), -1);
	p[14 + 6] = 0;
	p[14] = 0x44; /* a header too short */
	assert_int_equal(csum_fill(&f), -1);
	p[14] = 0x4f; /* longer than the packet is said to be */
	p[14 + 2] = 0;
	p[14 + 3] = 50;
	assert_int_equal(csum_fill(&f), -1);
	f.len = fake_packet(p, 6, 6, 50);
	p[14 + 6] = 0; /* hop-by-hop options that go on for ever */
	memset(p + 54, 0, 100);
	assert_int_equal(csum_fill(&f), -1);
}

static struct frame frame_of(uint8_t *p, uint32_t payload)
{
	return (struct frame){.data = p, .len = fake_packet(p, 4, 6, payload)};
}

static void test_rx_one(void **state)
{
	struct fake *f = *state;
	uint8_t p[2000];
	struct frame fr = frame_of(p, 1000);
	bool notify = false;

	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 0); /* no request */
	assert_false(rx_sleep(&f->rxq, 1));
	assert_int_equal(f->rx->req_event, 1);
	fake_rx(f, 9);
	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 1);
	assert_true(notify);
	assert_int_equal(f->rx->rsp_prod, 1);
	assert_int_equal(f->rx->ring[0].rsp.status, fr.len);
	assert_int_equal(f->rx->ring[0].rsp.flags, 0);
	assert_memory_equal(f->pages + 9 * NET_PAGE, p, fr.len);
}

static void test_rx_many_slots(void **state)
{
	struct fake *f = *state;
	static uint8_t p[NET_MAX_FRAME];
	struct frame fr = frame_of(p, 60000);
	struct netif_extra_info e;
	bool notify = false;

	fr.csum = CSUM_BLANK;
	fr.gso_size = 1448;
	fr.gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	for (int i = 0; i < 15; i++)
		fake_rx(f, 10 + i);
	f->rxq.sg = f->rxq.gso4 = true;
	assert_int_equal(rx_slots(&fr), 16);
	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 0); /* one short */
	assert_int_equal(f->rx->rsp_prod, 0);
	fake_rx(f, 25);
	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 1);
	assert_int_equal(f->rx->rsp_prod, 16);
	assert_int_equal(f->rx->ring[0].rsp.flags, NETRXF_csum_blank | NETRXF_data_validated |
							   NETRXF_extra_info | NETRXF_more_data);
	memcpy(&e, &f->rx->ring[1], sizeof(e));
	assert_int_equal(e.type, XEN_NETIF_EXTRA_TYPE_GSO);
	assert_int_equal(e.u.gso.size, 1448);
	assert_int_equal(e.flags, 0);
	assert_memory_equal(f->pages + 10 * NET_PAGE, p, NET_PAGE);
	for (int i = 2; i < 16; i++) { /* page 11's request went to the extra */
		uint32_t at = (i - 1) * NET_PAGE,
			 n = fr.len - at < NET_PAGE ? fr.len - at : NET_PAGE;

		assert_int_equal(f->rx->ring[i].rsp.status, n);
		assert_int_equal(f->rx->ring[i].rsp.flags, i < 15 ? NETRXF_more_data : 0);
		assert_memory_equal(f->pages + (10 + i) * NET_PAGE, p + at, n);
	}
}

/* What the frontend did not say it takes is dropped or changed, never given. */
static void test_rx_features(void **state)
{
	struct fake *f = *state;
	static uint8_t p[NET_MAX_FRAME];
	struct frame fr = frame_of(p, 5000);
	bool notify = false;

	for (int i = 0; i < 20; i++)
		fake_rx(f, 10 + i);
	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 1); /* no sg */
	fr.gso_size = 1448;
	fr.gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	f->rxq.sg = f->rxq.gso6 = true;
	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 1); /* no gso for version 4 */
	assert_int_equal(f->rxq.stats.dropped, 2);
	assert_int_equal(f->rx->rsp_prod, 0);
	fr = frame_of(p, 100);
	fr.csum = CSUM_BLANK;
	f->rxq.no_csum4 = true;
	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 1);
	assert_int_equal(f->rx->ring[0].rsp.flags, NETRXF_data_validated);
	assert_true(csum_right(&fr));
	fr.len = fake_packet(p, 6, 17, 100);
	fr.csum = CSUM_BLANK;
	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 1);
	assert_int_equal(f->rx->ring[1].rsp.flags, NETRXF_data_validated);
	assert_true(csum_right(&fr));
	fr.csum = CSUM_BLANK;
	f->rxq.csum6 = true;
	assert_int_equal(rx_send(&f->rxq, &fr, 1, &notify), 1);
	assert_int_equal(f->rx->ring[2].rsp.flags, NETRXF_data_validated | NETRXF_csum_blank);
}

static void test_rx_bad_grant_and_lies(void **state)
{
	struct fake *f = *state;
	uint8_t p[2000];
	struct frame fr[2] = {frame_of(p, 1000), frame_of(p, 1000)};
	bool notify = false;

	fake_rx(f, 100000);
	fake_rx(f, 7);
	assert_int_equal(rx_send(&f->rxq, fr, 2, &notify), 2);
	assert_int_equal(f->rx->ring[0].rsp.status, NETIF_RSP_ERROR);
	assert_int_equal(f->rx->ring[1].rsp.status, fr[1].len);
	assert_int_equal(f->copies, 1);
	f->rx->req_prod = 2 + NET_RING_SLOTS + 1;
	assert_int_equal(rx_send(&f->rxq, fr, 1, &notify), -1);
}

static void test_backlog(void **state)
{
	static struct backlog b;
	unsigned put = 0, got = 0;
	uint32_t *p;

	assert_int_equal(backlog_init(&b), 0);
	for (int round = 0; round < 300; round++) {
		while ((p = (uint32_t *)backlog_room(&b, 3000))) {
			struct frame fr = {.data = (uint8_t *)p, .len = 1000 + put % 2000};

			*p = put++;
			backlog_add(&b, &fr);
		}
		assert_true(b.last - b.first > 600);
		for (int n = 1 + round % 700; n-- && b.first < b.last; got++) {
			memcpy(&p, &b.frames[b.first].data, sizeof(p));
			assert_int_equal(*p, got);
			assert_int_equal(b.frames[b.first].len, 1000 + got % 2000);
			backlog_done(&b, 1);
		}
	}
	assert_true(got > 40000);
	backlog_free(&b);
}

static void test_flow_hash(void **state)
{
	uint8_t a[200], b[200];
	struct frame fa = frame_of(a, 20), fb = frame_of(b, 20);
	unsigned seen = 0;

	memcpy(b + 26, a + 30, 4); /* the way back */
	memcpy(b + 30, a + 26, 4);
	memcpy(b + 34, a + 36, 2);
	memcpy(b + 36, a + 34, 2);
	assert_int_equal(flow_hash(&fa), flow_hash(&fb));
	for (int i = 0; i < 64; i++) {
		a[35] = i;
		seen |= 1 << flow_hash(&fa) % 4;
	}
	assert_int_equal(seen, 15); /* ports spread over all queues */
}

static void test_mss(void **state)
{
	uint8_t p[200];
	struct frame f = {.data = p, .len = fake_packet(p, 4, 6, 12)};
	uint8_t *tcp = p + 34;

	tcp[12] = 0x80; /* 12 bytes of options, which were payload */
	memcpy(tcp + 20, "\1\1\2\4\5\xb4\3\3\7\0\0\0", 12);
	assert_int_equal(mss_replace(&f, 16384), 0); /* no SYN */
	tcp[13] = 0x02;
	assert_int_equal(mss_replace(&f, 16384), 1460);
	assert_int_equal(mss_replace(&f, 1460), 16384);
	assert_int_equal(f.csum, CSUM_BLANK);
	tcp[23] = 0; /* an option of no length */
	assert_int_equal(mss_replace(&f, 16384), 0);
	memcpy(tcp + 20, "\1\1\1\1\1\1\1\1\1\1\2\4", 12); /* cut off by the header's end */
	assert_int_equal(mss_replace(&f, 16384), 0);
	memcpy(tcp + 20, "\3\3\7\5\xff\1\1\1\2\4\5\xb4", 12); /* an option that goes beyond it */
	assert_int_equal(mss_replace(&f, 16384), 0);
	tcp[12] = 0xf0; /* a header longer than the packet */
	assert_int_equal(mss_replace(&f, 16384), 0);
}

/* Put together again by offset, as a receiver does, a packet is what it was. */
static void test_fragments(void **state)
{
	static uint8_t p[70000], out[70000], one[2000];
	struct frame f = {.data = p, .len = fake_packet(p, 4, 17, 60000)};
	uint32_t at = 0, n, total = 0, more = 1;

	while ((n = fragment_next(&f, &at, one))) {
		const uint32_t off = ((one[20] << 8 | one[21]) & 0x1fff) * 8;
		uint32_t s = 0;

		assert_in_range(n, 35, ETH_HEADER + NET_MTU);
		assert_int_equal(more, 1);
		assert_int_equal(one[16] << 8 | one[17], n - ETH_HEADER);
		for (int i = 14; i < 34; i += 2)
			s += one[i] << 8 | one[i + 1];
		assert_int_equal((s & 0xffff) + (s >> 16), 0xffff);
		assert_int_equal(off, total);
		memcpy(out + off, one + 34, n - 34);
		total += n - 34;
		more = one[20] >> 5 & 1;
	}
	assert_int_equal(more, 0);
	assert_int_equal(total, f.len - 34);
	assert_memory_equal(out, p + 34, total);
	at = 0;
	f.len -= 1; /* shorter than it says */
	assert_int_equal(fragment_next(&f, &at, one), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_tx_one),
		T(test_tx_sg),
		T(test_tx_gso),
		T(test_tx_bad_gso),
		T(test_tx_bad_sizes),
		T(test_tx_bad_grant),
		T(test_tx_long_chain),
		T(test_tx_part),
		T(test_tx_lies),
		T(test_tx_full_ring),
		T(test_tx_mac),
		T(test_tx_resume),
		T(test_bucket),
		T(test_csum),
		T(test_csum_refused),
		T(test_rx_one),
		T(test_rx_many_slots),
		T(test_rx_features),
		T(test_rx_bad_grant_and_lies),
		T(test_backlog),
		T(test_flow_hash),
		T(test_mss),
		T(test_fragments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
