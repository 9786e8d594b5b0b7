/* SPDX-License-Identifier: MIT */
/* A read, write, flush or discard as one call: by requests, and through pages of the pool. */
#include <pv/mm.h>
#include "blk.h"

static long request(struct disk *d, enum disk_op op, uint64_t offset, uint64_t bytes, void **pages)
{
	unsigned int done = 0;
	struct disk_request r = {
		.op = op, .offset = offset, .bytes = bytes, .pages = pages, .done = &done};

	disk_queue(d, &r);
	disk_wait(d, &done, 1);
	return r.error;
}

/* One request's worth, through pages of the pool. */
static long io_part(struct disk *d, enum disk_op op, uint64_t offset, char *buf, size_t n)
{
	void *pages[16];
	size_t count = (n + PAGE_SIZE - 1) / PAGE_SIZE, got = 0;
	long rc = -XEN_ENOMEM;

	while (got < count && (pages[got] = disk_page_get(d)) != NULL)
		got++;
	for (size_t i = 0; got == count && op == DISK_WRITE && i < count; i++)
		memcpy(pages[i], buf + i * PAGE_SIZE,
		       i + 1 < count ? PAGE_SIZE : n - i * PAGE_SIZE);
	if (got == count)
		rc = request(d, op, offset, n, pages);
	for (size_t i = 0; !rc && op == DISK_READ && i < count; i++)
		memcpy(buf + i * PAGE_SIZE, pages[i],
		       i + 1 < count ? PAGE_SIZE : n - i * PAGE_SIZE);
	while (got)
		disk_page_put(d, pages[--got]);
	return rc;
}

long disk_io(struct disk *d, enum disk_op op, uint64_t offset, void *buf, size_t n)
{
	size_t most = d->info.max_bytes < 16 * PAGE_SIZE ? d->info.max_bytes : 16 * PAGE_SIZE;
	long rc = 0;

	for (size_t at = 0; !rc && at < n; at += most)
		rc = io_part(d, op, offset + at, (char *)buf + at, n - at < most ? n - at : most);
	return rc;
}

long disk_flush(struct disk *d)
{
	return request(d, DISK_FLUSH, 0, 0, NULL);
}

long disk_discard(struct disk *d, uint64_t offset, uint64_t bytes)
{
	return request(d, DISK_DISCARD, offset, bytes, NULL);
}
