/* SPDX-License-Identifier: MIT */
/*
 * What is more than an instruction with operands: branches to other items, strings with their
 * registers set up, flags by the stack, stores to code.
 */
#include <string.h>

#include "tests/translate/gen.h"

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static struct item *last(struct gen *g)
{
	return &g->c->item[g->c->n - 1];
}

/* Some way on, mostly; an item that is not there yet is the end if it never is. */
static int8_t target(struct gen *g)
{
	const unsigned n = g->c->n;

	if (n && chance(&g->r, 12))
		return below(&g->r, n);
	return n + 1 + below(&g->r, 4);
}

static void refer(struct gen *g, enum fix fix, unsigned at, int8_t to)
{
	struct item *it = last(g);

	it->fix = fix;
	it->fix_at = at;
	it->fix_end = it->len;
	it->target = to;
	it->hop = false;
}

static void mov_imm(struct gen *g, unsigned reg, uint32_t v)
{
	uint8_t insn[7], n = 0;

	if (v >> 31) { /* sign-extended */
		insn[n++] = 0x48 | reg >> 3;
		insn[n++] = 0xc7;
		insn[n++] = 0xc0 | (reg & 7);
	} else {
		if (reg >= 8)
			insn[n++] = 0x41;
		insn[n++] = 0xb8 | (reg & 7);
	}
	memcpy(insn + n, &v, 4);
	gen_add(g, insn, n + 4);
}

static void branch(struct gen *g)
{
	const uint8_t cc = below(&g->r, 16);
	const int8_t to = target(g);

	switch (below(&g->r, 6)) {
	case 0:
		if (gen_add(g, BYTES(0x70 | cc, 0)))
			refer(g, FIX_REL8, 1, to);
		break;
	case 1:
		if (gen_add(g, BYTES(0x0f, 0x80 | cc, 0, 0, 0, 0)))
			refer(g, FIX_REL32, 2, to);
		break;
	case 2:
		if (gen_add(g, BYTES(0xeb, 0)))
			refer(g, FIX_REL8, 1, to);
		break;
	case 3:
		if (gen_add(g, BYTES(0xe9, 0, 0, 0, 0)))
			refer(g, FIX_REL32, 1, to);
		break;
	default:
		if (gen_add(g, BYTES(0xe8, 0, 0, 0, 0)))
			refer(g, FIX_REL32, 1, to);
		break;
	}
}

static void loop(struct gen *g)
{
	const uint8_t op = 0xe0 + below(&g->r, 4); /* loopne, loope, loop, jrcxz */
	const int8_t to = target(g);

	if (chance(&g->r, 80))
		mov_imm(g, RCX, below(&g->r, 5));
	if (chance(&g->r, 15)) {
		if (gen_add(g, BYTES(0x67, op, 0)))
			refer(g, FIX_REL8, 2, to);
	} else if (gen_add(g, BYTES(op, 0))) {
		refer(g, FIX_REL8, 1, to);
	}
}

/* call or jmp through a register. */
static void through_register(struct gen *g)
{
	const unsigned reg = gen_reg(g);
	const uint8_t modrm = (chance(&g->r, 50) ? 0xd0 : 0xe0) | (reg & 7);

	if (reg == RSP)
		return;
	if (gen_add(g, BYTES(0x48 | reg >> 3, 0xc7, 0xc0 | (reg & 7), 0, 0, 0, 0)))
		refer(g, FIX_ABS32, 3, target(g) + 1);
	if (reg >= 8)
		gen_add(g, BYTES(0x41, 0xff, modrm));
	else
		gen_add(g, BYTES(0xff, modrm));
}

/* movq $target, (%reg) or 8(%rsp); call or jmp through it. */
static void through_memory(struct gen *g)
{
	const uint8_t op = chance(&g->r, 50) ? 2 : 4;
	const uint32_t slot = case_pointer(&g->r, 8);
	uint8_t insn[12] = {0x48, 0xc7, 0x04, 0x25}, jump[7] = {0xff, op << 3 | 4, 0x25};

	switch (below(&g->r, 3)) {
	case 0: /* absolute */
		memcpy(insn + 4, &slot, 4);
		memcpy(jump + 3, &slot, 4);
		if (gen_add(g, insn, 12))
			refer(g, FIX_ABS32, 8, target(g) + 1);
		gen_add(g, jump, 7);
		break;
	case 1: /* on the stack */
		if (gen_add(g, BYTES(0x48, 0xc7, 0x44, 0x24, 8, 0, 0, 0, 0)))
			refer(g, FIX_ABS32, 5, target(g) + 1);
		gen_add(g, BYTES(0xff, op << 3 | 0x44, 0x24, 8));
		break;
	default: /* by r15 */
		if (gen_add(g, BYTES(0x49, 0xc7, 0x07, 0, 0, 0, 0)))
			refer(g, FIX_ABS32, 3, target(g) + 1);
		gen_add(g, BYTES(0x41, 0xff, op << 3 | 7));
		break;
	}
}

static void ret(struct gen *g)
{
	if (chance(&g->r, 75) && gen_add(g, BYTES(0x68, 0, 0, 0, 0)))
		refer(g, FIX_ABS32, 1, target(g) + 1);
	if (chance(&g->r, 70))
		gen_add(g, BYTES(0xc3));
	else if (chance(&g->r, 70))
		gen_add(g, BYTES(0xc2, 8 * below(&g->r, 4), 0));
	else
		gen_add(g, BYTES(0xf3, 0xc3));
}

/* A function that is called a few times, from here or through a register. */
static void function(struct gen *g)
{
	const unsigned n = g->c->n;

	if (n + 7 > MAX_ITEMS)
		return;
	mov_imm(g, RCX, 1 + below(&g->r, 4));
	gen_add(g, BYTES(0x49, 0xc7, 0xc6, 0, 0, 0, 0)); /* mov $function, %r14 */
	refer(g, FIX_ABS32, 3, n + 5);
	if (chance(&g->r, 50)) {
		gen_add(g, BYTES(0x41, 0xff, 0xd6)); /* call *%r14 */
		last(g)->hop = false;
	} else {
		gen_add(g, BYTES(0xe8, 0, 0, 0, 0));
		refer(g, FIX_REL32, 1, n + 5);
	}
	gen_add(g, BYTES(0xe2, 0)); /* loop */
	refer(g, FIX_REL8, 1, n + 2);
	gen_add(g, BYTES(0xe9, 0, 0, 0, 0));
	refer(g, FIX_REL32, 1, n + 7);
	last(g)->hop = chance(&g->r, 30);
	gen_add(g, BYTES(0x48, 0x11, 0xc8)); /* adc %rcx, %rax */
	gen_add(g, BYTES(0xc3));
}

static void strings(struct gen *g)
{
	static const uint8_t op[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
	uint8_t insn[8], n = 0;

	if (chance(&g->r, 80))
		mov_imm(g, RCX, below(&g->r, chance(&g->r, 15) ? 3000 : 40));
	if (chance(&g->r, 80))
		mov_imm(g, RSI, case_pointer(&g->r, 8));
	if (chance(&g->r, 80))
		mov_imm(g, RDI, case_pointer(&g->r, 8));
	if (chance(&g->r, 8))
		gen_add(g, BYTES(0xfc | (below(&g->r, 4) == 0)));
	if (chance(&g->r, 70))
		insn[n++] = chance(&g->r, 70) ? 0xf3 : 0xf2;
	if (chance(&g->r, 8))
		insn[n++] = 0x67;
	if (chance(&g->r, 5))
		insn[n++] = chance(&g->r, 50) ? 0x64 : 0x65;
	switch (below(&g->r, 4)) {
	case 0: insn[n++] = 0x66; break;
	case 1: insn[n++] = 0x48; break;
	default: break;
	}
	insn[n++] = op[below(&g->r, sizeof(op))];
	gen_add(g, insn, n);
}

static void frames(struct gen *g)
{
	switch (below(&g->r, 6)) {
	case 0: gen_add(g, BYTES(0xc9)); break;
	case 1: gen_add(g, BYTES(0x55)), gen_add(g, BYTES(0x48, 0x89, 0xe5)); break;
	case 2: gen_add(g, BYTES(0xc8, 8 * below(&g->r, 20), 0, 0)); break;
	case 3: gen_add(g, BYTES(0xc8, 8 * below(&g->r, 20), 0, below(&g->r, 5))); break;
	case 4: gen_add(g, BYTES(0x48, 0x83, 0xec, 8 * below(&g->r, 8))); break;
	default: gen_add(g, BYTES(0x48, 0x8d, 0x64, 0x24, 8 * below(&g->r, 8))); break;
	}
}

static void flags(struct gen *g)
{
	static const uint8_t op[] = {0xf5, 0xf8, 0xf9, 0xfc, 0xfd, 0x9e,
				     0x9f, 0x9c, 0x98, 0x99, 0xd7, 0x90};
	uint8_t push[5] = {0x68, 2, 2, 0, 0};

	switch (below(&g->r, 6)) {
	case 0: /* popf of something sane */
		push[1] = 2 | (rnd(&g->r) & 0xd5);
		push[2] = 2 | (rnd(&g->r) & 0xc);
		gen_add(g, push, 5);
		gen_add(g, BYTES(0x9d));
		break;
	case 1: gen_add(g, BYTES(0x9c)); break;
	case 2: gen_add(g, BYTES(0x66, op[below(&g->r, sizeof(op))])); break;
	case 3: gen_add(g, BYTES(0x48, 0x98 + below(&g->r, 2))); break;
	case 4: /* fs, gs bases */
		gen_add(g, BYTES(0xf3, 0x48, 0x0f, 0xae, 0xc0 | (rnd(&g->r) & 0x1f)));
		break;
	default: gen_add(g, BYTES(op[below(&g->r, sizeof(op))])); break;
	}
}

/* A store to the immediate of an instruction that comes, or has been. */
static void self_modify(struct gen *g)
{
	uint8_t store[11] = {0xc7, 0x04, 0x25};
	const uint32_t v = rnd(&g->r);
	const unsigned reg = gen_reg(g);
	const int8_t to = chance(&g->r, 80) || !g->c->n ? g->c->n + 1 + below(&g->r, 3)
							: below(&g->r, g->c->n);

	if (reg == RSP)
		return;
	memcpy(store + 7, &v, 4);
	if (gen_add(g, store, 11)) {
		refer(g, FIX_ABS32, 3, to);
		last(g)->plus = 1 + (reg >= 8);
	}
	for (unsigned i = g->c->n; (int)i < to && i < MAX_ITEMS; i++)
		gen_add(g, BYTES(0x48, 0xff, 0xc0 | below(&g->r, 4)));
	mov_imm(g, reg, 0x11223344);
}

static void undefined(struct gen *g)
{
	switch (below(&g->r, 6)) {
	case 0: gen_add(g, BYTES(0x0f, 0x0b)); break;
	case 1: gen_add(g, BYTES(0xcc)); break;
	case 2: gen_add(g, BYTES(0x06)); break;
	case 3: gen_add(g, BYTES(0xf0, 0x48, 0x89, 0x03)); break;
	case 4: gen_add(g, BYTES(0xe9, 0, 0, 1, 0)); break;
	default: gen_add(g, BYTES(0xff, 0xe0)); break;
	}
}

void gen_special(struct gen *g)
{
	const unsigned how = below(&g->r, 100);

	if (how < 30)
		branch(g);
	else if (how < 40)
		loop(g);
	else if (how < 48)
		through_register(g);
	else if (how < 54)
		through_memory(g);
	else if (how < 62)
		ret(g);
	else if (how < 76)
		strings(g);
	else if (how < 80)
		frames(g);
	else if (how < 84)
		function(g);
	else if (how < 93)
		flags(g);
	else if (how < 98)
		self_modify(g);
	else
		undefined(g);
}
