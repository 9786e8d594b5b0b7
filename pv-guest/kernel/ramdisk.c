/* SPDX-License-Identifier: MIT */
/* The ramdisk: a cpio archive ("newc"). Entry: 110 characters of header, the name, the content. */
#include <pv/file.h>
#include <pv/mm.h>
#include "kernel.h"

#define HEADER	  110
#define FILE_SIZE 6 /* numbers of eight hexadecimal digits, behind the magic */
#define NAME_SIZE 11

struct entry {
	const char *name, *data;
	size_t size;
};

static bool number(const char *header, unsigned int index, unsigned long *value)
{
	char digits[9] = "", *end;

	memcpy(digits, header + 6 + index * 8, 8);
	*value = strtoul(digits, &end, 16);
	return end == digits + 8;
}

/* The entry at *pos, which then moves behind it; false at the end or where it makes no sense. */
static bool next(size_t *pos, struct entry *e)
{
	const char *disk = (const char *)start_info->mod_start;
	size_t len = start_info->mod_len, body;
	unsigned long name_size;

	if (!disk || *pos > len || len - *pos < HEADER || memcmp(disk + *pos, "070701", 6))
		return false;
	if (!number(disk + *pos, FILE_SIZE, &e->size) ||
	    !number(disk + *pos, NAME_SIZE, &name_size))
		return false;
	body = (*pos + HEADER + name_size + 3) & ~3ul;
	if (!name_size || body > len || e->size > len - body)
		return false;
	e->name = disk + *pos + HEADER;
	e->data = disk + body;
	if (e->name[name_size - 1])
		return false;
	*pos = (body + e->size + 3) & ~3ul;
	return strcmp(e->name, "TRAILER!!!");
}

const void *ramdisk_find(const char *name, size_t *size)
{
	struct entry e;

	for (size_t pos = 0; next(&pos, &e);) {
		if (!strcmp(e.name, name)) {
			*size = e.size;
			return e.data;
		}
	}
	return NULL;
}

void ramdisk_list(void)
{
	struct entry e;

	for (size_t pos = 0; next(&pos, &e);)
		printf("%8lu %s\n", e.size, e.name);
}
