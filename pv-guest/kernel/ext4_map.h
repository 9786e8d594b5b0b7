/* SPDX-License-Identifier: MIT */
/* From a file's blocks to the disk's. */
#ifndef EXT4_MAP_H
#define EXT4_MAP_H

#include "ext4.h"

#define EXT4_EXTENTS 0x00080000u /* of an inode's flags */
#define XEN_ENOTDIR  20

struct ext4_run {
	uint64_t block;	 /* of the file system; 0: a hole, which reads as zeros */
	uint64_t length; /* how many follow one another, at least 1; all exist */
};

/* The run that begins with the file's n-th block; 0 or -errno. */
long ext4_map(const struct ext4_file *f, uint64_t n, struct ext4_run *run);
/* n bytes of the image, all of which must exist. */
long ext4_copy(const struct ext4 *fs, uint64_t offset, void *buf, size_t n);

#endif
