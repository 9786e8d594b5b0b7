/* SPDX-License-Identifier: MIT */
/* Moving much data between a disk and whoever makes or takes it, several requests at a time. */
#ifndef STREAM_H
#define STREAM_H

#include <pv/disk.h>

#define STREAM_PIECE (1u << 20)

/* Called for each run of bytes, in order, in pages that the backend sees. */
typedef void (*stream_fn)(void *arg, uint64_t offset, void *data, size_t n);

/* One at a time. fn may be NULL: then only the disk works. 0 or -errno. */
long stream(struct disk *d, enum disk_op op, uint64_t offset, uint64_t bytes, stream_fn fn,
	    void *arg);

#endif
