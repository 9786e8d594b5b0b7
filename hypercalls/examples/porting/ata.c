/* SPDX-License-Identifier: MIT */
/*
 * The original: a driver for the second ATA disk on the first channel, by programmed I/O and
 * interrupts. Buffers wait in a queue, of which the first one is at the disk.
 */
#include "disk.h"
#include "metal.h"
#include "x86.h"

enum { /* ports */
       DATA = 0x1f0,
       COUNT = 0x1f2,
       LBA0,
       LBA1,
       LBA2,
       DEVICE,
       STATUS,
       COMMAND = STATUS,
       CONTROL = 0x3f6
};

#define IRQ	14
#define BUSY	0x80 /* in STATUS */
#define FAULT	0x20
#define REQUEST 0x08
#define ERROR	0x01
#define NO_IRQ	0x02 /* in CONTROL */
#define SECOND	0xf0 /* in DEVICE: the second disk, LBA */

static const uint8_t commands[] = {
	[DISK_READ] = 0x20,
	[DISK_WRITE] = 0x30,
	[DISK_FLUSH] = 0xe7,
};
#define IDENTIFY 0xec

static struct buf *queue;
static uint32_t sectors;

static uint8_t disk_status(void)
{
	uint8_t status;

	do
		status = inb(STATUS);
	while (status & BUSY);
	return status;
}

static void disk_start(struct buf *b)
{
	disk_status();
	outb(COUNT, 1);
	outb(LBA0, (uint8_t)b->sector);
	outb(LBA1, (uint8_t)(b->sector >> 8));
	outb(LBA2, (uint8_t)(b->sector >> 16));
	outb(DEVICE, (uint8_t)(SECOND | b->sector >> 24));
	outb(COMMAND, commands[b->op]);
	if (b->op == DISK_WRITE && disk_status() & REQUEST)
		outsl(DATA, b->data, SECTOR / 4);
}

static void disk_done(struct buf *b, bool failed)
{
	b->failed = failed;
	b->done = true;
}

static void disk_intr(void)
{
	struct buf *b = queue;
	uint8_t status = inb(STATUS); /* and so the disk takes its interrupt back */

	if (!b || status & BUSY)
		return;
	if (b->op == DISK_READ && status & REQUEST)
		insl(DATA, b->data, SECTOR / 4);
	queue = b->next;
	disk_done(b, status & (FAULT | ERROR));
	if (queue)
		disk_start(queue);
}

void disk_submit(struct buf *b)
{
	struct buf **end = &queue;
	bool enabled = irq_save();

	b->done = false;
	b->next = NULL;
	if (!sectors || (b->op != DISK_FLUSH && b->sector >= sectors)) {
		disk_done(b, true);
	} else {
		while (*end)
			end = &(*end)->next;
		*end = b;
		if (queue == b)
			disk_start(b);
	}
	irq_restore(enabled);
}

bool disk_wait(struct buf *b)
{
	bool enabled = irq_save();

	while (!b->done) {
		sti_hlt();
		cli();
	}
	irq_restore(enabled);
	return !b->failed;
}

bool disk_init(void)
{
	uint16_t about[SECTOR / 2] = {0};

	outb(CONTROL, NO_IRQ);
	outb(DEVICE, SECOND);
	outb(COMMAND, IDENTIFY);
	if (inb(STATUS) == 0 || !(disk_status() & REQUEST))
		return false;
	insl(DATA, about, SECTOR / 4);
	sectors = about[60] | (uint32_t)about[61] << 16;
	irq_enable(IRQ, disk_intr);
	outb(CONTROL, 0);
	return true;
}

uint32_t disk_sectors(void)
{
	return sectors;
}

void disk_close(void)
{
	static struct buf last;

	disk_flush(&last);
	outb(CONTROL, NO_IRQ);
	sectors = 0;
}
