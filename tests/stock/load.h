/* SPDX-License-Identifier: MIT */
/* What a Linux under Pavane must be able to do for its programs; each part prints ok lines. */
#ifndef STOCK_LOAD_H
#define STOCK_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/* An "ok" or "not ok" line; why: printf's, for the latter. */
void check(bool ok, const char *name, const char *why, ...) __attribute__((format(printf, 3, 4)));

void processes(void); /* fork, exec, pipes, memory, threads */
void remap(void);     /* code that is mapped anew */
void signals(void);   /* exceptions of the CPU as signals, single steps */
void cpu(void);	      /* vector registers, segments, other ways into the kernel */
void timers(void);
void domain(void); /* what the kernel has of the hypervisor: xenstore, balloon, vCPUs */

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

#endif
