/* SPDX-License-Identifier: MIT */
/* Names of files: those of the ramdisk first, then those of the mounted disk. */
#ifndef PV_FS_H
#define PV_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

/* Whether there is a ramdisk or a mounted disk at all. */
bool fs_available(void);
/* A file of either. It keeps the disk mounted until fs_close(). -errno in *error if NULL. */
struct node *fs_open(const char *path, long *error);
void fs_close(struct node *n);
uint64_t fs_size(const struct node *n);
/* Bytes read into the kernel's memory, less than n only at the end; or -errno. */
long fs_read(const struct node *n, uint64_t offset, void *buf, size_t size);

/* The commands. */
void fs_mount(const char *disk, bool noload);
void fs_unmount(void);
void fs_list(const char *path);
void fs_cat(const char *path);
void fs_sum(const char *path);

#endif
