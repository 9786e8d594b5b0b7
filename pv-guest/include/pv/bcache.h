/* SPDX-License-Identifier: MIT */
/* The block cache: blocks of 4 KiB of disks, by number, the least recently used goes first. */
#ifndef PV_BCACHE_H
#define PV_BCACHE_H

#include <stdint.h>

#define BLOCK_SIZE 4096u

struct disk;

/*
 * The block, which stays as it is until bcache_put(); NULL with *error = -errno if it cannot be
 * read. The last block of a disk may end with zeros behind the disk's end.
 */
const void *bcache_get(struct disk *d, uint64_t block, long *error);
void bcache_put(const void *block);
/* Drops what is cached of a disk, after it was written past the cache, or before it goes. */
void bcache_forget(struct disk *d);

#endif
