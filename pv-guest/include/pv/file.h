/* SPDX-License-Identifier: MIT */
/* What a process reads and writes: the console, files, pipes. */
#ifndef PV_FILE_H
#define PV_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct file;

/* NULL if there are too many. */
struct file *file_console(void);
/* NULL with *error = -errno. */
struct file *file_open(const char *name, long *error);
bool file_pipe(struct file *ends[2]);
struct file *file_share(struct file *f);
void file_close(struct file *f);
/* Bytes moved to or from the current process's memory, 0 at the end, or -errno. */
long file_read(struct file *f, unsigned long to, size_t n);
long file_write(struct file *f, unsigned long from, size_t n);

/* ramdisk.c: a newc cpio archive, as the builder loaded it. */
const void *ramdisk_find(const char *name, size_t *size);
void ramdisk_list(void);

#endif
