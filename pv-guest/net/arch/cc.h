/* SPDX-License-Identifier: MIT */
/* What lwIP asks of its surroundings: how to speak, how to fail, where luck comes from. */
#ifndef NET_CC_H
#define NET_CC_H

#include <pv/lib.h>

#define LWIP_PLATFORM_DIAG(x)	printf x
#define LWIP_PLATFORM_ASSERT(x) panic("lwip: %s", x)
#define LWIP_RAND()		net_random()
#define LWIP_CHKSUM		net_checksum
#define LWIP_NO_CTYPE_H		1
#define LWIP_NO_UNISTD_H	1

typedef long ssize_t; /* which <unistd.h> would have brought */

uint32_t net_random(void);
/* The ones' complement sum of the bytes, as 16-bit words in memory order; not inverted. */
uint16_t net_checksum(const void *data, int len);

#endif
