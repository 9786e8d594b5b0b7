/* SPDX-License-Identifier: MIT */
/* A block in the making, between the files that lower it: lower.c, lower_insn.c, lower_memory.c. */
#ifndef PAVANE_LOWER_H
#define PAVANE_LOWER_H

#include "host-driver/providers/process/translate/block.h"
#include "host-driver/providers/process/translate/emit.h"
#include "host-driver/providers/process/translate/insn.h"

#define MAX_SLOW (3 * BLOCK_INSNS)

/* What the address of an access is. */
enum address { ADDRESS_OPERAND, ADDRESS_BIT, ADDRESS_PUSH, ADDRESS_POP, ADDRESS_FRAME };

/* What lies behind the block. */
struct slow {
	const struct tr_insn *n; /* SLOW_MEMORY: whose address is to be computed again */
	/*
	 * SINGLE: to the block without shared looks; FAR: a branch to another page; RETURN: what a
	 * call leaves for its return.
	 */
	enum { SLOW_MEMORY, SLOW_LINK, SLOW_SINGLE, SLOW_FAR, SLOW_RETURN } what;
	uint8_t *jump;	/* the distance of the jump that leads here */
	uint32_t index; /* of the site or link */
	uint8_t t0;
	bool keeps_rcx;	 /* rcx is in its slot */
	uint8_t address; /* enum address */
};

/* Accesses that share a look at the TLB (lower_group.c). */
struct group {
	int64_t first; /* displacement */
	uint32_t size;
	uint8_t members;
	bool writes, found; /* found: code that looks has been emitted */
};

/* Where an access is: seg:[t + at]; t: RSP for an address that is in the instruction alone. */
struct place {
	unsigned t, seg;
	int32_t at;
};
#define NO_TEMP RSP

/*
 * What a temporary has in a block of MODE_WINDOW (lower_window.c): the place of base + index <<
 * scale in the window, `past` before what these registers are now.
 */
struct held {
	enum held_what { HELD_NOTHING, HELD_REGS, HELD_SEGMENT, HELD_PLACE } what;
	ZydisRegister base, index; /* HELD_SEGMENT: base is its register; HELD_PLACE: a constant */
	uint8_t scale;
	int64_t past;
};

/* Under block.c's lock. */
struct lowering {
	struct vcpu *v;
	struct block *b;
	struct emit e, cold; /* what is run again and again, and the rest */
	const uint8_t *page, *next;
	uint8_t both[INSN_MAX]; /* an instruction's bytes that are in two pages */
	struct tr_insn insn[BLOCK_INSNS];
	unsigned insns;
	struct slow slow[MAX_SLOW];
	unsigned slows;
	struct group group[GROUPS];
	unsigned held, held_in; /* which group's place a temporary still has, and which (0: none) */
	struct held in[2];	/* r14 and r15, of lower_window.c */
};
extern struct lowering now;

/* ---- lower_memory.c ---- */
static inline bool code32(void)
{
	return now.b->mode & MODE_32;
}

/* Bytes of a return address. */
static inline int32_t word(void)
{
	return code32() ? 4 : 8;
}

static inline uint32_t offset_of(const uint8_t *written)
{
	return written - code_write;
}

static inline uint16_t guest_offset(const struct tr_insn *n)
{
	return n->rip - now.b->rip;
}

unsigned number(ZydisRegister reg); /* as instructions name it */
/* The guest's value of a register is in one: its own, or for r14 and r15 `t`, loaded first. */
unsigned value_in(unsigned reg, unsigned t);
/* The guest's r14 (bit 0) and r15 (bit 1), into these registers and back. */
void temps_load(unsigned which);
void temps_store(unsigned which);
/* `op reg, seg:[base + disp]`, and mov, as wide as the code's addresses. */
void emit_word_in(unsigned seg, unsigned op, unsigned reg, unsigned base, int32_t disp);
static inline void emit_word(unsigned op, unsigned reg, unsigned base, int32_t disp)
{
	emit_word_in(0, op, reg, base, disp);
}
void emit_mov_word(unsigned dst, unsigned src);
void emit_effective(const struct tr_insn *n, unsigned reg); /* reg = the operand's offset */
/* t0 = the linear address of the access; t1 may be lost. `words` are pushed. */
void emit_address(const struct tr_insn *n, enum address what, unsigned words, unsigned t0);
/*
 * The place of the access, which is to the stack for `words` or to n's operand, by a temporary that
 * is none of `taken` (r14: bit 0, r15: bit 1).
 */
struct place emit_place_of(const struct tr_insn *n, enum address what, unsigned words,
			   unsigned taken, unsigned size, bool write, bool flags);
static inline struct place emit_place(const struct tr_insn *n, enum address what, unsigned size,
				      bool write, bool flags)
{
	return emit_place_of(n, what, 1, 0, size, write, flags);
}
static inline bool in_window(void)
{
	return now.b->mode & MODE_WINDOW;
}
/* Is what n reads read by upper.c? */
static inline bool reads_upper(const struct tr_insn *n)
{
	return now.b->mode & MODE_UPPER && !n->soft;
}
/* r14 and r15 (bits 0 and 1) in an address. */
unsigned temps_in_address(const ZydisDecodedOperand *m);

/* t0 = the host's address of g's first byte, n being its first access. */
void emit_place_of_group(const struct tr_insn *n, const struct group *g, unsigned t0, bool flags);

/* ---- lower_group.c ---- */
void group_all(void);			    /* which instructions of the block share a look */
void group_forget(const struct tr_insn *n); /* n was lowered: what do its temporaries hold? */
/* t0 = the host's address for n, but for the distance that is returned. */
int32_t emit_shared(const struct tr_insn *n, unsigned t0, bool flags);

/* Does n write to this register? */
bool insn_changes(const struct tr_insn *n, ZydisRegister reg);

/* ---- lower_window.c ---- */
/* As emit_place_of(), of a block in a window. */
struct place emit_window(const struct tr_insn *n, enum address what, unsigned words, unsigned taken,
			 bool flags);
/* `count` instructions from n on were lowered: what do the temporaries still hold? */
void window_after(const struct tr_insn *n, unsigned count);
/* The temporary was, or is to be, used for something else. */
void window_lose(unsigned t);

/* ---- lower_stack.c ---- */
/* How many instructions from n on are one access to the stack: pushes, or pops and a ret. */
unsigned stack_group(const struct tr_insn *n, const struct tr_insn *end);
void lower_pushes(const struct tr_insn *n, unsigned count);
void lower_push_memory(const struct tr_insn *n);
void lower_pops(const struct tr_insn *n, unsigned count); /* the last may be a ret */
void lower_leave(const struct tr_insn *n);
/* mov [p + at], constant; the other temporary is lost. */
void emit_store_const(const struct place *p, int32_t at, uint64_t val);
/* reg = the word there; a temporary has no other use any more. */
void emit_loaded(const struct place *p, unsigned reg);
void emit_rsp_add(int32_t bytes);

/* ---- lower_insn.c ---- */
void emit_indirect(enum link_kind kind); /* to the guest address in r14 */
/* ModRM, SIB and displacement of [t0 + disp], for the register or opcode in `modrm`. */
void emit_operand(unsigned modrm, unsigned t0, int32_t disp);
/* n and what goes with it; returns how many that are. *open: the block goes on. */
unsigned lower_insn(const struct tr_insn *n, const struct tr_insn *end, bool *open);
/* A jump to target that is chained later, and its link; n is whose it is. */
uint32_t emit_chained(const struct tr_insn *n, uint64_t target, int cc);
/* To a guest address known now: chained later, or by the IBTC. cc as in emit_link. */
void emit_direct(const struct tr_insn *n, uint64_t target, int cc);

/* ---- lower.c ---- */
struct slow *slow_add(const struct tr_insn *n, int what, uint8_t *jump, uint32_t index);

#endif
