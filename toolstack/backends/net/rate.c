/* SPDX-License-Identifier: MIT */
/* A token bucket: tokens are bytes, and come at `rate` per second up to `size`. */
#include "toolstack/backends/net/net.h"

#define NS 1000000000ULL

/* 50 ms worth, as Xen's own limit counts, but room for one frame of any size. */
void bucket_init(struct bucket *b, uint64_t rate, uint64_t now)
{
	*b = (struct bucket){.rate = rate, .size = rate / 20, .last = now};
	if (b->size < NET_MAX_FRAME)
		b->size = NET_MAX_FRAME;
	b->left = b->size;
}

static uint64_t bytes_in(uint64_t rate, uint64_t ns)
{
	return (unsigned __int128)rate * ns / NS;
}

bool bucket_take(struct bucket *b, uint64_t len, uint64_t now)
{
	uint64_t more;

	if (!b->rate)
		return true;
	more = bytes_in(b->rate, now - b->last);
	if (more) {
		b->left = more > b->size - b->left ? b->size : b->left + more;
		b->last = now;
	}
	if (len > b->size)
		len = b->size;
	if (len > b->left)
		return false;
	b->left -= len;
	return true;
}

uint64_t bucket_wait(const struct bucket *b, uint64_t len)
{
	if (len > b->size)
		len = b->size;
	if (!b->rate || len <= b->left)
		return 0;
	return (unsigned __int128)(len - b->left) * NS / b->rate + 1;
}
