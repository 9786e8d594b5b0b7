/* SPDX-License-Identifier: MIT */
/*
 * The kernel above the driver, the same object file on the bare machine and on Xen: looks at the
 * disk, writes its last sectors, reads them again. It prints what it saw, for a test to compare.
 */
#include <pv/lib.h>
#include "disk.h"
#include "main.h"

#define DEPTH 48 /* buffers on their way at once: more than a ring has requests */

static struct buf bufs[DEPTH];

/* FNV-1a, 32 bits. */
static uint32_t hash(uint32_t h, const uint8_t *data, unsigned int n)
{
	while (n--)
		h = (h ^ *data++) * 16777619;
	return h;
}

static uint8_t pattern(uint32_t sector, unsigned int i)
{
	return (uint8_t)(sector * 7 + i * 13 + (i >> 8));
}

/* All sectors, DEPTH at a time; prints their hash. */
static bool read_all(void)
{
	uint32_t h = 2166136261u;

	for (uint32_t first = 0; first < disk_sectors(); first += DEPTH) {
		uint32_t n = disk_sectors() - first < DEPTH ? disk_sectors() - first : DEPTH;

		for (uint32_t i = 0; i < n; i++) {
			bufs[i].op = DISK_READ;
			bufs[i].sector = first + i;
			disk_submit(&bufs[i]);
		}
		for (uint32_t i = 0; i < n; i++) {
			if (!disk_wait(&bufs[i]))
				return false;
			h = hash(h, bufs[i].data, SECTOR);
		}
	}
	printf("hash of %u sectors: %08x\n", disk_sectors(), h);
	return true;
}

static bool write_last(void)
{
	for (uint32_t i = 0; i < DEPTH; i++) {
		bufs[i].op = DISK_WRITE;
		bufs[i].sector = disk_sectors() - DEPTH + i;
		for (unsigned int c = 0; c < SECTOR; c++)
			bufs[i].data[c] = pattern(bufs[i].sector, c);
		disk_submit(&bufs[i]);
	}
	for (uint32_t i = 0; i < DEPTH; i++)
		if (!disk_wait(&bufs[i]))
			return false;
	return disk_flush(&bufs[0]);
}

static bool verify_last(void)
{
	for (uint32_t i = 0; i < DEPTH; i++) {
		struct buf *b = &bufs[0];

		b->sector = disk_sectors() - DEPTH + i;
		if (!disk_read(b))
			return false;
		for (unsigned int c = 0; c < SECTOR; c++)
			if (b->data[c] != pattern(b->sector, c))
				return false;
	}
	return true;
}

static void say(const char *what, bool ok)
{
	printf("%s: %s\n", what, ok ? "ok" : "FAIL");
}

void kernel_main(void)
{
	if (!disk_init()) {
		printf("no disk\n");
		return;
	}
	printf("disk of %u sectors\n", disk_sectors());
	say("read", read_all());
	say("write", write_last());
	say("verify", verify_last());
	bufs[0].sector = disk_sectors();
	say("refuse what is behind the end", !disk_read(&bufs[0]));
	read_all();
	disk_close();
	printf("the end\n");
}
