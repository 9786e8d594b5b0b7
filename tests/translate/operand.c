/* SPDX-License-Identifier: MIT */
/* Instructions with made-up operands, by Zydis' encoder. */
#include <string.h>

#include "tests/translate/filter.h"
#include "tests/translate/gen.h"

unsigned gen_reg(struct gen *g)
{
	return chance(&g->r, 25) ? R14 + below(&g->r, 2) : below(&g->r, NR_GPR);
}

ZydisRegister gen_gpr(unsigned nr, unsigned size)
{
	switch (size) {
	case 1: /* SPL to DIL are elsewhere in Zydis' list than AH to BH */
		return nr < 4 ? ZYDIS_REGISTER_AL + nr : ZYDIS_REGISTER_SPL + (nr - 4);
	case 2: return ZYDIS_REGISTER_AX + nr;
	case 4: return ZYDIS_REGISTER_EAX + nr;
	default: return ZYDIS_REGISTER_RAX + nr;
	}
}

/* One of those that are addresses, or (pointer false) are not. */
static unsigned pick(struct gen *g, bool pointer)
{
	for (unsigned tries = 0; tries < 30; tries++) {
		const unsigned nr = gen_reg(g);

		if (nr != RSP && (g->pointers >> nr & 1) == pointer)
			return nr;
	}
	return gen_reg(g);
}

static int64_t small(struct gen *g)
{
	static const int32_t step[] = {0, 8, 16, 4, 1, 64, 128, -8, -1, 256, -64, 1024};

	return chance(&g->r, 75) ? step[below(&g->r, 12)] : (int64_t)below(&g->r, 512) - 256;
}

static void reg_op(ZydisEncoderOperand *o, ZydisRegister reg)
{
	o->type = ZYDIS_OPERAND_TYPE_REGISTER;
	o->reg.value = reg;
}

static void gpr_op(struct gen *g, ZydisEncoderOperand *o, unsigned size, bool dest)
{
	unsigned nr = gen_reg(g);

	if (dest && g->pointers >> nr & 1 && chance(&g->r, 60))
		nr = pick(g, false);
	if (nr == RSP && chance(&g->r, 70))
		nr = RAX;
	if (size == 1 && chance(&g->r, 25))
		reg_op(o, ZYDIS_REGISTER_AH + below(&g->r, 4));
	else
		reg_op(o, gen_gpr(nr, size));
}

static void imm_op(struct gen *g, ZydisEncoderOperand *o, unsigned size)
{
	const uint64_t v = rnd(&g->r);

	o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
	switch (chance(&g->r, 40) ? 1 : size) {
	case 1: o->imm.s = (int8_t)v; break;
	case 2: o->imm.s = (int16_t)v; break;
	default: o->imm.s = (int32_t)v; break;
	}
}

static void mem_op(struct gen *g, ZydisEncoderRequest *q, ZydisEncoderOperand *o, unsigned size)
{
	const unsigned how = below(&g->r, 100);
	unsigned wide = 8;

	o->type = ZYDIS_OPERAND_TYPE_MEMORY;
	o->mem.size = size;
	o->mem.displacement = small(g);
	if (how < 10) {
		o->mem.base = ZYDIS_REGISTER_RIP;
		o->mem.displacement = 0x1000000;
		return;
	}
	if (how < 20) { /* by segment */
		q->prefixes |= chance(&g->r, 50) ? ZYDIS_ATTRIB_HAS_SEGMENT_FS
						 : ZYDIS_ATTRIB_HAS_SEGMENT_GS;
		if (chance(&g->r, 50)) {
			o->mem.base = gen_gpr(pick(g, false), chance(&g->r, 10) ? 4 : 8);
			return;
		}
		return;
	}
	if (how < 25) {
		o->mem.displacement = case_pointer(&g->r, 8);
		return;
	}
	if (how < 33) /* addr32 */
		wide = 4;
	if (how < 46)
		o->mem.base = gen_gpr(RSP, wide);
	else if (how < 96)
		o->mem.base = gen_gpr(pick(g, true), wide);
	else
		o->mem.base = gen_gpr(gen_reg(g), wide);
	if (chance(&g->r, 30)) {
		unsigned index = pick(g, chance(&g->r, 4));

		if (index == RSP)
			return;
		o->mem.index = gen_gpr(index, wide);
		o->mem.scale = 1 << below(&g->r, 4);
	}
}

static void either(struct gen *g, ZydisEncoderRequest *q, ZydisEncoderOperand *o, unsigned size,
		   bool dest)
{
	if (chance(&g->r, 70))
		mem_op(g, q, o, size);
	else
		gpr_op(g, o, size, dest);
}

static void vector_or_mem(struct gen *g, ZydisEncoderRequest *q, ZydisEncoderOperand *o,
			  ZydisRegister first, unsigned n, unsigned size)
{
	if (size && chance(&g->r, 70))
		mem_op(g, q, o, size);
	else
		reg_op(o, first + below(&g->r, n));
}

static void operand(struct gen *g, ZydisEncoderRequest *q, char what, unsigned size, bool dest)
{
	ZydisEncoderOperand *o = &q->operands[q->operand_count++];

	switch (what) {
	case 'r': gpr_op(g, o, size, dest); break;
	case 'R': gpr_op(g, o, chance(&g->r, 50) ? 4 : 8, dest); break;
	case 'e': either(g, q, o, size, dest); break;
	case 'h': either(g, q, o, size > 2 && chance(&g->r, 50) ? 2 : 1, dest); break;
	case 'w': either(g, q, o, 2, dest); break;
	case 'd': either(g, q, o, 4, dest); break;
	case 'm': mem_op(g, q, o, size); break;
	case '2': mem_op(g, q, o, 2); break;
	case '4': mem_op(g, q, o, 4); break;
	case '8': mem_op(g, q, o, 8); break;
	case 't': mem_op(g, q, o, 10); break;
	case 'o': mem_op(g, q, o, 16); break;
	case 'O': mem_op(g, q, o, 32); break;
	case 'i': imm_op(g, o, size); break;
	case 'b':
		o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
		o->imm.u = below(&g->r, 128);
		break;
	case '1':
		o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
		o->imm.u = 1;
		break;
	case 'c': reg_op(o, ZYDIS_REGISTER_CL); break;
	case 'x': vector_or_mem(g, q, o, ZYDIS_REGISTER_XMM0, 16, 0); break;
	case 'X': vector_or_mem(g, q, o, ZYDIS_REGISTER_XMM0, 16, 16); break;
	case 'f': vector_or_mem(g, q, o, ZYDIS_REGISTER_XMM0, 16, 4); break;
	case 'F': vector_or_mem(g, q, o, ZYDIS_REGISTER_XMM0, 16, 8); break;
	case 'y': vector_or_mem(g, q, o, ZYDIS_REGISTER_YMM0, 16, 0); break;
	case 'Y': vector_or_mem(g, q, o, ZYDIS_REGISTER_YMM0, 16, 32); break;
	case 'n': vector_or_mem(g, q, o, ZYDIS_REGISTER_MM0, 8, 0); break;
	case 'N': vector_or_mem(g, q, o, ZYDIS_REGISTER_MM0, 8, 8); break;
	case 'S': reg_op(o, ZYDIS_REGISTER_ST0); break;
	default: reg_op(o, ZYDIS_REGISTER_ST0 + below(&g->r, 8)); break;
	}
}

/* A rip-relative operand gets an address that is there, whatever place the instruction gets. */
bool gen_add(struct gen *g, const uint8_t *insn, unsigned len)
{
	struct testcase *c = g->c;
	struct item *it = &c->item[c->n];
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

	if (c->n == MAX_ITEMS)
		return false;
	*it = (struct item){.len = len, .hop = chance(&g->r, 4)};
	memcpy(it->byte, insn, len);
	if (filter_decode(insn, len, &i, op))
		for (unsigned k = 0; k < i.operand_count_visible; k++)
			if (op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			    op[k].mem.base == ZYDIS_REGISTER_RIP) {
				it->fix = FIX_DATA;
				it->fix_at = i.raw.disp.offset;
				it->fix_end = i.length;
				it->data = case_pointer(&g->r, 64);
			}
	c->n++;
	return true;
}

/* With a prefix more, as assemblers do not write them; if that still is an instruction for us. */
static bool add_odd(struct gen *g, const uint8_t *insn, unsigned len)
{
	static const uint8_t prefix[] = {0x66, 0x67, 0x2e, 0x3e, 0x26, 0x36, 0x64, 0x65,
					 0xf2, 0xf3, 0xf0, 0x40, 0x48, 0x41, 0x4f, 0x44};
	uint8_t odd[16], longer[16];
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

	while (len < 15 && chance(&g->r, 6)) {
		odd[0] = prefix[below(&g->r, sizeof(prefix))];
		memcpy(odd + 1, insn, len);
		if (!filter_decode(odd, len + 1, &i, op) || i.length != len + 1 ||
		    filter_kind(&i, op) || i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
			break;
		memcpy(longer, odd, ++len);
		insn = longer;
	}
	return gen_add(g, insn, len);
}

static bool lockable(const ZydisEncoderRequest *q)
{
	switch (q->mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_ADC:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
	case ZYDIS_MNEMONIC_NEG:
	case ZYDIS_MNEMONIC_NOT:
	case ZYDIS_MNEMONIC_XCHG:
	case ZYDIS_MNEMONIC_XADD:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
	case ZYDIS_MNEMONIC_CMPXCHG:
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_CMPXCHG16B: return q->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	default: return false;
	}
}

bool gen_encode(struct gen *g, const struct gen_template *t)
{
	ZydisEncoderRequest q;
	uint8_t insn[ZYDIS_MAX_INSTRUCTION_LENGTH];
	ZyanUSize len = sizeof(insn);
	unsigned size;

	do
		size = 1 << (chance(&g->r, 40) ? 3 : below(&g->r, 4));
	while (!(t->sizes & size));
	memset(&q, 0, sizeof(q));
	q.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
	q.mnemonic = t->mnemonic;
	for (const char *p = t->ops; *p; p++)
		operand(g, &q, *p, size, p == t->ops);
	if (lockable(&q) && chance(&g->r, 30))
		q.prefixes |= ZYDIS_ATTRIB_HAS_LOCK;
	return ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&q, insn, &len)) && add_odd(g, insn, len);
}

/* Another register of the same kind, for a general one that may be any. */
static ZydisRegister other(struct gen *g, ZydisRegister reg, bool pointer)
{
	const unsigned nr = pick(g, pointer);

	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8: return gen_gpr(nr, 1);
	case ZYDIS_REGCLASS_GPR16: return gen_gpr(nr, 2);
	case ZYDIS_REGCLASS_GPR32: return gen_gpr(nr, 4);
	case ZYDIS_REGCLASS_GPR64: return gen_gpr(nr, 8);
	default: return reg;
	}
}

static void change(struct gen *g, ZydisEncoderOperand *o)
{
	if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && chance(&g->r, 50))
		o->reg.value = other(g, o->reg.value, false);
	if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.base == ZYDIS_REGISTER_RIP)
		return;
	if (o->mem.base != ZYDIS_REGISTER_NONE)
		o->mem.displacement = small(g);
	if (chance(&g->r, 80) && o->mem.base != ZYDIS_REGISTER_RSP)
		o->mem.base = other(g, o->mem.base, true);
	if (chance(&g->r, 80))
		o->mem.index = other(g, o->mem.index, false);
	if (o->mem.base == ZYDIS_REGISTER_NONE && o->mem.index == ZYDIS_REGISTER_NONE)
		o->mem.displacement = case_pointer(&g->r, 8);
}

bool gen_harvested(struct gen *g, unsigned form)
{
	unsigned n;
	const uint8_t *found = harvest_get(form, &n);
	uint8_t insn[ZYDIS_MAX_INSTRUCTION_LENGTH];
	ZyanUSize len = sizeof(insn);
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisEncoderRequest q;

	memcpy(insn, found, n);
	if (chance(&g->r, 8)) /* a bit of it */
		insn[below(&g->r, n)] ^= 1 << below(&g->r, 8);
	if (!filter_decode(insn, n, &i, op) || i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
	    filter_kind(&i, op))
		return false;
	if (!ZYAN_SUCCESS(ZydisEncoderDecodedInstructionToEncoderRequest(
		    &i, op, i.operand_count_visible, &q)))
		return false;
	for (unsigned k = 0; k < q.operand_count; k++)
		change(g, &q.operands[k]);
	return ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&q, insn, &len)) && add_odd(g, insn, len);
}
