/* SPDX-License-Identifier: MIT */
/*
 * A reference beside the translator, if somebody asks (`pvctl check`): every block is first run
 * twice from the state that the guest has, translated and by tr_step(), one instruction at a time.
 * Both work on copies of the guest's memory, so that nobody else sees them and nothing that others
 * do makes them differ. Where they come to the same, the guest runs the translation itself;
 * where not, the domain is crashed and the file says how.
 *
 *   check.c         the two runs, and what they left compared
 *   check_memory.c  the copies
 *   check_flags.c   flags that may differ, instructions that cannot be compared
 *   check_report.c  what is written about a difference
 *
 * Nothing in the cache leads to a block that is still to be compared, and none such is chained.
 */
#ifndef PAVANE_CHECK_H
#define PAVANE_CHECK_H

#include "host-driver/providers/process/translate/block.h"

#define CHECK_PAGES (4 * BLOCK_INSNS + 16)
#define CHECK_LOOKS (2 * CHECK_PAGES)

/*
 * How a run ended. LEFT: by a jump, or at the block's end. STOPPED: before an instruction that is
 * not translated, or that is for tr_step() this time. FAULTED: at an instruction. LOST: somebody
 * else wants something first.
 */
enum check_end { CHECK_LEFT, CHECK_STOPPED, CHECK_FAULTED, CHECK_LOST };

/* What a run left. */
struct check_state {
	enum check_end end;
	regs_t regs;
	struct fpu_area fpu;
	unsigned insns; /* of the reference: carried out */
	/* FAULTED: what there was; of a page fault the address, and enum access for the error. */
	unsigned vector;
	uint64_t error, va;
};

/* A page that was asked for, and the number of its copies, or -1: that was a page fault. */
struct check_look {
	uint64_t va;
	int16_t copy;
	uint8_t how;
};

enum check_side { TRANSLATED, REFERENCE };

/* Of one vCPU's thread. */
struct check {
	uint8_t copy[CHECK_PAGES][PAGE_SIZE]; /* the reference's */
	uint8_t *places;		      /* of the translation's copies */
	struct tr_context context;	      /* of translated code, empty but for the copies */
	struct block block, *at;	      /* that is compared, and where it is */
	const void *code;
	uint32_t generation; /* the cache's, then */
	enum check_side side;
	bool lost;  /* there are too many pages, or a flush is due */
	bool stops; /* the reference does, at `stop` */
	uint64_t stop;
	bool faulted;	/* `now` has a fault */
	unsigned again; /* upper_of() */
	unsigned pages, looks;
	const uint8_t *page[CHECK_PAGES]; /* in d->ram */
	uint64_t page_va[CHECK_PAGES];	  /* an address that led there */
	struct check_look look[CHECK_LOOKS];
	struct check_state before, after[2], *now; /* now: of the run that is on */
};

/*
 * Copy i of that side. The translation's lie far apart: a kernel in the upper half reads by a base
 * that is good for one of them (check_base), and what else it reads with it has to be nowhere.
 */
#define CHECK_STRIDE ((1UL << 30) + (123UL << 12))
static inline uint8_t *check_copy(struct check *c, enum check_side side, unsigned i)
{
	return side == TRANSLATED ? c->places + i * CHECK_STRIDE : c->copy[i];
}

extern volatile bool check_on;
extern volatile uint64_t check_times; /* that a block is compared; 0: each time that it runs */
/* May other blocks lead to it, in the cache? That is: it is not to be compared, or not any more. */
static inline bool check_done(const struct block *b)
{
	return !check_on || (check_times && b->compared >= check_times);
}

/* ---- check.c ---- */
int check_set(struct domain *d, uint64_t times, int fd); /* provider.h, `check` */
void check_parks(struct vcpu *v);			 /* provider.h, `parks` */
/* v is about to run the block at `code`. False: not now, for somebody wants something first. */
bool check_block(struct vcpu *v, void *code);
/* In the middle of it: an exception at v->regs.rip, which the guest is not to see. */
static inline void check_trap(unsigned vector, uint64_t error)
{
	tr.check->faulted = true;
	tr.check->now->vector = vector;
	tr.check->now->error = error;
}
void check_page_fault(uint64_t va, enum access how);

/* ---- check_memory.c ---- */
/* tr_memory() in the middle of it: an address in the copy of the page that this side has. */
uint8_t *check_memory(struct vcpu *v, uint64_t va, enum access how);
/* Makes the places of the translation's copies, of vCPU number `id`; false: there is no room. */
bool check_memory_init(struct check *c, unsigned id);
/*
 * For the kernel's reads in the upper half (upper.c): a base of GS by which they are nowhere, and
 * one by which a read at va is of that copy of its page. All others are then nowhere, too.
 */
#define CHECK_NOWHERE (UPPER_BASE - (8UL << 40))
static inline uint64_t check_base(const uint8_t *copy, uint64_t va)
{
	return (uint64_t)copy - va;
}
/* No page is known; translated code would find nothing. _again: known ones are copied anew. */
void check_memory_begin(struct vcpu *v, struct check *c);
bool check_memory_again(struct check *c); /* false: a flush is due */
/* Translated code finds the copies of all that has been asked for; and no longer. */
void check_memory_fill(struct check *c);
void check_memory_end(struct check *c);

/* ---- check_flags.c ---- */
struct tr_insn;
/* Is an instruction's result another one each time, or is it not to be seen where it went? */
bool check_apart(const struct tr_insn *n);
/*
 * Of `flags`, those that have to be the same behind the first `insns` of the block, where the guest
 * is at rip: not what the CPU may choose, nor what is replaced before it is read.
 */
uint64_t check_flags(struct vcpu *v, const struct check *c, unsigned insns, uint64_t rip,
		     uint64_t flags);

/* ---- check_report.c ---- */
/* The guest's bytes at va, at most `n` and of one page, by the tables; how many there are. */
unsigned check_code(struct vcpu *v, uint64_t va, uint8_t *bytes, unsigned n);
/* The XSAVE area's bytes that count: [from, to) number i; false: there is no such. */
bool check_vector_part(unsigned i, unsigned *from, unsigned *to);
/* One word of why, and all of it to fd. Vector registers may be used. */
void check_report(struct vcpu *v, struct check *c, const char *what, uint64_t flags, int fd);

#endif
