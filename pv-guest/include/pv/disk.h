/* SPDX-License-Identifier: MIT */
/*
 * Disks. A request moves whole pages, which come from the disk's own pool: these stay granted to
 * the backend for good, so that it maps each once. What a backend can see it can change: data to
 * be trusted must be copied out of them first, as disk_io() does.
 */
#ifndef PV_DISK_H
#define PV_DISK_H

#include <pv/arch.h>

#define SECTOR	       512u
#define XEN_EIO	       5
#define XEN_ENODEV     19
#define XEN_EROFS      30
#define XEN_EOPNOTSUPP 95

struct disk;
struct queue;

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD };

struct disk_request {
	enum disk_op op;
	uint64_t offset, bytes;	   /* multiples of the disk's sector size; unused for a flush */
	void **pages;		   /* bytes / 4096 of them, rounded up, from disk_page_get() */
	int error;		   /* once it is done: 0 or -errno */
	unsigned int *done;	   /* goes up by one when it is done */
	struct disk_request *next; /* blkring.c's */
};

struct disk_info {
	char name[16];
	uint64_t bytes;
	unsigned int sector, max_bytes; /* smallest, and most in one request */
	unsigned int queues, depth;	/* requests in flight per queue */
	bool readonly, cdrom, flush, discard, persistent;
	unsigned int indirect; /* segments, 0: none */
};

/* A disk that is there, by name ("xvda"); it stays until disk_close(). NULL if none. */
struct disk *disk_open(const char *name);
void disk_close(struct disk *d);
/* The index-th disk; false behind the last. */
bool disk_get_info(unsigned int index, struct disk_info *info);
void disk_info(struct disk *d, struct disk_info *info);

/* A page of the pool, with anything in it; NULL without memory. */
void *disk_page_get(struct disk *d);
void disk_page_put(struct disk *d, void *page);

/* Puts a request into the ring, or behind those that wait for room; disk_kick() tells. */
void disk_queue(struct disk *d, struct disk_request *r);
void disk_kick(struct disk *d);
/* Until *done is target or beyond: polls for a while, then sleeps. Kicks first. */
void disk_wait(struct disk *d, const unsigned int *done, unsigned int target);

/* All at once, with any memory of the kernel's as buffer: 0 or -errno. */
long disk_io(struct disk *d, enum disk_op op, uint64_t offset, void *buf, size_t n);
long disk_flush(struct disk *d);
long disk_discard(struct disk *d, uint64_t offset, uint64_t bytes);

/* Registers the driver. */
void blkfront_init(void);

#endif
