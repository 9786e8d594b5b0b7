/* SPDX-License-Identifier: MIT */
/*
 * What happens in a guest, a line each, to a file that somebody else has opened (`pvctl trace`).
 * docs/debugging.md says what the lines look like.
 *
 * Each vCPU has a buffer, written out when it is full, when the vCPU parks, and when tracing ends.
 */
#ifndef PAVANE_TRACE_H
#define PAVANE_TRACE_H

#include "hypercalls/monitor/monitor.h"

/* What lines there are: 0 while nothing is traced. */
extern uint32_t trace_what;

static inline bool tracing(uint32_t what)
{
	return __atomic_load_n(&trace_what, __ATOMIC_RELAXED) & what;
}

/*
 * A line of v's. Only %s, %lx (with 0x in front) and %lu, which are of 64 bits. At most
 * TRACE_LINE bytes of it are kept. Any thread; d->lock may be held or not.
 */
#define TRACE_LINE 256
void trace_line(const struct vcpu *v, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* v stands still: what it did is in the file. */
void trace_flush(const struct vcpu *v);
/* For ctl: from now on `what` goes to fd, which is owned from here on; 0 and -1: it ends. */
void trace_set(struct domain *d, uint32_t what, int fd);

#endif
