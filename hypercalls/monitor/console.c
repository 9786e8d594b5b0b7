/* SPDX-License-Identifier: MIT */
/*
 * console_io (public xen.h, CONSOLEIO_*): the emergency console. What a guest writes goes to the
 * broker's log of the domain, as a Xen with verbose debugging does for an unprivileged domain.
 */
#include <limits.h>

#include "hypercalls/monitor/monitor.h"

#define CHUNK 512

/* Not locked: the broker is asked. */
long do_console_io(struct vcpu *v, uint64_t cmd, uint64_t count, uint64_t buf, uint64_t a4,
		   uint64_t a5)
{
	static const uint64_t none[4];
	char text[CHUNK];

	count = (uint32_t)count;
	if (count > INT_MAX)
		return -EINVAL;
	switch ((uint32_t)cmd) {
	case CONSOLEIO_write:
		while (count && !vcpu_must_park(v)) {
			uint32_t n = count < CHUNK ? count : CHUNK;

			if (copy_from_guest(v, text, buf, n))
				return -EFAULT;
			up_call(v->d, UP_CONSOLE, none, text, n, NULL, 0, NULL);
			buf += n;
			count -= n;
		}
		return 0;
	case CONSOLEIO_read: /* nobody types there */ return 0;
	default: return -ENOSYS;
	}
}
