/* SPDX-License-Identifier: MIT */
/*
 * What each frontend says to its backend through xenstore (xen/io/xenbus.h): numbers and words in
 * two directories, ours ("device/vbd/51712") and the backend's, which ours names. Each end changes
 * its own `state`, last, when all that belongs to it is written, and watches the other's.
 *
 * Returns are those of pavane/xenstore.h.
 */
#ifndef PAVANE_XENBUS_H
#define PAVANE_XENBUS_H

#include <pavane/xenstore.h>
#include <xen/io/xenbus.h>

#define PV_XENBUS_PATH 128 /* bytes that a path may take */

/* DIR/NODE, or false if that is too long. */
static inline bool pv_xenbus_path(char *path, const char *dir, const char *node)
{
	unsigned int n = 0;

	for (; *dir && n < PV_XENBUS_PATH; dir++)
		path[n++] = *dir;
	if (n < PV_XENBUS_PATH)
		path[n++] = '/';
	for (; *node && n < PV_XENBUS_PATH; node++)
		path[n++] = *node;
	if (n == PV_XENBUS_PATH)
		return false;
	path[n] = 0;
	return true;
}

/* A word, terminated: its length. */
static inline long pv_xenbus_read(struct pv_xs *xs, const char *dir, const char *node, char *buf,
				  size_t size)
{
	char path[PV_XENBUS_PATH];

	return pv_xenbus_path(path, dir, node) ? pv_xs_read(xs, path, buf, size) : -PV_E2BIG;
}

/* A decimal number that fits into 63 bits, and nothing else: -PV_EINVAL. */
static inline long pv_xenbus_read_number(struct pv_xs *xs, const char *dir, const char *node,
					 uint64_t *value)
{
	char text[24] = "";
	long len = pv_xenbus_read(xs, dir, node, text, sizeof(text));
	uint64_t v = 0;

	if (len <= 0)
		return len ? len : -PV_EINVAL;
	for (const char *s = text; s < text + len; s++) {
		if (*s < '0' || *s > '9' || v > (INT64_MAX - 9) / 10)
			return -PV_EINVAL;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	*value = v;
	return 0;
}

static inline long pv_xenbus_write(struct pv_xs *xs, const char *dir, const char *node,
				   const char *value)
{
	char path[PV_XENBUS_PATH];

	return pv_xenbus_path(path, dir, node) ? pv_xs_write(xs, path, value) : -PV_E2BIG;
}

static inline long pv_xenbus_write_number(struct pv_xs *xs, const char *dir, const char *node,
					  uint64_t value)
{
	char text[24], *s = text + sizeof(text);

	*--s = 0;
	do
		*--s = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	return pv_xenbus_write(xs, dir, node, s);
}

/*
 * Waits until the other end's state is one of `states`, a bit for each (1u <<
 * XenbusStateConnected), and returns it. Its `state` node must be watched (pv_xenbus_watch) by
 * then. A state that is not there counts as XenbusStateUnknown: the toolstack has removed the
 * device.
 */
static inline long pv_xenbus_wait(struct pv_xs *xs, const char *dir, unsigned int states)
{
	for (;;) {
		uint64_t state = XenbusStateUnknown;
		long rc = pv_xenbus_read_number(xs, dir, "state", &state);

		if (rc && rc != -PV_ENOENT)
			return rc;
		if (state < 32 && states >> state & 1)
			return (long)state;
		rc = pv_xs_wait_watch(xs);
		if (rc)
			return rc;
	}
}

static inline long pv_xenbus_watch(struct pv_xs *xs, const char *dir)
{
	char path[PV_XENBUS_PATH];

	return pv_xenbus_path(path, dir, "state") ? pv_xs_watch(xs, path, dir) : -PV_E2BIG;
}

static inline long pv_xenbus_unwatch(struct pv_xs *xs, const char *dir)
{
	char path[PV_XENBUS_PATH];

	return pv_xenbus_path(path, dir, "state") ? pv_xs_unwatch(xs, path, dir) : -PV_E2BIG;
}

#endif
