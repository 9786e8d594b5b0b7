/* SPDX-License-Identifier: MIT */
/* Two states that one case left: which differences count. */
#include <stdio.h>
#include <string.h>

#include "tests/translate/filter.h"

#define LARGE		2816 /* bytes of the largest operand */
#define TASK_SIZE	0x7ffffffff000UL
#define MXCSR_MASK	28
#define XSTATE_SOFTWARE 464
#define XSTATE_AVX	576

static const char *const name[NR_GPR] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					 "r8",	"r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

struct report {
	const char *by;
	bool say, any;
};

static void differs(struct report *r, const char *what, uint64_t a, uint64_t b)
{
	if (r->say)
		printf("    %-12s native %#18llx  %s %#18llx\n", what, (unsigned long long)a, r->by,
		       (unsigned long long)b);
	r->any = true;
}

/*
 * The flags that whoever looks at a fault's frame cannot rely on: the faulting instruction, started
 * again, or the ones behind it write them before they are read, so the translator may have them
 * in any state. Along direct jumps and calls, and both ways of branches.
 */
static uint64_t dead_at(const struct state *s, uint64_t rip, unsigned insns)
{
	uint64_t dead = 0, live = 0;

	for (; insns; insns--) {
		const uint64_t at = rip - CODE_VA - va_delta;
		ZydisDecodedInstruction i;
		ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

		/* Code that pages_change has put elsewhere: who knows. */
		if (at >= (pages_code_moved() ? 2 : 3) * PAGE - 16)
			return FLAGS_ARITH & ~live;
		if (!filter_decode(s->mem[0] + at, 15, &i, op))
			break;
		/* Between two elements of a string they are the one's or the other's. */
		if (i.meta.category == ZYDIS_CATEGORY_STRINGOP)
			return FLAGS_ARITH & ~live;
		if (i.cpu_flags) {
			live |= i.cpu_flags->tested & ~dead;
			dead |= (i.cpu_flags->modified | i.cpu_flags->set_0 | i.cpu_flags->set_1 |
				 i.cpu_flags->undefined) &
				~live;
		}
		rip += i.length;
		if (i.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE)
			continue;
		if (!i.raw.imm[0].is_relative)
			break;
		if (i.meta.category == ZYDIS_CATEGORY_COND_BR)
			return dead | (dead_at(s, rip, insns / 2) &
				       dead_at(s, rip + i.raw.imm[0].value.s, insns / 2) & ~live);
		rip += i.raw.imm[0].value.s;
	}
	return dead;
}

/*
 * Of two faults at once the CPU raises the one and we the other: an operand that is misaligned and
 * not there; an x87 exception of before, or a call's bad target, and an operand that is not there.
 * In the upper half it is tr_step() that is compared with, and what reads there is the CPU.
 */
static bool order_is_the_cpus(int cpu, int we)
{
	const bool x87 = cpu == VECTOR_MF || (va_delta && we == VECTOR_MF);
	const int other = cpu == VECTOR_MF ? we : cpu;

	return (cpu == VECTOR_GP && (we == VECTOR_PF || we == VECTOR_SS)) ||
	       (x87 && (other == VECTOR_PF || other == VECTOR_GP || other == VECTOR_SS)) ||
	       ((cpu == VECTOR_PF || cpu == VECTOR_SS) && we == VECTOR_GP);
}

static bool loads_all(const struct state *s)
{
	const uint64_t at = s->rip - CODE_VA - va_delta;
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

	return at < 3 * PAGE - 16 && filter_decode(s->mem[0] + at, 15, &i, op) &&
	       (i.meta.category == ZYDIS_CATEGORY_XSAVE || i.meta.category == ZYDIS_CATEGORY_SSE ||
		i.meta.category == ZYDIS_CATEGORY_X87_ALU) &&
	       (i.opcode == 0xae || i.opcode == 0xdd || i.opcode == 0xd9);
}

static void compare_trap(struct report *r, const struct state *a, const struct state *b)
{
	uint32_t ignore = PF_USER;

	if (order_is_the_cpus(a->vector, b->vector))
		return;
	if (a->vector != b->vector) {
		differs(r, "vector", a->vector, b->vector);
		return;
	}
	if (a->vector < 0 || a->vector > 31)
		return;
	/* Linux says of all beyond programs that it is there. */
	if (a->vector == VECTOR_PF && a->cr2 >= TASK_SIZE)
		ignore |= PF_PRESENT;
	if (HAS_ERROR >> a->vector & 1 && (a->error ^ b->error) & ~ignore)
		differs(r, "error", a->error, b->error);
	/* Of a large operand the CPU may look at the end first. */
	if (a->vector == VECTOR_PF && a->cr2 != b->cr2 &&
	    (a->cr2 - b->cr2 + LARGE > 2 * LARGE || !loads_all(a)))
		differs(r, "cr2", a->cr2, b->cr2);
}

static void compare_vectors(struct report *r, const struct state *a, const struct state *b)
{
	char what[32];

	for (unsigned i = 0; i < XSTATE_SIZE; i += 4) {
		uint32_t x, y;

		if ((i >= 8 && i < 24) || i == MXCSR_MASK ||
		    (i >= XSTATE_SOFTWARE && i < XSTATE_AVX))
			continue;
		memcpy(&x, a->xstate + i, 4);
		memcpy(&y, b->xstate + i, 4);
		if (i == 4)
			x &= 0xffff, y &= 0xffff;
		if (x == y)
			continue;
		snprintf(what, sizeof(what),
			 i < 32	   ? "x87+%u"
			 : i < 160 ? "st+%u"
			 : i < 464 ? "xmm+%u"
			 : i < 832 ? "ymm+%u"
				   : "zmm+%u",
			 i < 32	   ? i
			 : i < 160 ? i - 32
			 : i < 464 ? i - 160
				   : i - XSTATE_AVX);
		differs(r, what, x, y);
	}
}

static void compare_memory(struct report *r, const struct state *a, const struct state *b)
{
	unsigned said = 0;
	char what[32];

	for (unsigned f = 0; f < NR_FRAMES_USED; f++) {
		if (!memcmp(a->mem[f], b->mem[f], PAGE))
			continue;
		r->any = true;
		for (unsigned i = 0; i < PAGE && r->say; i++)
			if (a->mem[f][i] != b->mem[f][i] && said++ < 24) {
				snprintf(what, sizeof(what), "page %u+%#x", f, i);
				differs(r, what, a->mem[f][i], b->mem[f][i]);
			}
	}
	if (said > 24)
		printf("    ... %u bytes in all\n", said);
}

/*
 * A transfer to an address that is not canonical: the CPU stays at the instruction, the translator
 * is at the address already when it finds out. Either way it is a #GP.
 */
static bool went_nowhere(const struct state *a, const struct state *b)
{
	return a->vector == VECTOR_GP && b->vector == VECTOR_GP &&
	       (uint64_t)((int64_t)(b->rip << 16) >> 16) != b->rip;
}

bool state_differs(const struct testcase *c, const struct trace *t, const struct state *a,
		   const struct state *b, const char *by, bool say)
{
	struct report r = {by, say, false};
	uint64_t flags = (FLAGS_ARITH & ~t->undefined) | FLAG_DF;

	if (went_nowhere(a, b))
		return false;
	/*
	 * Code that was stored meanwhile may need flags that the old code behind the store did not:
	 * the translator has given them up (filter.c: and such code may not read them).
	 */
	if (memcmp(a->mem, c->first->mem, 2 * PAGE))
		flags &= ~FLAGS_ARITH;
	else if (a->vector != NO_VECTOR)
		flags &= ~dead_at(a, a->rip, 40);
	if (a->rip != b->rip)
		differs(&r, "rip", a->rip, b->rip);
	compare_trap(&r, a, b);
	for (unsigned i = 0; i < NR_GPR; i++)
		if (a->gpr[i] != b->gpr[i])
			differs(&r, name[i], a->gpr[i], b->gpr[i]);
	if ((a->rflags ^ b->rflags) & flags)
		differs(&r, "rflags", a->rflags & flags, b->rflags & flags);
	if (a->fs != b->fs)
		differs(&r, "fs base", a->fs, b->fs);
	if (a->gs != b->gs)
		differs(&r, "gs base", a->gs, b->gs);
	compare_vectors(&r, a, b);
	compare_memory(&r, a, b);
	return r.any;
}
