/* SPDX-License-Identifier: MIT */
/*
 * ext4: the super block, group descriptors, inodes and directories; ext4_map.c finds the blocks of
 * a file. Numbers are little-endian, as we are. Blocks that bcache_get() shows lie in memory that
 * no backend sees, so what was checked stays so.
 */
#include <pv/arch.h>
#include <pv/bcache.h>
#include <pv/disk.h>
#include <pv/lib.h>
#include "ext4_map.h"

#define SUPER_OFFSET 1024
#define SUPER_MAGIC  0xef53
#define ROOT_INODE   2
#define MAX_LINKS    8
#define MAX_PATH     1024

#define STATE_CLEAN 1
#define STATE_ERROR 2

/* Incompatible features: who does not know one may not even read. */
#define FILETYPE  0x0002
#define RECOVER	  0x0004 /* the journal holds what is not yet in its place */
#define EXTENTS	  0x0040
#define BIT64	  0x0080
#define MMP	  0x0100
#define FLEX_BG	  0x0200
#define EA_INODE  0x0400
#define CSUM_SEED 0x2000
#define LARGEDIR  0x4000
#define KNOWN \
	(FILETYPE | RECOVER | EXTENTS | BIT64 | MMP | FLEX_BG | EA_INODE | CSUM_SEED | LARGEDIR)

struct super {
	uint32_t inodes, blocks_lo, reserved_lo, free_blocks_lo;
	uint32_t free_inodes, first_block, log_block_size, log_cluster_size;
	uint32_t blocks_per_group, clusters_per_group, inodes_per_group, mount_time;
	uint32_t write_time;
	uint16_t mounts, max_mounts, magic, state;
	uint16_t errors, minor;
	uint32_t last_check, check_interval, creator, revision;
	uint16_t reserved_uid, reserved_gid;
	uint32_t first_inode;
	uint16_t inode_size, group;
	uint32_t compat, incompat, ro_compat;
	uint8_t uuid[16];
	char label[16];
	uint8_t skip[118];
	uint16_t desc_size;
	uint8_t skip2[80];
	uint32_t blocks_hi;
};

_Static_assert(offsetof(struct super, magic) == 0x38, "ext4 super block");
_Static_assert(offsetof(struct super, incompat) == 0x60, "ext4 super block");
_Static_assert(offsetof(struct super, desc_size) == 0xfe, "ext4 super block");
_Static_assert(offsetof(struct super, blocks_hi) == 0x150, "ext4 super block");

struct inode {
	uint16_t mode, uid;
	uint32_t size_lo, atime, ctime, mtime, dtime;
	uint16_t gid, links;
	uint32_t blocks, flags, version;
	uint8_t map[60];
	uint32_t generation, acl, size_hi;
};

_Static_assert(offsetof(struct inode, map) == 0x28, "ext4 inode");
_Static_assert(offsetof(struct inode, size_hi) == 0x6c, "ext4 inode");

struct entry {
	uint32_t inode;
	uint16_t length;
	uint8_t name_length, type;
};

/* ---- bytes of the image ---- */

long ext4_copy(const struct ext4 *fs, uint64_t offset, void *buf, size_t n)
{
	uint64_t end = fs->blocks * fs->block_size;
	char *to = buf;

	if (offset > end || n > end - offset)
		return -XEN_EIO;
	while (n) {
		size_t at = offset % BLOCK_SIZE, part = BLOCK_SIZE - at;
		const char *block;
		long rc;

		if (part > n)
			part = n;
		block = bcache_get(fs->disk, offset / BLOCK_SIZE, &rc);
		if (!block)
			return rc;
		memcpy(to, block + at, part);
		bcache_put(block);
		to += part;
		offset += part;
		n -= part;
	}
	return 0;
}

/* ---- mount ---- */

static const char *check_super(const struct super *s, bool noload)
{
	if (s->magic != SUPER_MAGIC)
		return "no ext2, ext3 or ext4";
	if (s->log_block_size > 2)
		return "blocks of more than 4 KiB";
	if (s->revision && s->incompat & ~KNOWN)
		return "a feature that is not known here";
	if (!noload && s->revision && s->incompat & RECOVER)
		return "not cleanly unmounted, its journal is to be replayed (mount DEV noload reads it as it is)";
	if (!noload && (!(s->state & STATE_CLEAN) || s->state & STATE_ERROR))
		return "not cleanly unmounted, to be checked by e2fsck (mount DEV noload reads it as it is)";
	return NULL;
}

static const char *check_geometry(const struct ext4 *fs, uint64_t disk_bytes)
{
	uint32_t bs = fs->block_size;

	if (!fs->blocks || fs->blocks > disk_bytes / bs || fs->first_block >= fs->blocks)
		return "more blocks than the disk has";
	if (!fs->blocks_per_group || fs->blocks_per_group > 64 * 8 * bs)
		return "a wrong number of blocks per group";
	if (!fs->inodes_per_group || fs->inodes_per_group > 8 * bs)
		return "a wrong number of inodes per group";
	if (fs->inode_size < 128 || fs->inode_size > bs || fs->inode_size & (fs->inode_size - 1))
		return "a wrong inode size";
	if (fs->desc_size < 32 || fs->desc_size > bs || fs->desc_size & (fs->desc_size - 1))
		return "a wrong descriptor size";
	if ((fs->blocks - fs->first_block - 1) / fs->blocks_per_group >= 0xffffffff)
		return "too many groups";
	return NULL;
}

static void set_geometry(struct ext4 *fs, const struct super *s)
{
	bool wide = s->revision && s->incompat & BIT64;

	fs->block_size = 1024u << s->log_block_size;
	fs->first_block = s->first_block;
	fs->blocks = s->blocks_lo | (wide ? (uint64_t)s->blocks_hi << 32 : 0);
	fs->blocks_per_group = s->blocks_per_group;
	fs->inodes = s->inodes;
	fs->inodes_per_group = s->inodes_per_group;
	fs->inode_size = s->revision ? s->inode_size : 128;
	fs->desc_size = wide ? s->desc_size : 32;
	memcpy(fs->label, s->label, sizeof(s->label));
}

long ext4_mount(struct ext4 *fs, struct disk *d, uint64_t disk_bytes, bool noload, const char **why)
{
	struct super s;
	long rc;

	*why = "cannot be read";
	*fs = (struct ext4){.disk = d, .block_size = SUPER_OFFSET, .blocks = 2};
	rc = ext4_copy(fs, SUPER_OFFSET, &s, sizeof(s));
	if (rc)
		return rc;
	*why = check_super(&s, noload);
	if (*why)
		return -XEN_EINVAL;
	set_geometry(fs, &s);
	*why = check_geometry(fs, disk_bytes);
	if (*why)
		return -XEN_EINVAL;
	fs->groups = (uint32_t)((fs->blocks - fs->first_block - 1) / fs->blocks_per_group + 1);
	if (fs->inodes > (uint64_t)fs->groups * fs->inodes_per_group) {
		*why = "more inodes than its groups have";
		return -XEN_EINVAL;
	}
	return 0;
}

/* ---- inodes ---- */

/* Where the inodes of a group lie: a block that exists, or 0. */
static uint64_t inode_table(const struct ext4 *fs, uint32_t group, long *rc)
{
	struct {
		uint32_t block_bitmap, inode_bitmap, inode_table;
		uint8_t skip[28];
		uint32_t inode_table_hi;
	} desc = {.inode_table_hi = 0};
	uint64_t at =
		(uint64_t)(fs->first_block + 1) * fs->block_size + (uint64_t)group * fs->desc_size;
	uint64_t block;

	*rc = ext4_copy(fs, at, &desc, fs->desc_size >= 64 ? sizeof(desc) : 12);
	block = desc.inode_table | (uint64_t)desc.inode_table_hi << 32;
	return !*rc && block < fs->blocks ? block : 0;
}

long ext4_inode(const struct ext4 *fs, uint32_t number, struct ext4_file *f)
{
	uint32_t group = (number - 1) / fs->inodes_per_group;
	uint32_t index = (number - 1) % fs->inodes_per_group;
	struct inode i;
	uint64_t table;
	long rc;

	if (!number || number > fs->inodes)
		return -XEN_EIO;
	table = inode_table(fs, group, &rc);
	if (!table)
		return rc ? rc : -XEN_EIO;
	rc = ext4_copy(fs, table * fs->block_size + (uint64_t)index * fs->inode_size, &i,
		       sizeof(i));
	if (rc)
		return rc;
	if (!i.mode || !i.links)
		return -XEN_EIO; /* a name of something that was deleted */
	*f = (struct ext4_file){.fs = fs, .inode = number, .flags = i.flags, .mode = i.mode};
	f->size = i.size_lo | (uint64_t)i.size_hi << 32;
	memcpy(f->map, i.map, sizeof(f->map));
	if (f->size > 1ull << 60)
		return -XEN_EIO;
	return 0;
}

/* ---- directories ---- */

/* The names in n bytes of a directory; each says how far it is to the next. */
static long list_block(const struct ext4 *fs, const char *block, size_t n,
		       bool (*fn)(void *arg, const struct ext4_name *name), void *arg)
{
	struct ext4_name found;
	struct entry e;

	for (size_t at = 0; at < n; at += e.length) {
		if (n - at < sizeof(e))
			return -XEN_EIO;
		memcpy(&e, block + at, sizeof(e));
		if (e.length < sizeof(e) || e.length % 4 || e.length > n - at ||
		    e.name_length > e.length - sizeof(e) || e.inode > fs->inodes)
			return -XEN_EIO;
		if (!e.inode || !e.name_length)
			continue; /* free space, an index, a checksum */
		found.inode = e.inode;
		memcpy(found.name, block + at + sizeof(e), e.name_length);
		found.name[e.name_length] = 0;
		if (fn(arg, &found))
			return 1;
	}
	return 0;
}

long ext4_list(const struct ext4_file *dir, bool (*fn)(void *arg, const struct ext4_name *name),
	       void *arg)
{
	const struct ext4 *fs = dir->fs;

	if (EXT4_TYPE(dir->mode) != EXT4_DIR)
		return -XEN_ENOTDIR;
	/* A directory has no holes, so it cannot be larger than the whole. */
	if (dir->size / fs->block_size > fs->blocks || dir->size % fs->block_size)
		return -XEN_EIO;
	for (uint64_t n = 0; n < dir->size / fs->block_size; n++) {
		struct ext4_run run;
		const char *block;
		uint64_t at;
		long rc = ext4_map(dir, n, &run);

		if (rc || !run.block)
			return rc ? rc : -XEN_EIO;
		at = run.block * fs->block_size;
		block = bcache_get(fs->disk, at / BLOCK_SIZE, &rc);
		if (!block)
			return rc;
		rc = list_block(fs, block + at % BLOCK_SIZE, fs->block_size, fn, arg);
		bcache_put(block);
		if (rc)
			return rc;
	}
	return 0;
}

struct search {
	const char *name;
	size_t length;
	uint32_t inode;
};

static bool is_it(void *arg, const struct ext4_name *name)
{
	struct search *s = arg;

	if (strlen(name->name) != s->length || memcmp(name->name, s->name, s->length))
		return false;
	s->inode = name->inode;
	return true;
}

static long find(const struct ext4_file *dir, const char *name, size_t length, struct ext4_file *f)
{
	struct search s = {.name = name, .length = length};
	long rc = ext4_list(dir, is_it, &s);

	return rc == 1 ? ext4_inode(dir->fs, s.inode, f) : rc ? rc : -XEN_ENOENT;
}

/* ---- paths ---- */

/* Puts the link's text in front of what is left of the path. */
static long follow_link(const struct ext4_file *link, const char *rest, char *path)
{
	size_t n = strlen(rest), size = link->size;
	char text[256];
	long rc;

	if (!size || size >= sizeof(text) || size + 1 + n >= MAX_PATH)
		return -XEN_EINVAL;
	if (size < sizeof(link->map) && !(link->flags & EXT4_EXTENTS)) {
		memcpy(text, link->map, size);
	} else {
		rc = ext4_read(link, 0, text, size);
		if (rc != (long)size)
			return rc < 0 ? rc : -XEN_EIO;
	}
	memmove(path + size + 1, rest, n + 1);
	memcpy(path, text, size);
	path[size] = '/';
	return strnlen(text, size) == size ? 0 : -XEN_EIO;
}

long ext4_open(const struct ext4 *fs, const char *name, struct ext4_file *f)
{
	struct ext4_file dir;
	char path[MAX_PATH];
	const char *at = path;
	unsigned int links = 0;
	long rc = ext4_inode(fs, ROOT_INODE, f);

	if (strlcpy(path, name, sizeof(path)) >= sizeof(path))
		return -XEN_EINVAL;
	while (!rc) {
		size_t n = 0;

		while (*at == '/')
			at++;
		if (!*at)
			return 0;
		while (at[n] && at[n] != '/')
			n++;
		dir = *f;
		rc = find(&dir, at, n, f);
		at += n;
		if (rc || EXT4_TYPE(f->mode) != EXT4_SYMLINK)
			continue;
		if (++links > MAX_LINKS)
			return -XEN_EINVAL;
		rc = follow_link(f, at, path);
		at = path;
		if (!rc && *path == '/')
			rc = ext4_inode(fs, ROOT_INODE, f);
		else
			*f = dir;
	}
	return rc;
}

/* ---- content ---- */

long ext4_read(const struct ext4_file *f, uint64_t offset, void *buf, size_t n)
{
	const struct ext4 *fs = f->fs;
	size_t done = 0;

	if (offset >= f->size)
		return 0;
	if (n > f->size - offset)
		n = f->size - offset;
	while (done < n) {
		uint64_t at = offset + done, within = at % fs->block_size, room;
		struct ext4_run run;
		size_t part = n - done;
		long rc = ext4_map(f, at / fs->block_size, &run);

		if (rc)
			return rc;
		room = run.length * fs->block_size - within;
		if (part > room)
			part = room;
		if (run.block)
			rc = ext4_copy(fs, run.block * fs->block_size + within, (char *)buf + done,
				       part);
		else
			memset((char *)buf + done, 0, part);
		if (rc)
			return rc;
		done += part;
	}
	return (long)n;
}
