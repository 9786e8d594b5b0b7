/* SPDX-License-Identifier: MIT */
/* Numbers and bytes in a packet's text. */
#include "toolstack/pvctl/rsp.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool rsp_hex(const char **p, uint64_t *value)
{
	unsigned n = 0;

	*value = 0;
	for (; digit(**p) >= 0; n++)
		*value = *value << 4 | digit(*(*p)++);
	return n >= 1 && n <= 16;
}

size_t rsp_hex_bytes(const char *p, uint8_t *out, size_t size)
{
	size_t n = 0;

	for (; n < size && digit(p[0]) >= 0 && digit(p[1]) >= 0; p += 2)
		out[n++] = digit(p[0]) << 4 | digit(p[1]);
	return n;
}

bool rsp_skip(const char **p, char c)
{
	if (**p != c)
		return false;
	++*p;
	return true;
}
