/* SPDX-License-Identifier: MIT */
/* The domain's process around the monitor: start, sandbox, and the broker's requests. */
#ifndef PAVANE_PVDOM_H
#define PAVANE_PVDOM_H

#include "hypercalls/monitor/monitor.h"

/* io.c: the I/O thread's epoll set. io_init before any other thread: it blocks SIGTERM in all. */
int io_init(struct domain *d);
/* Exits, with status 0, when ctl is closed or by SIGTERM. */
void io_loop(struct domain *d) __attribute__((noreturn));

/* control.c: one request of the broker's, read from ctl and answered. False: ctl is closed. */
bool control_serve(struct domain *d);

/*
 * limits.c: a bound on private memory. limits_open while /proc is there (false: it is not, and
 * there will be no bound), limits_measure with all threads made, limits_set, in the sandbox, when
 * there is the frame table: `tables` is what was mapped since, in bytes.
 */
bool limits_open(void);
void limits_measure(void);
void limits_set(const struct domain *d, size_t tables);

/*
 * sandbox.c: from here on no system call outside the list, in any thread. `ioctls`: those of
 * /dev/pvhost are in it; `code`: memory may become executable. How many there are, or -errno.
 */
int sandbox_enter(bool ioctls, bool code);

#endif
