/* SPDX-License-Identifier: MIT */
/*
 * pvnet's rings against a frontend made of any bytes: slots, indices, packets and features. What
 * reaches the wire is a frame within bounds; responses never overtake requests.
 */
#include "tests/unit/fake_netfront.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static uint16_t word(struct input *in)
{
	return byte(in) | byte(in) << 8;
}

#define REQUIRE(cond)                     \
	do {                              \
		if (!(cond))              \
			__builtin_trap(); \
	} while (0)

/* The wire uses what it is told of a frame as slirp.c and tap.c do. */
static int check_frame(void *ctx, struct frame *f)
{
	struct frame copy = *f;
	uint16_t start, offset;
	uint8_t fragment[ETH_HEADER + NET_MTU];

	REQUIRE(f->len >= ETH_HEADER && f->len <= 65535);
	REQUIRE(!f->gso_size || gso_sane(f));
	flow_hash(f);
	for (uint32_t at = 0, n; (n = fragment_next(f, &at, fragment));)
		REQUIRE(n <= sizeof(fragment));
	if (f->csum == CSUM_BLANK && !csum_prepare(&copy, &start, &offset)) {
		REQUIRE(start + offset + 2U <= f->len);
		REQUIRE(!csum_fill(&copy));
	}
	mss_replace(&copy, 16384);
	return f->data[13] & 1 ? -1 : 0;
}

static void put_slot(struct fake *f, struct input *in)
{
	union netif_tx_sring_entry *e = &f->tx->ring[f->tx_prod % NET_RING_SLOTS];
	const uint8_t kind = byte(in);

	if (kind & 1) { /* a plausible request */
		fake_tx(f, byte(in) % 16, kind & 2 ? word(in) : 0,
			kind & 4 ? word(in) : 60 + byte(in) * 16, byte(in) & 15);
	} else if (kind & 2) { /* a plausible extra */
		struct netif_extra_info x = {.type = byte(in) % 6, .flags = byte(in) & 1};

		x.u.gso.size = word(in);
		x.u.gso.type = byte(in) % 4;
		fake_tx_extra(f, x);
	} else {
		for (unsigned i = 0; i < sizeof(*e); i++)
			((uint8_t *)e)[i] = byte(in);
		f->tx_prod++;
	}
}

static void put_packet(struct fake *f, struct input *in)
{
	uint8_t *page = f->pages + byte(in) % 16 * NET_PAGE;
	const uint8_t how = byte(in);

	fake_packet(page, how & 1 ? 4 : 6, how & 2 ? 6 : 17, byte(in) * 8);
	for (int n = byte(in) % 4; n--;)
		page[byte(in) % 80] = byte(in);
}

static void receive(struct fake *f, struct input *in, bool *broken)
{
	static uint8_t buf[NET_MAX_FRAME];
	struct frame fr = {.data = buf};
	bool notify = false;

	fr.len = fake_packet(buf, byte(in) & 1 ? 4 : 6, byte(in) & 1 ? 6 : 17, word(in) % 65000);
	fr.csum = byte(in) % 3;
	if (byte(in) & 1) {
		fr.gso_size = 1448;
		fr.gso_type = buf[14] >> 4 == 4 ? XEN_NETIF_GSO_TYPE_TCPV4
						: XEN_NETIF_GSO_TYPE_TCPV6;
	}
	for (int n = byte(in) % 20; n--;)
		fake_rx(f, byte(in));
	if (byte(in) > 250)
		f->rx->req_prod += word(in);
	*broken |= rx_send(&f->rxq, &fr, 1, &notify) < 0;
	REQUIRE(*broken || f->rx->req_prod - f->rx->rsp_prod <= NET_RING_SLOTS);
}

static void transmit(struct fake *f, struct input *in, bool *broken)
{
	bool notify = false;
	int n;

	fake_kick(f);
	if (byte(in) > 250)
		f->tx->req_prod += word(in);
	while ((n = tx_run(&f->txq, 1, &notify)) > 0)
		REQUIRE(n <= (int)NET_RING_SLOTS);
	*broken |= n < 0;
	if (!*broken) {
		REQUIRE(f->tx->req_prod - f->tx->rsp_prod <= NET_RING_SLOTS);
		REQUIRE(!tx_sleep(&f->txq)); /* a chain without its end makes nobody spin */
	}
}

static void try_hostfwd(struct input *in)
{
	struct hostfwd fwd[4];
	char text[200], why[128];
	size_t n = in->left < sizeof(text) - 1 ? in->left : sizeof(text) - 1;
	int got;

	memcpy(text, in->p, n);
	text[n] = 0;
	got = hostfwd_parse(text, fwd, 4, why, sizeof(why));
	for (int i = 0; i < got; i++)
		REQUIRE(fwd[i].host_port && fwd[i].guest_port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	static struct fake *f;
	bool broken = false;
	uint8_t flags = byte(&in);

	if (!f)
		f = fake_new();
	fake_reset(f);
	f->txq.send = check_frame;
	f->rxq.sg = flags & 1;
	f->rxq.gso4 = flags & 2;
	f->rxq.gso6 = flags & 4;
	f->rxq.no_csum4 = flags & 8;
	f->rxq.csum6 = flags & 16;
	f->bad_ref = flags & 32 ? 3 : ~0U;
	try_hostfwd(&in);
	while (in.left && !broken) {
		switch (byte(&in) % 8) {
		case 0: transmit(f, &in, &broken); break;
		case 1: receive(f, &in, &broken); break;
		case 2: put_packet(f, &in); break;
		default:
			if (f->tx_prod - f->tx->rsp_prod < NET_RING_SLOTS)
				put_slot(f, &in);
		}
	}
	if (!broken)
		transmit(f, &in, &broken);
	return 0;
}
