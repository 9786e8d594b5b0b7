/* SPDX-License-Identifier: MIT */
/* The translator's lines of a trace; each to be asked for by tracing() first. */
#ifndef PAVANE_TRANSLATE_TRACE_H
#define PAVANE_TRANSLATE_TRACE_H

#include "host-driver/providers/process/translate/block.h"
#include "hypercalls/monitor/trace.h"

/* b was just translated; `cold`: bytes of it elsewhere in the cache. */
void trace_block(const struct vcpu *v, const struct block *b, uint32_t cold);
/*
 * The cache was left with this EXIT_*. While in_guest is set, for what tr.arg means is looked up;
 * v->regs.rip is set as run() does.
 */
void trace_exit(struct vcpu *v, int why);

#endif
