/* SPDX-License-Identifier: MIT */
/* One disk can be mounted, read-only. Its files are looked for where the ramdisk has none. */
#include <pv/bcache.h>
#include <pv/disk.h>
#include <pv/file.h>
#include <pv/fs.h>
#include <pv/lock.h>
#include <pv/mm.h>
#include "ext4.h"
#include "kernel.h"

#define NODES 96

struct node {
	bool used;
	const char *data; /* of the ramdisk; NULL: of the disk */
	uint64_t size;
	struct ext4_file file;
};

static struct lock fs_lock;
static struct ext4 fs;
static struct disk *mounted;
static unsigned int users; /* of the mounted disk */
static struct node nodes[NODES];

bool fs_available(void)
{
	return start_info->mod_start || READ_ONCE(mounted);
}

static struct ext4 *disk_use(void)
{
	bool enabled = lock(&fs_lock);
	struct ext4 *found = mounted ? &fs : NULL;

	users += found != NULL;
	unlock(&fs_lock, enabled);
	return found;
}

static void disk_unuse(void)
{
	bool enabled = lock(&fs_lock);

	users--;
	unlock(&fs_lock, enabled);
}

static struct node *node_create(void)
{
	bool enabled = lock(&fs_lock);
	struct node *n = nodes;

	while (n < nodes + NODES && n->used)
		n++;
	if (n == nodes + NODES)
		n = NULL;
	else
		*n = (struct node){.used = true};
	unlock(&fs_lock, enabled);
	return n;
}

static long open_disk(struct node *n, const char *path)
{
	struct ext4 *on = disk_use();
	long rc = on ? ext4_open(on, path, &n->file) : -XEN_ENOENT;

	if (!rc && EXT4_TYPE(n->file.mode) != EXT4_REGULAR)
		rc = -XEN_EINVAL;
	n->size = n->file.size;
	if (rc && on)
		disk_unuse();
	return rc;
}

struct node *fs_open(const char *path, long *error)
{
	struct node *n = node_create();
	size_t size = 0;

	*error = n ? 0 : -XEN_EMFILE;
	if (!n)
		return NULL;
	n->data = ramdisk_find(path, &size);
	n->size = size;
	if (!n->data)
		*error = open_disk(n, path);
	if (!*error)
		return n;
	__atomic_store_n(&n->used, false, __ATOMIC_RELEASE);
	return NULL;
}

void fs_close(struct node *n)
{
	if (!n->data)
		disk_unuse();
	__atomic_store_n(&n->used, false, __ATOMIC_RELEASE);
}

uint64_t fs_size(const struct node *n)
{
	return n->size;
}

long fs_read(const struct node *n, uint64_t offset, void *buf, size_t size)
{
	if (!n->data)
		return ext4_read(&n->file, offset, buf, size);
	if (offset >= n->size)
		return 0;
	if (size > n->size - offset)
		size = n->size - offset;
	memcpy(buf, n->data + offset, size);
	return (long)size;
}

/* ---- commands ---- */

static void failed(const char *what, const char *name, long rc)
{
	printf("FAIL %s %s: error %ld: %s\n", what, name, -rc, error_words(-rc));
}

void fs_mount(const char *name, bool noload)
{
	struct disk *d = mounted ? NULL : disk_open(name);
	struct disk_info info;
	const char *why;
	long rc;

	if (!d) {
		printf("FAIL mount %s: %s\n", name, mounted ? "one is mounted" : "no such disk");
		return;
	}
	disk_info(d, &info);
	rc = ext4_mount(&fs, d, info.bytes, noload, &why);
	if (rc) {
		printf("FAIL mount %s: error %ld: %s\n", name, -rc, why);
		bcache_forget(d);
		disk_close(d);
		return;
	}
	printf("mount %s: \"%s\", %lu blocks of %u, %u inodes, read-only\n", name, fs.label,
	       fs.blocks, fs.block_size, fs.inodes);
	mounted = d;
}

void fs_unmount(void)
{
	bool enabled = lock(&fs_lock);
	struct disk *d = users ? NULL : mounted;

	if (d)
		mounted = NULL;
	unlock(&fs_lock, enabled);
	if (!d) {
		printf("FAIL umount: %s\n", mounted ? "in use" : "nothing is mounted");
		return;
	}
	bcache_forget(d);
	disk_close(d);
}

static bool print_name(void *arg, const struct ext4_name *name)
{
	static const struct {
		uint16_t type;
		char letter;
	} letters[] = {{EXT4_DIR, 'd'}, {EXT4_REGULAR, '-'}, {EXT4_SYMLINK, 'l'}};
	struct ext4_file f;
	char letter = '?';

	if (ext4_inode(&fs, name->inode, &f)) {
		printf("?        ? %s\n", name->name);
		return false;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(letters); i++)
		if (letters[i].type == EXT4_TYPE(f.mode))
			letter = letters[i].letter;
	printf("%c %8lu %s\n", letter, f.size, name->name);
	return false;
}

void fs_list(const char *path)
{
	struct ext4 *on = disk_use();
	struct ext4_file f;
	long rc = -XEN_ENOENT;

	if (!path)
		ramdisk_list();
	if (!on && !path) {
		printf("no disk is mounted\n");
		return;
	}
	if (on)
		rc = ext4_open(on, path ? path : "/", &f);
	if (!rc)
		rc = ext4_list(&f, print_name, NULL);
	if (rc < 0)
		failed("ls", path ? path : "/", rc);
	if (on)
		disk_unuse();
}

/* The whole of a file, page by page, to fn. */
static long each_page(const char *path, void (*fn)(void *arg, const char *data, size_t n),
		      void *arg)
{
	char *page = page_try_alloc();
	struct node *n;
	uint64_t at = 0;
	long rc;

	if (!page)
		return -XEN_ENOMEM;
	n = fs_open(path, &rc);
	while (n && (rc = fs_read(n, at, page, PAGE_SIZE)) > 0) {
		fn(arg, page, (size_t)rc);
		at += (uint64_t)rc;
	}
	if (n)
		fs_close(n);
	page_free(page);
	return rc;
}

static void print(void *arg, const char *data, size_t n)
{
	console_write(data, n);
}

void fs_cat(const char *path)
{
	long rc = each_page(path, print, NULL);

	if (rc)
		failed("cat", path, rc);
}

struct sum {
	uint32_t crc;
	uint64_t bytes;
};

static void add(void *arg, const char *data, size_t n)
{
	struct sum *s = arg;

	s->crc = cksum_add(s->crc, data, n);
	s->bytes += n;
}

void fs_sum(const char *path)
{
	struct sum s = {.crc = 0};
	long rc = each_page(path, add, &s);

	if (rc)
		failed("sum", path, rc);
	else
		printf("%u %lu %s\n", cksum_end(s.crc, s.bytes), s.bytes, path);
}
