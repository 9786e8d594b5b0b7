/* SPDX-License-Identifier: MIT */
/*
 * The translator against the CPU: a few instructions are run natively, one at a time by tr_step(),
 * and translated, from the same state, and all three must end in the same one.
 *
 *   guest.c    a domain made by hand, and running a case in it by either half of the translator
 *   pages.c    its pages and page tables
 *   engine.c   what the tests know of the translator's inside
 *   filter.c   what cannot be compared
 *   native.c   the same on the CPU itself, at the same addresses (native.S)
 *   case.c     a case: its instructions laid out, its first state
 *   gen.c      instructions made up; templates.c: of what
 *   harvest.c  instructions found in real code
 *   compare.c  which differences count
 *   reach.c    whether user code gets out of its window
 *   confine.c  whether what is made of it could
 *   fuzz.c     the program: seeds, shrinking, reports
 *
 * Nothing here may depend on where the host put anything: a seed is a case, on any day.
 */
#ifndef PAVANE_DFUZZ_H
#define PAVANE_DFUZZ_H

/* The guest's pages, which the host has at the same addresses (guest.c lists them). */
#define CODE_VA	       0x40000000UL /* 0, 1: RWX; 2: read-only; 3: not executable */
#define DATA_VA	       0x50000000UL /* 0-2, 5: RW; 3: read-only; 4: none; 6: is 0; 7: is code 1 */
#define STACK_VA       0x60000000UL /* 1, 2 */
#define FAR_VA	       0x50200000UL /* as far from DATA_VA as the TLB is large: RW */
#define LEAVE_VA       0x123456789000UL /* native only: the end of a case jumps here */
#define END_LEN	       14
#define DATA_FIRST     4  /* the first frame that is not code */
#define NR_FRAMES_USED 12 /* with memory that a case can change */
#define XSTATE_SIZE    832
#define XSTATE_MASK    7 /* x87, SSE, AVX: what a guest is told of (cpuid.c) */

/* Offsets in struct state, for native.S; asserted in native.c. */
#define S_GPR	 0
#define S_RFLAGS 128
#define S_FS	 144
#define S_GS	 152
#define S_XSTATE 192

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R12 = 12, R14 = 14, R15, NR_GPR };

#define NO_VECTOR (-1)

/* What an instruction sees of the machine, and leaves. */
struct state {
	uint64_t gpr[NR_GPR]; /* in the order of their encoding */
	uint64_t rflags, rip, fs, gs;
	int vector; /* what it ended with, or NO_VECTOR: it came to its end */
	uint32_t error;
	uint64_t cr2;
	uint8_t xstate[XSTATE_SIZE] __attribute__((aligned(64))); /* XSAVE, standard form */
	uint8_t mem[NR_FRAMES_USED][PAGE];
};

/* What is filled in once an item has its address. */
enum fix { FIX_NONE, FIX_REL8, FIX_REL32, FIX_ABS32, FIX_DATA };

struct item {
	uint8_t byte[24], len;
	uint8_t fix_at, fix_end; /* the field, and where it counts from */
	uint8_t fix;
	int8_t target, plus; /* an item's number and an offset in it; FIX_DATA: see data */
	bool hop;	     /* what follows is in the other page */
	uint32_t data;	     /* FIX_DATA: the address */
};

#define MAX_ITEMS 24

struct testcase {
	uint64_t seed;
	unsigned n, start; /* offset in the code pages */
	struct item item[MAX_ITEMS];
	struct state *first;
	bool user;		    /* in user mode; the CPU sees no difference */
	uint64_t end;		    /* where it ends, once laid out */
	uint64_t at[MAX_ITEMS + 1]; /* each item's address */
};

/* The instructions that were carried out, by tr_step. */
#define MAX_STEPS 300
struct trace {
	unsigned n;
	uint64_t rip[MAX_STEPS];
	uint32_t undefined; /* flags that the CPU is free to choose */
	const char *why;    /* the case was given up: it says nothing */
};

/* ---- guest.c ---- */
void guest_init(bool native); /* with the pages at their own addresses as well */
void guest_thread_init(unsigned id);
extern bool guest_alone; /* there is one thread only */
/* A few pages mapped differently (pages.c), and back. */
struct rng;
void pages_change(struct rng *r, bool native);
void pages_restore(bool native);
bool pages_code_moved(void); /* CODE_VA's third page is another frame, or nowhere */
uint8_t *guest_frame(unsigned frame);
/* The instructions of a case one at a time; false: t->why. */
bool guest_step(const struct testcase *c, struct state *out, struct trace *t);
/*
 * By the translator; false: it does not come to an end. `cold`: as if for the first time; else
 * after a cold one.
 */
bool guest_translate(const struct testcase *c, struct state *out, bool cold);
/* What is made of the instructions of n bytes, as a user's; false: nothing. */
bool guest_lower(const uint8_t *insn, unsigned n, bool code32, const uint8_t **code, size_t *size);
unsigned guest_slot(unsigned slot); /* where it is, by FS */
/* The vector that ended it, or NO_VECTOR. */
int guest_trapped(uint32_t *error, uint64_t *cr2);
void guest_trap_clear(void);
/* The same, warm, with a kick before host instruction `kick` of translated code, if it gets there.
 */
bool guest_kicked(const struct testcase *c, struct state *out, unsigned kick);
/* The host's CPU raised something while a case ran in the guest; a tick of the clock. */
void guest_signal(int sig, void *info, void *ctx);
extern uint64_t kicks;	      /* that came, of guest_kicked */
uint32_t guest_emptied(void); /* how often the code cache was */
void guest_tick(void *info, void *ctx);

uint64_t guest_window(void); /* where the host has user code's memory */
bool guest_windowed(void);   /* is that a window? */
void guest_unmask(void);     /* from now on windows have no bounds */

/* ---- reach.c ---- */
bool reach_nothing(void); /* else it says what */

/* ---- confine.c ---- */
bool confined(uint64_t seed, unsigned seconds); /* likewise */

/* ---- native.c ---- */
void native_prepare(void);
void native_thread_prepare(void); /* what each thread needs for signals */
bool native_run(const struct testcase *c, struct state *out); /* false: it does not end */

/* ---- case.c ---- */
/*
 * What is added to all addresses: 0, or TO_UPPER for the guest's upper half. There the translator
 * chains blocks across pages; there is nobody but tr_step to compare it with.
 */
#define TO_UPPER 0xffffffff80000000UL
extern uint64_t va_delta;
struct rng {
	uint64_t s;
};
uint64_t rnd(struct rng *r);
static inline unsigned below(struct rng *r, unsigned n)
{
	return (rnd(r) >> 32) % n;
}
static inline bool chance(struct rng *r, unsigned percent)
{
	return below(r, 100) < percent;
}
void case_base_image(void);
void case_state(struct testcase *c, struct rng *r, uint16_t pointers);
uint64_t case_pointer(struct rng *r, unsigned align);
/* The items at their addresses, in c->first->mem; false: they do not fit. */
bool case_layout(struct testcase *c);
void case_print(const struct testcase *c);
void case_remove(struct testcase *c, unsigned i);

/* ---- gen.c ---- */
void gen_case(struct testcase *c, struct state *first, uint64_t seed);
/* One of harvest.c's instructions alone, with operands that are there. */
bool gen_form(struct testcase *c, struct state *first, unsigned form, uint64_t seed);

/* ---- harvest.c ---- */
/* Takes every form of instruction in an ELF file or kernel image; returns how many were new. */
int harvest_file(const char *path);
unsigned harvest_count(void);
const uint8_t *harvest_get(unsigned form, unsigned *len);

/* ---- compare.c ---- */
/* What differs that counts, said on stdout if `say`. `by`: who made b. */
bool state_differs(const struct testcase *c, const struct trace *t, const struct state *a,
		   const struct state *b, const char *by, bool say);
#endif
#endif
