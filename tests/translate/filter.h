/* SPDX-License-Identifier: MIT */
/* Between guest.c, which has no vector registers, and what does. */
#ifndef PAVANE_FILTER_H
#define PAVANE_FILTER_H

#include <Zydis/Zydis.h>

#include "hypercalls/monitor/monitor.h"
#include "tests/translate/dfuzz.h"

/* filter.c: NULL, or why this kind of instruction is not compared with the CPU's own. */
const char *filter_kind(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op);
bool filter_decode(const uint8_t *insn, size_t n, ZydisDecodedInstruction *i,
		   ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT]);
/*
 * May the instruction, about to be carried out, be compared with the CPU's own?
 * `stored`: it is not what it was when the case began.
 */
bool filter_insn(struct vcpu *v, const uint8_t *insn, unsigned n, bool stored, struct trace *t);

/* pages.c, of the calling thread's vCPU: its root; its tables; the same in this process */
#define NR_VCPUS   2
#define NR_FRAMES  64 /* of a vCPU */
#define ALL_FRAMES (PVDOM_MFN_RAM + NR_VCPUS * NR_FRAMES)
uint64_t pages_root(void);
void pages_init(void);
void pages_map_native(void);

/* engine.c: the translator */
int guest_engine_init(struct domain *d);
int guest_engine_thread_init(struct vcpu *v);
void guest_engine_written(struct vcpu *v, const uint8_t *page); /* by somebody else */
void guest_engine_forget(struct vcpu *v);			/* all of the TLB */
void guest_engine_flush(struct vcpu *v);			/* if it is due */
void guest_engine_mode(struct vcpu *v);				/* kernel_mode changed */
void guest_engine_stop(uint64_t rip);
/* The translation of what is at v's rip, not to run it; false: there is none. */
bool guest_engine_lower(struct vcpu *v, const uint8_t **code, size_t *size);
void guest_engine_turn(struct vcpu *v);
/* To be kicked before the nth instruction in the cache; 0: not any more. True: it has been. */
bool guest_engine_kick(unsigned n);
void guest_engine_signal(int sig, void *info, void *ctx);
#endif
