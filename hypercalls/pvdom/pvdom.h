/* SPDX-License-Identifier: MIT */
/* The domain's process around the monitor: start, sandbox, and the broker's requests. */
#ifndef PAVANE_PVDOM_H
#define PAVANE_PVDOM_H

#include "hypercalls/monitor/monitor.h"

/* io.c: the I/O thread's epoll set. */
int io_init(struct domain *d);
void io_loop(struct domain *d) __attribute__((noreturn)); /* exits when ctl is closed */

/* control.c: one request of the broker's, read from ctl and answered. False: ctl is closed. */
bool control_serve(struct domain *d);

/*
 * sandbox.c: from here on no system call outside the list, in any thread. `ioctls`: those of
 * /dev/pvhost are in it; `code`: memory may become executable. How many there are, or -errno.
 */
int sandbox_enter(bool ioctls, bool code);

#endif
