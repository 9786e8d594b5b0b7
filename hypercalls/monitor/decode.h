/* SPDX-License-Identifier: MIT */
/* Guest instructions, decoded with Zydis; only from a trap that saved the vector registers. */
#ifndef PAVANE_DECODE_H
#define PAVANE_DECODE_H

#include <Zydis/Zydis.h>

#include "hypercalls/monitor/monitor.h"

struct insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t byte[15]; /* at rip */
	size_t bytes;	  /* as many as could be read */
};

/* The bytes at v's rip, by the root in use. */
void insn_fetch(struct vcpu *v, struct insn *n);
/* The instruction `skip` bytes behind rip; false: it is none. */
bool insn_decode(struct insn *n, size_t skip);
/* The member that a general register (not AH to BH) lives in, or NULL. */
uint64_t *insn_gpr(regs_t *r, ZydisRegister reg);
/* The linear address of a memory operand; false: of a kind that compilers do not make. */
bool insn_address(struct vcpu *v, const struct insn *n, const ZydisDecodedOperand *op,
		  uint64_t *va);
/* It was carried out: on to the next one, with the trap of a single step. */
void insn_done(struct vcpu *v, size_t length);

#endif
