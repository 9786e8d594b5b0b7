/* SPDX-License-Identifier: MIT */
/* What the tests of pvnet's rings, test_netback.c and test_netback_rx.c, share. */
#ifndef PAVANE_UNIT_NETBACK_H
#define PAVANE_UNIT_NETBACK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fake_netfront.h"

#define MAC "\x00\x16\x3e\x00\x00\x01"

static inline int setup(void **state)
{
	*state = fake_new();
	return 0;
}

static inline int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static inline int run(struct fake *f)
{
	bool notify = false;

	fake_kick(f);
	return tx_run(&f->txq, 1, &notify);
}

static inline int status(struct fake *f, RING_IDX i)
{
	return f->tx->ring[i % NET_RING_SLOTS].rsp.status;
}

/* Without the wire's copy: the checksum over the whole packet, as a receiver does it. */
static inline bool csum_right(const struct frame *f)
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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
