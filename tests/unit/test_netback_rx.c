/* SPDX-License-Identifier: MIT */
/* pvnet's rings over memory: what a frontend gets, and how frames are summed, cut and sorted. */
#include "tests/unit/netback.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_rx_one),	     T(test_rx_many_slots),
		T(test_rx_features), T(test_rx_bad_grant_and_lies),
		T(test_backlog),     T(test_flow_hash),
		T(test_mss),	     T(test_fragments),
		T(test_csum),	     T(test_csum_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
