/* SPDX-License-Identifier: MIT */
/*
 * The blocks of a file: a tree of extents (ext4), or of block numbers (ext2, ext3). Both trees are
 * walked from the root in a loop whose length the format bounds, whatever the image says.
 */
#include <pv/arch.h>
#include <pv/bcache.h>
#include <pv/disk.h>
#include <pv/lib.h>
#include "ext4_map.h"

#define EXTENT_MAGIC 0xf30a
#define MAX_DEPTH    5
#define MAX_LENGTH   32768 /* a longer one is as much less, and unwritten: it reads as zeros */

#define INLINE_DATA 0x10000000u
#define ENCRYPTED   0x00000800u

struct header {
	uint16_t magic, entries, max, depth;
	uint32_t generation;
};

/* An entry of a leaf is a run of blocks; that of any other node names a node one level down. */
struct leaf {
	uint32_t first;
	uint16_t length, block_hi;
	uint32_t block_lo;
};

struct index {
	uint32_t first, node_lo;
	uint16_t node_hi, unused;
};

_Static_assert(sizeof(struct header) == 12 && sizeof(struct leaf) == 12 &&
		       sizeof(struct index) == 12,
	       "ext4 extents");

static long bad_header(const struct header *h, size_t size, unsigned int depth)
{
	return h->magic != EXTENT_MAGIC || h->depth != depth || h->entries > h->max ||
	       h->max > (size - sizeof(*h)) / sizeof(struct leaf);
}

/* The entries are in order: the last that does not begin behind n, and where the next begins. */
static bool search(const char *node, unsigned int entries, uint64_t n, struct leaf *e,
		   uint64_t *next)
{
	unsigned int low = 0, high = entries;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		memcpy(e, node + sizeof(struct header) + middle * sizeof(*e), sizeof(*e));
		if (e->first <= n)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < entries) {
		memcpy(e, node + sizeof(struct header) + low * sizeof(*e), sizeof(*e));
		if (e->first < *next && e->first > n)
			*next = e->first;
	}
	if (!low)
		return false;
	memcpy(e, node + sizeof(struct header) + (low - 1) * sizeof(*e), sizeof(*e));
	return true;
}

/* Within a leaf's entry e, or in the hole behind it that ends at next. */
static long leaf_run(const struct ext4 *fs, const struct leaf *e, bool found, uint64_t n,
		     uint64_t next, struct ext4_run *run)
{
	bool written = e->length <= MAX_LENGTH;
	uint32_t length = written ? e->length : e->length - MAX_LENGTH;
	uint64_t block = e->block_lo | (uint64_t)e->block_hi << 32;

	*run = (struct ext4_run){.block = 0, .length = next - n};
	if (!found || n - e->first >= length)
		return 0;
	if (!block || block >= fs->blocks || length > fs->blocks - block)
		return -XEN_EIO;
	run->length = length - (n - e->first);
	if (written)
		run->block = block + (n - e->first);
	return 0;
}

static long map_extents(const struct ext4_file *f, uint64_t n, struct ext4_run *run)
{
	const struct ext4 *fs = f->fs;
	uint64_t next = 1ull << 32;
	const char *held = NULL, *node = (const char *)f->map;
	size_t size = sizeof(f->map);
	struct header h;
	unsigned int depth;
	long rc = -XEN_EIO;

	memcpy(&h, node, sizeof(h));
	depth = h.depth;
	if (depth > MAX_DEPTH || n >= next)
		return rc;
	for (;; depth--) {
		struct leaf e = {.first = 0};
		struct index i;
		uint64_t at;
		bool found;

		memcpy(&h, node, sizeof(h));
		if (bad_header(&h, size, depth))
			break;
		found = search(node, h.entries, n, &e, &next);
		if (!depth || !found) {
			rc = leaf_run(fs, &e, found && !depth, n, next, run);
			break;
		}
		memcpy(&i, &e, sizeof(i));
		at = i.node_lo | (uint64_t)i.node_hi << 32;
		if (!at || at >= fs->blocks)
			break;
		at *= fs->block_size;
		size = fs->block_size;
		if (held)
			bcache_put(held);
		held = bcache_get(fs->disk, at / BLOCK_SIZE, &rc);
		if (!held)
			return rc;
		node = held + at % BLOCK_SIZE;
		rc = -XEN_EIO;
	}
	if (held)
		bcache_put(held);
	return rc;
}

/*
 * Twelve numbers of blocks; then one of a block of numbers, one of a block of those, and one more.
 * A 0 anywhere is a hole as large as what it would have led to.
 */
static long map_numbers(const struct ext4_file *f, uint64_t n, struct ext4_run *run)
{
	const struct ext4 *fs = f->fs;
	uint64_t per_block = fs->block_size / 4, covers = 1, first = 12;
	unsigned int slot = 0;
	uint32_t block;

	if (n < first) {
		slot = (unsigned int)n;
		n = 0;
	} else {
		n -= first;
		for (slot = 12; slot < 15; slot++) {
			covers *= per_block;
			if (n < covers)
				break;
			n -= covers;
		}
		if (slot == 15)
			return -XEN_EIO;
	}
	memcpy(&block, f->map + slot * 4, 4);
	while (block && covers > 1) {
		long rc;

		if (block >= fs->blocks)
			return -XEN_EIO;
		covers /= per_block;
		rc = ext4_copy(fs, (uint64_t)block * fs->block_size + n / covers * 4, &block, 4);
		if (rc)
			return rc;
		n %= covers;
	}
	if (block >= fs->blocks)
		return -XEN_EIO;
	*run = (struct ext4_run){.block = block, .length = block ? 1 : covers - n};
	return 0;
}

long ext4_map(const struct ext4_file *f, uint64_t n, struct ext4_run *run)
{
	if (f->flags & (INLINE_DATA | ENCRYPTED))
		return -XEN_EOPNOTSUPP;
	return f->flags & EXT4_EXTENTS ? map_extents(f, n, run) : map_numbers(f, n, run);
}
