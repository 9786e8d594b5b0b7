/* SPDX-License-Identifier: MIT */
/* Xenstore client over the shared ring. Lengths, or -errno. */
#ifndef PV_XENSTORE_H
#define PV_XENSTORE_H

#include <stdbool.h>
#include <stddef.h>

bool xenstore_available(void);
void xenstore_init(void);
/* The value, terminated. */
long xenstore_read(const char *path, char *buf, size_t size);
/* Names, each terminated. */
long xenstore_list(const char *path, char *buf, size_t size);
long xenstore_write(const char *path, const char *value);
long xenstore_watch(const char *path, const char *token);
/* Sleeps until a watch event came. */
void xenstore_wait_watch(void);
long xenstore_remove(const char *path);

#endif
