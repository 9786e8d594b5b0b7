/* SPDX-License-Identifier: MIT */
/* CRC-32 as zlib, gzip and Ethernet have it, eight bytes at a time. */
#include "tools.h"

static uint32_t table[8][256];

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
		table[0][i] = c;
	}
	for (int t = 1; t < 8; t++)
		for (int i = 0; i < 256; i++)
			table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
}

uint32_t crc32(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	if (!table[0][1])
		make_table();
	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;

		__builtin_memcpy(&v, p, 8);
		v ^= crc;
		crc = 0;
		for (int i = 0; i < 8; i++)
			crc ^= table[7 - i][v >> (8 * i) & 255];
	}
	for (; n; n--, p++)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
	return ~crc;
}
