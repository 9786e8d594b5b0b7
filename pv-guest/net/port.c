/* SPDX-License-Identifier: MIT */
/* The rest of what lwIP expects of the system it runs in. */
#include <pv/arch.h>
#include <pv/lib.h>
#include <pv/time.h>
#include <lwip/sys.h>

long strtol(const char *s, char **end, int base);

/* For the one atoi() of lwIP's, of an interface's number. */
long strtol(const char *s, char **end, int base)
{
	return (long)strtoul(s, end, base);
}

u32_t sys_now(void)
{
	return (u32_t)(time_ns() / MSEC);
}

/*
 * For ports, sequence numbers and transaction ids. The time stamp counter at each call makes it
 * hard to guess from far away; it is no source of keys.
 */
uint32_t net_random(void)
{
	static uint64_t state;

	state = (state ^ rdtsc()) * 0x9e3779b97f4a7c15ull;
	state ^= state >> 32;
	return (uint32_t)(state >> 16);
}

static uint64_t add_carry(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v);
}

/* Eight bytes at a time: ones' complement sums may be taken in any width and folded. */
uint16_t net_checksum(const void *data, int len)
{
	const uint8_t *p = data;
	uint64_t sum = 0, last = 0;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t v;

		__builtin_memcpy(&v, p, 8);
		sum = add_carry(sum, v);
	}
	for (int i = 0; i < len; i++)
		last |= (uint64_t)p[i] << (8 * i);
	sum = add_carry(sum, last);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}
