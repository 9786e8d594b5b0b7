/* SPDX-License-Identifier: MIT */
/* The checksum of POSIX cksum(1): what is printed here can be compared with any Unix's. */
#include <pv/lib.h>

#define POLYNOMIAL 0x04c11db7u
#define STEP	   8 /* bytes taken at once: what each does to the rest is in a table of its own */

static uint32_t table[STEP][256];

static void make_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i << 24;

		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc >> 31 ? POLYNOMIAL : 0);
		table[0][i] = crc;
	}
	for (unsigned int t = 1; t < STEP; t++)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t crc = table[t - 1][i];

			table[t][i] = crc << 8 ^ table[0][crc >> 24];
		}
}

uint32_t cksum_add(uint32_t crc, const void *data, size_t n)
{
	const unsigned char *p = data;

	if (!table[STEP - 1][255])
		make_tables();
	for (; n >= STEP; n -= STEP, p += STEP)
		crc = table[7][p[0] ^ crc >> 24] ^ table[6][p[1] ^ (crc >> 16 & 255)] ^
		      table[5][p[2] ^ (crc >> 8 & 255)] ^ table[4][p[3] ^ (crc & 255)] ^
		      table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	while (n--)
		crc = crc << 8 ^ table[0][crc >> 24 ^ *p++];
	return crc;
}

uint32_t cksum_end(uint32_t crc, uint64_t length)
{
	for (; length; length >>= 8) {
		unsigned char byte = (unsigned char)length;

		crc = cksum_add(crc, &byte, 1);
	}
	return ~crc;
}
