/* SPDX-License-Identifier: MIT */
/* A case from a seed: a few instructions, and registers that suit them. */
#include <string.h>

#include "tests/translate/filter.h"
#include "tests/translate/gen.h"

static const struct gen_template *template(struct gen *g)
{
	static unsigned total;
	unsigned at;

	if (!total)
		for (unsigned i = 0; i < gen_nr_templates; i++)
			total += gen_templates[i].weight;
	at = below(&g->r, total);
	for (unsigned i = 0;; i++) {
		if (at < gen_templates[i].weight)
			return &gen_templates[i];
		at -= gen_templates[i].weight;
	}
}

static void one(struct gen *g)
{
	const unsigned how = below(&g->r, 100);

	if (how < 55)
		gen_encode(g, template(g));
	else if (how < 78 && harvest_count())
		gen_harvested(g, below(&g->r, harvest_count()));
	else
		gen_special(g);
}

static void begin(struct gen *g, struct testcase *c, struct state *first, uint64_t seed)
{
	memset(c, 0, offsetof(struct testcase, item));
	c->seed = seed;
	c->first = first;
	c->user = !va_delta && seed & 1;
	g->r.s = seed * 0x2545f4914f6cdd1dUL + 77;
	g->c = c;
	for (unsigned i = 0; i < NR_GPR; i++)
		if (chance(&g->r, 45))
			g->pointers |= 1 << i;
	g->pointers |= 1 << R15 >> below(&g->r, 2); /* one of the two at least */
}

/* Near the page's end, so that something crosses it; or anywhere. */
static unsigned start(struct gen *g)
{
	return chance(&g->r, 25) ? PAGE - below(&g->r, 60) : below(&g->r, PAGE - 500);
}

void gen_case(struct testcase *c, struct state *first, uint64_t seed)
{
	struct gen g = {};
	unsigned n;

	do {
		begin(&g, c, first, seed);
		n = 1 + below(&g.r, below(&g.r, 3) ? 8 : MAX_ITEMS - 4);
		for (unsigned tries = 0; c->n < n && tries < 100; tries++)
			one(&g);
		case_state(c, &g.r, g.pointers);
		c->start = start(&g);
		seed += 1UL << 40; /* does not fit: another */
	} while (!case_layout(c));
}

static unsigned number(ZydisRegister reg)
{
	return ZydisRegisterGetId(
		ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

/* Registers such that the operand is somewhere in the data; or its displacement, if it has none. */
static void aim(struct gen *g, const ZydisDecodedOperand *o, const ZydisDecodedInstruction *i)
{
	struct testcase *c = g->c;
	uint64_t *gpr = c->first->gpr, at = case_pointer(&g->r, o->size > 64 ? o->size / 8 : 8);
	const bool base = o->mem.base != ZYDIS_REGISTER_NONE;
	const bool index = o->mem.index != ZYDIS_REGISTER_NONE &&
			   o->mem.type != ZYDIS_MEMOP_TYPE_VSIB;

	if (o->mem.segment == ZYDIS_REGISTER_FS)
		at -= c->first->fs;
	else if (o->mem.segment == ZYDIS_REGISTER_GS)
		at -= c->first->gs;
	if (o->mem.base == ZYDIS_REGISTER_RIP)
		return;
	if (!base && !index) {
		if (i->raw.disp.size == 32)
			memcpy(c->item[0].byte + i->raw.disp.offset, &at, 4);
		return;
	}
	at -= o->mem.disp.value;
	if (!base)
		gpr[number(o->mem.index)] = at / (o->mem.scale ? o->mem.scale : 1);
	else if (index && o->mem.index == o->mem.base)
		gpr[number(o->mem.base)] = at / (1 + o->mem.scale);
	else if (number(o->mem.base) != RSP || chance(&g->r, 5))
		gpr[number(o->mem.base)] =
			at - (index ? gpr[number(o->mem.index)] * o->mem.scale : 0);
}

bool gen_form(struct testcase *c, struct state *first, unsigned form, uint64_t seed)
{
	struct gen g = {};
	unsigned len;
	const uint8_t *insn = harvest_get(form, &len);
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	struct item *it = &c->item[0];

	begin(&g, c, first, seed ^ (uint64_t)form << 20);
	if (!filter_decode(insn, len, &i, op) || !gen_add(&g, insn, len))
		return false;
	it->hop = false;
	case_state(c, &g.r, g.pointers);
	if (i.raw.imm[0].is_relative) {
		it->fix = i.raw.imm[0].size == 8 ? FIX_REL8 : FIX_REL32;
		it->fix_at = i.raw.imm[0].offset;
		it->fix_end = len;
		it->target = 2;
		if (i.raw.imm[0].size == 16)
			return false;
		gen_add(&g, (const uint8_t[]){0x48, 0xff, 0xc0}, 3);
	} else if (i.meta.category == ZYDIS_CATEGORY_STRINGOP) {
		first->gpr[RCX] = below(&g.r, 50);
	}
	for (unsigned k = 0; k < i.operand_count; k++)
		if (op[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			aim(&g, &op[k], &i);
	c->start = start(&g);
	return case_layout(c);
}
