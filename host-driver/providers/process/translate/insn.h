/* SPDX-License-Identifier: MIT */
/* What the translator must know of a guest instruction. */
#ifndef PAVANE_INSN_H
#define PAVANE_INSN_H

#include <Zydis/Zydis.h>

#include <stdbool.h>
#include <stdint.h>

#include "hypercalls/monitor/x86.h"

enum insn_kind {
	INSN_PLAIN,  /* registers only: runs as it is */
	INSN_MEMORY, /* one memory operand, by ModRM */
	INSN_BIT,    /* of a string of bits in memory, its number in a register */
	INSN_NOTHING,
	INSN_LEA,
	INSN_PUSH, /* a register or a constant, as wide as the code's addresses */
	INSN_PUSH_MEM,
	INSN_POP, /* to a register, likewise */
	INSN_LEAVE,
	INSN_STRING, /* movs, stos */
	INSN_CALL,   /* to `target` */
	INSN_JUMP,
	INSN_BRANCH, /* jcc */
	INSN_CALL_REG,
	INSN_JUMP_REG,
	INSN_CALL_MEM,
	INSN_JUMP_MEM,
	INSN_RET,
	INSN_STEP, /* whatever else: step.c */
};

struct tr_insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t rip;
	const uint8_t *bytes;
	enum insn_kind kind;
	const ZydisDecodedOperand *mem; /* INSN_MEMORY, INSN_LEA, INSN_*_MEM */
	uint64_t target;		/* of a direct transfer */
	uint16_t size;			/* of the access, bytes */
	bool code32;
	bool writes; /* memory */
	bool soft;   /* never reads by upper.c */
	/* r14 and r15 (bits 0 and 1) as operands, not in an address. */
	uint8_t temps_read, temps_written;
	uint32_t flags_read, flags_killed; /* FLAGS_ARITH: depends on; certainly replaces */
	uint32_t flags_live;		   /* after it (lower.c) */
	uint8_t group;			   /* its number, 0: none (lower_group.c) */
};

/*
 * Decodes the instruction at `bytes`, `room` of them, of 64-bit code or `code32`; false: it is
 * none, or cut off.
 */
bool insn_read(struct tr_insn *n, uint64_t rip, const uint8_t *bytes, unsigned room, bool code32);
/*
 * A count of zero leaves all flags alone (rep cmps as well), as may an operand that is zero; a
 * rotation leaves some.
 */
bool insn_may_keep_flags(const ZydisDecodedInstruction *i);
/* mov between the accumulator and an address in the instruction, which has no ModRM. */
bool insn_is_absolute(const struct tr_insn *n);
/* inc or dec of a register in one byte, which 64-bit code has for a prefix. */
bool insn_is_count(const struct tr_insn *n);

/* What is needed to know where flags matter: much cheaper than all of it. */
struct insn_glance {
	uint8_t length;
	bool ends; /* nothing is known of what comes after it */
	uint32_t flags_read, flags_killed;
	uint64_t target; /* a direct jump's, else 0 */
};
bool insn_glance(struct insn_glance *g, uint64_t rip, const uint8_t *bytes, unsigned room,
		 bool code32);

#endif
