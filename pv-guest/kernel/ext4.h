/* SPDX-License-Identifier: MIT */
/*
 * ext2, ext3 and ext4, to be read. An image is hostile: every number in it is checked before it is
 * used, and no walk takes longer than the image's size warrants.
 */
#ifndef EXT4_H
#define EXT4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;

struct ext4 {
	struct disk *disk;
	uint32_t block_size, first_block, blocks_per_group;
	uint32_t inodes, inodes_per_group, inode_size, groups, desc_size;
	uint64_t blocks;
	char label[17];
};

struct ext4_file {
	const struct ext4 *fs;
	uint32_t inode, flags;
	uint16_t mode;
	uint64_t size;
	uint8_t map[60]; /* the root of its extents, or block numbers, or a short symlink */
};

#define EXT4_TYPE(mode) ((mode)&0xf000)
#define EXT4_DIR	0x4000
#define EXT4_REGULAR	0x8000
#define EXT4_SYMLINK	0xa000

/* 0 or -errno; *why says what is wrong with an image that is refused. */
long ext4_mount(struct ext4 *fs, struct disk *d, uint64_t disk_bytes, bool noload,
		const char **why);
/* By path from the root, through symbolic links. */
long ext4_open(const struct ext4 *fs, const char *path, struct ext4_file *f);
/* Bytes read, less than n only at the end; or -errno. */
long ext4_read(const struct ext4_file *f, uint64_t offset, void *buf, size_t n);

struct ext4_name {
	uint32_t inode;
	char name[256];
};

/* Calls fn for each name of a directory until it returns true; then 1, or 0 at the end. */
long ext4_list(const struct ext4_file *dir, bool (*fn)(void *arg, const struct ext4_name *name),
	       void *arg);
/* The file of a number that ext4_list() gave. */
long ext4_inode(const struct ext4 *fs, uint32_t number, struct ext4_file *f);

#endif
