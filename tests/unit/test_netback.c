/* SPDX-License-Identifier: MIT */
/* pvnet's rings over memory: what a frontend may send, and what it must not. */
#include "tests/unit/netback.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_tx_one),	       T(test_tx_sg),	     T(test_tx_gso),
		T(test_tx_bad_gso),    T(test_tx_bad_sizes), T(test_tx_bad_grant),
		T(test_tx_long_chain), T(test_tx_part),	     T(test_tx_lies),
		T(test_tx_full_ring),  T(test_tx_mac),	     T(test_tx_resume),
		T(test_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
