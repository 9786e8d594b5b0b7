/* SPDX-License-Identifier: MIT */
/*
 * Xen's error numbers under names that collide with no OS's own: PV_ENOENT and so on. Hypercalls
 * and the functions of these headers return them negative; xenstore says them by name.
 */
#ifndef PAVANE_ERRNO_H
#define PAVANE_ERRNO_H

/* xen/errno.h is a list of XEN_ERRNO(name, value), and forgets that macro at its end. */
#define XEN_ERRNO(name, value) PV_##name = value,
enum pv_errno {
#include <xen/errno.h>
};

/* The number of "ENOENT"; PV_EIO for a name that Xen does not have. */
static inline long pv_errno_of(const char *text)
{
	static const struct {
		const char *name;
		long number;
	} all[] = {
#define XEN_ERRNO(name, value) {#name, value},
#include <xen/errno.h>
	};

	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		unsigned int c = 0;

		while (text[c] && text[c] == all[i].name[c])
			c++;
		if (text[c] == all[i].name[c])
			return all[i].number;
	}
	return PV_EIO;
}

#endif
