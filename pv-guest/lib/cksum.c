/* SPDX-License-Identifier: MIT */
/* The checksum of POSIX cksum(1): what is printed here can be compared with any Unix's. */
#include <pv/lib.h>

#define POLYNOMIAL 0x04c11db7u

static uint32_t table[256];

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i << 24;

		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc >> 31 ? POLYNOMIAL : 0);
		table[i] = crc;
	}
}

uint32_t cksum_add(uint32_t crc, const void *data, size_t n)
{
	const unsigned char *p = data;

	if (!table[1])
		make_table();
	while (n--)
		crc = crc << 8 ^ table[crc >> 24 ^ *p++];
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
