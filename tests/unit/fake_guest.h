/* SPDX-License-Identifier: MIT */
/*
 * A guest for pvblk's rings without pvd: its memory is a memfd, grant n is page n, and every map
 * has pages without access around it. Stands in for toolstack/backends/common.
 */
#ifndef PAVANE_FAKE_GUEST_H
#define PAVANE_FAKE_GUEST_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/backends/block/blk.h"

#define GUEST_PAGES 64U
#define READONLY    60U /* grants from here on are not for writing */

static int guest_fd = -1;
static uint8_t *guest; /* as the guest sees it */
static unsigned maps, notified, failures;

static void guest_boot(void)
{
	if (guest_fd >= 0)
		return;
	guest_fd = memfd_create("guest", 0);
	if (ftruncate(guest_fd, GUEST_PAGES * PAGE_SIZE))
		abort();
	guest = mmap(NULL, GUEST_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, guest_fd,
		     0);
}

void *dev_map(struct dev *d, uint32_t *refs, uint32_t n, int prot)
{
	char *at = mmap(NULL, (n + 2) * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (uint32_t i = 0; i < n; i++) {
		if (refs[i] >= GUEST_PAGES || (refs[i] >= READONLY && prot & PROT_WRITE)) {
			munmap(at, (n + 2) * PAGE_SIZE);
			errno = EINVAL;
			return NULL;
		}
		mmap(at + (1 + i) * PAGE_SIZE, PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, guest_fd,
		     refs[i] * PAGE_SIZE);
	}
	maps += n;
	return at + PAGE_SIZE;
}

void dev_unmap(struct dev *d, void *addr, uint32_t n)
{
	munmap((char *)addr - PAGE_SIZE, (n + 2) * PAGE_SIZE);
	maps -= n;
}

void dev_notify(struct dev *d, uint32_t port)
{
	notified++;
}

void dev_log(struct dev *d, const char *fmt, ...)
{
}

int dev_fail(struct dev *d, const char *fmt, ...)
{
	d->failed = true;
	failures++;
	return -1;
}

uint64_t dev_now(void)
{
	static uint64_t now;

	return now += 100000000;
}

void blk_look_at_size(struct blk *b)
{
	image_resized(&b->image);
}

#endif
