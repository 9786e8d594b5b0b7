/* SPDX-License-Identifier: MIT */
/*
 * pv-guest's ext4 on hostile images: one that mke2fs made (two kinds, in build/fuzz/ext4), with
 * bytes of it changed as the input says. Whatever comes of it: no access outside, no block left
 * held, and no more blocks read than so small an image warrants.
 */
#include <stdlib.h>

#include "pv-guest/kernel/ext4_map.h"
#include <pv/arch.h>
#include <pv/bcache.h>
#include <pv/disk.h>
#include <pv/lib.h>

#include <stdio.h>
#include <string.h>

#define MAX_GETS  200000
#define MAX_FILES 64

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What an input writes: a number of 1, 2 or 4 bytes at an offset. */
struct patch {
	uint8_t kind, unused;
	uint16_t offset_lo;
	uint8_t offset_hi, pad;
	uint8_t value[4];
} __attribute__((packed));

static const char *const names[] = {"build/fuzz/ext4/ext4.img", "build/fuzz/ext4/ext2.img"};
static uint8_t *bases[2], *images[2], *image;
static size_t sizes[2], image_size;
static unsigned int gets, held, files;
static struct ext4 fs;

/* A copy of its own each time, so that the sanitizer sees its ends. */
const void *bcache_get(struct disk *d, uint64_t block, long *error)
{
	uint8_t *copy;

	(void)d;
	if (++gets > MAX_GETS)
		__builtin_trap();
	*error = -XEN_EIO;
	if (block >= image_size / BLOCK_SIZE)
		return NULL;
	copy = malloc(BLOCK_SIZE);
	memcpy(copy, image + block * BLOCK_SIZE, BLOCK_SIZE);
	held++;
	*error = 0;
	return copy;
}

void bcache_put(const void *block)
{
	held--;
	free((void *)block);
}

/* The kernel's own; of the rest of its library the host's does the same. */
size_t strlcpy(char *dst, const char *src, size_t size)
{
	size_t n = strlen(src), copied = n < size ? n : size - 1;

	memcpy(dst, src, copied);
	dst[copied] = 0;
	return n;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (unsigned int i = 0; i < 2; i++) {
		FILE *f = fopen(names[i], "rb");

		if (!f || fseek(f, 0, SEEK_END))
			abort();
		sizes[i] = (size_t)ftell(f) & ~(size_t)(BLOCK_SIZE - 1);
		bases[i] = malloc(sizes[i]);
		rewind(f);
		if (fread(bases[i], 1, sizes[i], f) != sizes[i])
			abort();
		fclose(f);
		images[i] = malloc(sizes[i]);
		memcpy(images[i], bases[i], sizes[i]);
	}
	return 0;
}

static void read_some(const struct ext4_file *f)
{
	static const uint64_t far[] = {0,	   1,	       11 * 1024, 12 * 1024,
				       300 * 1024, 1ull << 26, 1ull << 40};
	uint8_t *buf = malloc(3000);

	for (unsigned int i = 0; i < sizeof(far) / sizeof(*far); i++) {
		long n = ext4_read(f, far[i], buf, 3000);

		if (n > 3000 || (n > 0 && far[i] + (uint64_t)n > f->size))
			__builtin_trap();
	}
	free(buf);
}

static bool visit(void *arg, const struct ext4_name *name)
{
	unsigned int depth = *(unsigned int *)arg + 1;
	struct ext4_file f;

	if (strlen(name->name) > 255)
		__builtin_trap();
	if (++files > MAX_FILES)
		return true;
	if (ext4_inode(&fs, name->inode, &f))
		return false;
	if (EXT4_TYPE(f.mode) == EXT4_DIR && depth < 4)
		ext4_list(&f, visit, &depth);
	else
		read_some(&f);
	return false;
}

/* The image as the input has it; or, with undo, as it was. */
static void patch(const uint8_t *data, size_t size, unsigned int which, bool undo)
{
	struct patch p;

	for (size_t at = 1; size - at >= sizeof(p); at += sizeof(p)) {
		size_t n, offset;

		memcpy(&p, data + at, sizeof(p));
		n = (size_t)1 << p.kind % 3;
		offset = (p.offset_lo | (size_t)p.offset_hi << 16) % (image_size - 4);
		memcpy(image + offset, undo ? bases[which] + offset : p.value, n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int which, depth = 0;
	struct ext4_file f;
	const char *why;

	if (!size)
		return 0;
	which = data[0] & 1;
	image_size = sizes[which];
	image = images[which];
	patch(data, size, which, false);
	gets = files = 0;
	if (!ext4_mount(&fs, NULL, image_size, data[0] & 2, &why)) {
		if (!ext4_open(&fs, "/", &f))
			ext4_list(&f, visit, &depth);
		if (!ext4_open(&fs, "a/link/b/text", &f))
			read_some(&f);
		ext4_open(&fs, "loop/x", &f);
	}
	if (held)
		__builtin_trap();
	patch(data, size, which, true);
	return 0;
}
