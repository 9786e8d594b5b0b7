/* SPDX-License-Identifier: MIT */
/* What blkfront.c (who is there, what they agreed on), blkring.c (requests) and blkpool.c share. */
#ifndef BLK_H
#define BLK_H

#include <pv/disk.h>
#include <pv/lib.h>
#include <pv/lock.h>
#include <pv/xenbus.h>

/* The ring macros' barriers. x86 reorders a load before an older store, and nothing else. */
#define xen_mb()  mb()
#define xen_rmb() barrier()
#define xen_wmb() barrier()
#include <xen/io/blkif.h>

#define MAX_DISKS    16
#define MAX_QUEUES   4
#define MAX_ORDER    4
#define MAX_SEGMENTS 256 /* of an indirect request: one page holds them */

struct slot {
	struct disk_request *request; /* NULL: this id is not in the ring */
	void *indirect;		      /* the page with its segments */
	uint8_t op;		      /* what the answer must say */
	uint16_t next_free;
};

/* One ring. What matters is kept here: the shared pages hold only what the other end may spoil. */
struct queue {
	struct lock lock;
	struct disk *disk;
	bool up;     /* the ring's pages are there */
	bool live;   /* requests may go into the ring */
	bool ended;  /* some request did: somebody may have to be woken */
	bool broken; /* the backend lied: no more of this */
	struct shared shared;
	blkif_front_ring_t ring;
	unsigned int port;
	struct slot *slots; /* as many as the largest ring has */
	unsigned int free;  /* first free slot, NO_SLOT for none */
	unsigned int in_flight;
	struct disk_request *first, **last; /* wait for room */
};

#define NO_SLOT 0xffffu

struct disk {
	bool used, ready, gone, ended;
	unsigned int users;
	struct xenbus_device *dev;
	domid_t backend;
	uint16_t handle;
	struct disk_info info;
	uint8_t flush_op; /* 0: the backend has none */
	struct queue queue[MAX_QUEUES];
	struct lock wait_lock;
	unsigned int sleepers, pollers;
	uint64_t wait_ns; /* how long waits took lately */
	struct lock pool_lock;
	uint32_t pool; /* first free page's pfn, 0 for none */
};

/* blkpool.c */
/* n bytes at new addresses, zeroed, never given back; NULL without memory. */
void *table_alloc(size_t n);
bool pool_init(void);
grant_ref_t pool_ref(const void *page); /* of one that disk_page_get gave */
void pool_destroy(struct disk *d);

/* blkring.c */
/* Empty, of `pages` shared pages; 0 or -errno. */
long queue_create(struct queue *q, unsigned int pages);
void queue_destroy(struct queue *q);
/* From now on requests may go into the rings. */
void queues_start(struct disk *d);
/* None goes in any more; those in flight have `patience` ns to come back, or will go in anew. */
void queues_stop(struct disk *d, uint64_t patience);
/* Ends every request that waits. */
void queues_fail(struct disk *d, int error);

#endif
