/* SPDX-License-Identifier: MIT */
/* Frames that wait for room in the guest's ring: one buffer, filled from the front. */
#include <stdlib.h>
#include <string.h>

#include "toolstack/backends/net/net.h"

int backlog_init(struct backlog *b)
{
	memset(b, 0, sizeof(*b));
	b->buf = malloc(BACKLOG_BYTES);
	return b->buf ? 0 : -1;
}

void backlog_free(struct backlog *b)
{
	free(b->buf);
	b->buf = NULL;
}

/* Move what waits to the front. */
static void compact(struct backlog *b)
{
	const unsigned n = b->last - b->first;
	uint8_t *start = b->frames[b->first].data;
	const uint32_t gone = start - b->buf;

	memmove(b->buf, start, b->used - gone);
	b->used -= gone;
	for (unsigned i = 0; i < n; i++) {
		b->frames[i] = b->frames[b->first + i];
		b->frames[i].data -= gone;
	}
	b->first = 0;
	b->last = n;
}

uint8_t *backlog_room(struct backlog *b, uint32_t len)
{
	if (b->last == b->first)
		b->first = b->last = b->used = 0;
	if ((b->last == BACKLOG_FRAMES || BACKLOG_BYTES - b->used < len) && b->first)
		compact(b);
	return b->last < BACKLOG_FRAMES && BACKLOG_BYTES - b->used >= len ? b->buf + b->used : NULL;
}

void backlog_add(struct backlog *b, const struct frame *f)
{
	b->frames[b->last++] = *f;
	b->used = (f->data - b->buf + f->len + 7) & ~7U;
}

void backlog_done(struct backlog *b, unsigned n)
{
	b->first += n;
}

bool backlog_crowded(const struct backlog *b)
{
	return b->first < b->last &&
	       (b->last - b->first > BACKLOG_FRAMES / 2 ||
		b->used - (b->frames[b->first].data - b->buf) > BACKLOG_BYTES / 2);
}
