/* SPDX-License-Identifier: MIT */
/* pv-guest's network frontend against a backend that lies: netfront.c, with the rings in plain
 * memory, and this file as both the backend and the stack above. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <pv/event.h>
#include <pv/netfront.h>

#define BUFFERS 40
#define TX_PORT 7
#define RX_PORT 8

static char tx_memory[4096] __attribute__((aligned(8))),
	rx_memory[4096] __attribute__((aligned(8)));
static netif_tx_sring_t *const tx = (netif_tx_sring_t *)(void *)tx_memory;
static netif_rx_sring_t *const rx = (netif_rx_sring_t *)(void *)rx_memory;
static struct xenbus_device device = {.path = "device/vif/0"};
static struct netfront f;
static struct net_buffer buffers[BUFFERS];
static char pages[BUFFERS][4096];
static unsigned int sent_pieces, packets, notified[EVENT_PORTS];
static struct net_received last;

/* ---- what surrounds the driver ---- */

long event_send(unsigned int port)
{
	notified[port]++;
	return 0;
}

void net_sent(void *owner)
{
	assert_ptr_equal(owner, &sent_pieces);
	sent_pieces++;
}

void net_received(struct netfront *front, const struct net_received *r)
{
	packets++;
	last = *r;
	for (unsigned int i = 0; i < r->slices; i++)
		netfront_give(front, r->slice[i].buffer);
}

static int set_up(void **state)
{
	memset(&f, 0, sizeof(f));
	memset(notified, 0, sizeof(notified));
	f.device = &device;
	SHARED_RING_INIT(tx);
	SHARED_RING_INIT(rx);
	FRONT_RING_INIT(&f.tx, tx, 4096);
	FRONT_RING_INIT(&f.rx, rx, 4096);
	for (unsigned int id = 0; id < NET_RING; id++)
		f.free_id[f.free_ids++] = (uint16_t)id;
	f.tx_port = TX_PORT;
	f.rx_port = RX_PORT;
	f.up = true;
	for (int i = 0; i < BUFFERS; i++) {
		buffers[i] = (struct net_buffer){.page = pages[i], .ref = (grant_ref_t)(100 + i)};
		netfront_give(&f, &buffers[i]);
	}
	netfront_flush(&f);
	sent_pieces = packets = 0;
	return 0;
}

/* Every buffer is in the ring, spare, or part of a packet that is not complete: none is lost, or
 * in two places. */
static void all_buffers(void)
{
	unsigned int n = f.packet.slices;

	for (unsigned int i = 0; i < NET_RING; i++)
		n += !!f.posted[i];
	for (struct net_buffer *b = f.spare; b; b = b->next) {
		n++;
		assert_true(n <= BUFFERS);
	}
	assert_int_equal(n, BUFFERS);
}

/* ---- the backend's half ---- */

static void fill(uint16_t id, uint16_t offset, uint16_t flags, int16_t status)
{
	rx->ring[rx->rsp_prod++ % NET_RING].rsp =
		(netif_rx_response_t){.id = id, .offset = offset, .flags = flags, .status = status};
}

/* The next request, filled as it should be. */
static void fill_next(uint16_t flags, int16_t status)
{
	fill((uint16_t)(rx->rsp_prod % NET_RING), 0, flags, status);
}

static void put_extra(uint8_t type, uint8_t flags)
{
	netif_extra_info_t x = {.type = type, .flags = flags};

	memcpy(&rx->ring[rx->rsp_prod++ % NET_RING], &x, sizeof(x));
}

static void respond(uint16_t id, int16_t status)
{
	tx->ring[tx->rsp_prod++ % NET_RING].rsp = (netif_tx_response_t){.id = id, .status = status};
}

static bool send_pieces(unsigned int n, uint16_t segment)
{
	struct net_packet p = {
		.pieces = n, .blank = segment, .segment = segment, .owner = &sent_pieces};

	for (unsigned int i = 0; i < n; i++)
		p.piece[i] = (struct net_piece){.ref = 50 + i, .offset = 16, .size = 1000};
	return netfront_send(&f, &p);
}

static void assert_broken(bool broken)
{
	assert_int_equal(!!f.broken, broken);
	assert_int_equal(f.up, !broken);
	all_buffers();
}

/* ---- sending ---- */

static void test_send(void **state)
{
	const netif_tx_request_t *r = (void *)tx->ring;
	const netif_extra_info_t *x = (void *)&tx->ring[1];

	assert_true(send_pieces(3, 1460));
	assert_int_equal(notified[TX_PORT], 0);
	netfront_flush(&f);
	assert_int_equal(notified[TX_PORT], 1);
	assert_int_equal(tx->req_prod, 4);
	r = &tx->ring[0].req;
	assert_int_equal(r->size, 3000);
	assert_int_equal(r->flags, NETTXF_csum_blank | NETTXF_data_validated | NETTXF_more_data |
					   NETTXF_extra_info);
	assert_int_equal(x->type, XEN_NETIF_EXTRA_TYPE_GSO);
	assert_int_equal(x->u.gso.size, 1460);
	r = &tx->ring[2].req;
	assert_int_equal(r->size, 1000);
	assert_int_equal(r->flags, NETTXF_more_data);
	assert_int_equal(tx->ring[3].req.flags, 0);
	respond(tx->ring[0].req.id, NETIF_RSP_OKAY);
	respond(0, NETIF_RSP_NULL);
	respond(tx->ring[2].req.id, NETIF_RSP_OKAY);
	respond(tx->ring[3].req.id, NETIF_RSP_ERROR);
	assert_true(netfront_poll(&f));
	assert_int_equal(sent_pieces, 3);
	assert_int_equal(f.stats.tx_errors, 1);
	assert_int_equal(f.free_ids, NET_RING);
	assert_broken(false);
}

static void test_send_full(void **state)
{
	for (unsigned int i = 0; i < NET_RING / 2; i++)
		assert_true(send_pieces(2, 0));
	assert_false(send_pieces(1, 0));
	netfront_flush(&f);
	assert_false(netfront_arm(&f));
	assert_int_equal(tx->rsp_event, NET_RING / 2 + 1);
	for (unsigned int i = 0; i < NET_RING; i++)
		respond(tx->ring[i].req.id, NETIF_RSP_OKAY);
	assert_true(netfront_ready(&f));
	assert_true(netfront_poll(&f));
	assert_true(send_pieces(1, 0));
	assert_broken(false);
}

static void test_send_backend_answers_too_much(void **state)
{
	send_pieces(1, 0);
	netfront_flush(&f);
	tx->rsp_prod = 2;
	netfront_poll(&f);
	assert_broken(true);
	assert_false(send_pieces(1, 0));
}

static void test_send_backend_goes_back(void **state)
{
	send_pieces(1, 0);
	netfront_flush(&f);
	tx->rsp_prod = (RING_IDX)-1;
	netfront_poll(&f);
	assert_broken(true);
}

static void test_send_unknown_id(void **state)
{
	send_pieces(1, 0);
	netfront_flush(&f);
	respond(tx->ring[0].req.id ^ 1, NETIF_RSP_OKAY);
	netfront_poll(&f);
	assert_broken(true);
	assert_int_equal(sent_pieces, 0);
}

static void test_send_id_beyond(void **state)
{
	send_pieces(1, 0);
	netfront_flush(&f);
	respond(NET_RING, NETIF_RSP_OKAY);
	netfront_poll(&f);
	assert_broken(true);
}

static void test_send_id_twice(void **state)
{
	uint16_t id;

	send_pieces(2, 0);
	netfront_flush(&f);
	id = tx->ring[0].req.id;
	respond(id, NETIF_RSP_OKAY);
	respond(id, NETIF_RSP_OKAY);
	netfront_poll(&f);
	assert_broken(true);
	assert_int_equal(sent_pieces, 1);
}

/* ---- receiving ---- */

static void test_receive(void **state)
{
	assert_int_equal(rx->req_prod, BUFFERS);
	assert_int_equal(notified[RX_PORT], 1);
	fill(0, 2, NETRXF_data_validated, 60);
	fill(1, 0, NETRXF_more_data | NETRXF_extra_info, 4096);
	put_extra(XEN_NETIF_EXTRA_TYPE_GSO, 0);
	fill(3, 0, 0, 100);
	assert_true(netfront_ready(&f));
	assert_true(netfront_poll(&f));
	assert_int_equal(packets, 2);
	assert_int_equal(last.slices, 2);
	assert_int_equal(last.total, 4196);
	assert_false(last.checked);
	netfront_flush(&f);
	assert_int_equal(rx->req_prod, BUFFERS + 4);
	assert_broken(false);
}

/* Half of a packet is kept until the rest is there. */
static void test_receive_halves(void **state)
{
	fill_next(NETRXF_more_data | NETRXF_data_validated, 4096);
	netfront_poll(&f);
	assert_int_equal(packets, 0);
	all_buffers();
	fill_next(0, 10);
	netfront_poll(&f);
	assert_int_equal(packets, 1);
	assert_true(last.checked);
	assert_int_equal(last.total, 4106);
	assert_broken(false);
}

static void bad_packet(uint16_t offset, int16_t status)
{
	fill((uint16_t)(rx->rsp_prod % NET_RING), offset, 0, status);
	netfront_poll(&f);
	assert_int_equal(packets, 0);
	assert_broken(false);
}

static void test_receive_sizes(void **state)
{
	bad_packet(0, NETIF_RSP_ERROR);
	bad_packet(0, -32768);
	bad_packet(0, 0);
	bad_packet(0, 4097);
	bad_packet(4000, 97);
	bad_packet(4097, 1);
	bad_packet(65535, 1);
	bad_packet(65535, 32767);
	assert_int_equal(f.stats.rx_errors, 8);
	fill_next(0, 4096);
	netfront_poll(&f);
	assert_int_equal(packets, 1);
}

/* One bad slot spoils its packet, and nothing behind it. */
static void test_receive_bad_part(void **state)
{
	fill_next(NETRXF_more_data, 100);
	fill_next(NETRXF_more_data, NETIF_RSP_ERROR);
	fill_next(0, 100);
	fill_next(0, 50);
	netfront_poll(&f);
	assert_int_equal(packets, 1);
	assert_int_equal(last.total, 50);
	assert_broken(false);
}

static void test_receive_too_many_slots(void **state)
{
	for (unsigned int i = 0; i < NET_PIECES + 5; i++)
		fill_next(NETRXF_more_data, 10);
	fill_next(0, 10);
	fill_next(0, 50);
	netfront_poll(&f);
	assert_int_equal(packets, 1);
	assert_int_equal(last.total, 50);
	assert_broken(false);
}

static void test_receive_too_long(void **state)
{
	for (unsigned int i = 0; i < 16; i++)
		fill_next(i < 15 ? NETRXF_more_data : 0, 4096);
	netfront_poll(&f);
	assert_int_equal(packets, 0);
	assert_int_equal(f.stats.rx_errors, 1);
	assert_broken(false);
}

static void test_receive_extras(void **state)
{
	fill_next(NETRXF_extra_info, 60);
	put_extra(XEN_NETIF_EXTRA_TYPE_NONE, 0);
	netfront_poll(&f);
	fill_next(NETRXF_extra_info, 60);
	put_extra(255, 0);
	netfront_poll(&f);
	assert_int_equal(packets, 0);
	fill_next(NETRXF_extra_info, 60);
	for (int i = 0; i < BUFFERS - 6; i++)
		put_extra(XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_EXTRA_FLAG_MORE);
	netfront_poll(&f);
	assert_int_equal(packets, 0);
	put_extra(XEN_NETIF_EXTRA_TYPE_GSO, 0);
	netfront_poll(&f);
	assert_int_equal(packets, 1);
	assert_broken(false);
}

static void test_receive_wrong_id(void **state)
{
	fill(1, 0, 0, 60);
	netfront_poll(&f);
	assert_int_equal(packets, 0);
	assert_broken(true);
}

static void test_receive_more_than_room(void **state)
{
	rx->rsp_prod = BUFFERS + 1;
	netfront_poll(&f);
	assert_broken(true);
}

static void test_receive_goes_back(void **state)
{
	fill_next(0, 60);
	netfront_poll(&f);
	rx->rsp_prod = 0;
	netfront_poll(&f);
	assert_broken(true);
}

/* Many times round the ring. */
static void test_receive_wraps(void **state)
{
	for (unsigned int i = 0; i < 3 * NET_RING; i++) {
		fill_next(0, 60);
		assert_true(netfront_poll(&f));
		netfront_flush(&f);
	}
	assert_int_equal(packets, 3 * NET_RING);
	assert_false(netfront_arm(&f));
	assert_int_equal(rx->rsp_event, 3 * NET_RING + 1);
	assert_broken(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, set_up)
		T(test_send),
		T(test_send_full),
		T(test_send_backend_answers_too_much),
		T(test_send_backend_goes_back),
		T(test_send_unknown_id),
		T(test_send_id_beyond),
		T(test_send_id_twice),
		T(test_receive),
		T(test_receive_halves),
		T(test_receive_sizes),
		T(test_receive_bad_part),
		T(test_receive_too_many_slots),
		T(test_receive_too_long),
		T(test_receive_extras),
		T(test_receive_wrong_id),
		T(test_receive_more_than_room),
		T(test_receive_goes_back),
		T(test_receive_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
