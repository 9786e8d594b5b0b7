/* SPDX-License-Identifier: MIT */
/*
 * The disk as the rest of the kernel sees it. Two drivers provide it, ata.c and vbd.c, and nobody
 * else need know which is linked.
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR 512

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH };

struct buf {
	enum disk_op op;
	uint32_t sector;
	volatile bool done; /* set by the interrupt handler */
	bool failed;
	struct buf *next; /* the driver's, until it is done */
	uint8_t data[SECTOR];
};

/* False: there is no disk. Interrupts are enabled, here and in all that follows. */
bool disk_init(void);
uint32_t disk_sectors(void);
/* Puts a buffer into the queue; it is the driver's until disk_wait() returned. */
void disk_submit(struct buf *b);
/* False: the disk could not do it. */
bool disk_wait(struct buf *b);
/* All that was written is on the disk when this returns, and nothing uses it any more. */
void disk_close(void);

static inline bool disk_do(struct buf *b, enum disk_op op)
{
	b->op = op;
	disk_submit(b);
	return disk_wait(b);
}

static inline bool disk_read(struct buf *b)
{
	return disk_do(b, DISK_READ);
}

static inline bool disk_write(struct buf *b)
{
	return disk_do(b, DISK_WRITE);
}

static inline bool disk_flush(struct buf *b)
{
	return disk_do(b, DISK_FLUSH);
}

#endif
