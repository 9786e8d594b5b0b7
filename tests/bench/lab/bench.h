/* SPDX-License-Identifier: MIT */
/*
 * lab-bench: the rows of the Dune paper's tables, on Linux as it is and inside. In the lab the TSC
 * counts instructions, whoever executes them (DESIGN, section 8), so a row is the number of
 * instructions that the whole machine executes for one operation: program, kernel and all.
 *
 * The work of a row is one piece of code for both sides (rows.c, interception excepted); a side
 * is how a program gets its faults and changes its pages there.
 */
#ifndef LAB_BENCH_H
#define LAB_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <x86intrin.h>

#define PAGE   4096
#define PAGES  100 /* of appel1 and appel2, as in the paper */
#define ROUNDS 31

/* Fault handlers may run with the interrupted code's vector registers (PV_NO_FPU). */
#define IN_FAULT __attribute__((target("general-regs-only")))

struct side {
	const char *name;
	/* VM exits of this thread so far; 0 where there are none. */
	uint64_t (*exits)(void);
	/* Pages may be written, or only be read. */
	void (*protect)(void *va, size_t pages, bool writable);
	/* From now on `work` gets faults: the address and rip; it returns where to go on. */
	void (*on_fault)(uint64_t (*work)(uint64_t address, uint64_t rip));
};

/* Inlined, so that a row counts it the same way everywhere. */
struct mark {
	uint64_t ticks, exits;
};

static inline struct mark mark(const struct side *s)
{
	struct mark m = {.exits = s->exits()};

	m.ticks = __rdtsc();
	return m;
}

/*
 * A row is ROUNDS rounds of `ops` operations each. The median of the rounds leaves out the first
 * ones and those that a timer's interrupt met.
 */
struct row {
	const char *name;
	unsigned ops, n;
	uint64_t ticks[ROUNDS], exits[ROUNDS];
};

static inline void round_end(const struct side *s, struct row *r, struct mark since)
{
	r->ticks[r->n] = __rdtsc() - since.ticks;
	r->exits[r->n++] = s->exits() - since.exits;
}

/* measure.c: print "bench SIDE ROW INSTRUCTIONS EXITS", of one operation. */
void row_print(const struct side *s, struct row *r);
/* Does the TSC count instructions? If not, says so and ends. */
void ticks_check(void);
/* Says which call failed, and why, and ends. */
void give_up(const char *what) __attribute__((noreturn));

/* rows.c */
void rows(const struct side *s);
/* After rows(): the row of that name once more, with another way to get faults. */
void row_trap(const struct side *s);

/* linux.c, inside.c: the side and what only it has. kvm.c: what can be compared with KVM. */
void bench_linux(void);
void bench_inside(void);
void bench_kvm(void);

/* exits.c: an exit and the way back in, seen from the process. */
void bench_exits(void);

#endif
