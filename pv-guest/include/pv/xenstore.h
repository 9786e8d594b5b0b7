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
long xenstore_remove(const char *path);

#define XENSTORE_PATH 128

/*
 * A watch says no more than that its node, or one below, may have changed, and once when it is
 * set: its owner looks for itself. Several changes before it looks are one. The struct stays the
 * owner's until xenstore_unwatch().
 */
struct watch {
	char path[XENSTORE_PATH];
	const void *by; /* who waits: the same for all watches of one thread */
	bool fired;
};

/* With path and by filled in; 0 or more, or -errno. */
long xenstore_watch(struct watch *w);
void xenstore_unwatch(struct watch *w);
/* Sleeps until one of the watches of `by` fires, and returns it. */
struct watch *xenstore_wait_watch(const void *by);

#endif
