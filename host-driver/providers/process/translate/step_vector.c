/* SPDX-License-Identifier: MIT */
/*
 * Gathers, and moves of only some elements, whose others may lie on pages that are not there. The
 * vector registers are worked on where XSAVE puts them.
 */
#include "host-driver/providers/process/translate/step.h"

#define AREA_MM	     32
#define AREA_XMM     160
#define AREA_BV	     512 /* which states are not in their first state */
#define BV_X87	     1
#define BV_SSE	     2
#define BV_AVX	     4
#define AREA_FSW     2
#define AREA_FTW     4
#define FSW_TOP_BYTE 0x38 /* of its second byte */

struct vector {
	uint8_t byte[32];
};

static unsigned vector_number(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_YMM0 ? reg - ZYDIS_REGISTER_YMM0 : reg - ZYDIS_REGISTER_XMM0;
}

/*
 * The x87 stack as MMX instructions want it: its registers are the MMX registers, MM0 at the top,
 * and all are in use. XSAVE puts the top first.
 */
static void become_mmx(uint8_t *area)
{
	const unsigned top = area[AREA_FSW + 1] >> 3 & 7;
	uint8_t st[8][16];

	for (unsigned k = 0; k < 8; k++)
		step_bytes(st[(k + top) & 7], area + AREA_MM + 16 * k, 16);
	step_bytes(area + AREA_MM, st, sizeof(st));
	area[AREA_FSW + 1] &= ~FSW_TOP_BYTE;
	area[AREA_FTW] = 0xff;
	area[AREA_BV] |= BV_X87;
}

/* All 256 bits, whichever name it goes by; of an MMX register its 64. */
static void get_vector(const uint8_t *area, ZydisRegister reg, struct vector *x)
{
	const unsigned n = vector_number(reg);

	if (reg >= ZYDIS_REGISTER_MM0 && reg <= ZYDIS_REGISTER_MM7) {
		step_bytes(x->byte, area + AREA_MM + 16 * (reg - ZYDIS_REGISTER_MM0), 8);
		return;
	}
	step_bytes(x->byte, area + AREA_XMM + 16 * n, 16);
	step_bytes(x->byte + 16, area + xsave_avx_offset() + 16 * n, 16);
}

static void set_vector(uint8_t *area, ZydisRegister reg, const struct vector *x)
{
	const unsigned n = vector_number(reg);

	step_bytes(area + AREA_XMM + 16 * n, x->byte, 16);
	step_bytes(area + xsave_avx_offset() + 16 * n, x->byte + 16, 16);
	area[AREA_BV] |= BV_SSE | BV_AVX;
}

static bool sign(const struct vector *x, unsigned k, unsigned size)
{
	return x->byte[k * size + size - 1] >> 7;
}

struct gather {
	unsigned size, index_size, n;
	struct vector value, mask, index;
};

static uint64_t index_of(const struct gather *g, unsigned k)
{
	int64_t q = 0;
	int32_t d = 0;

	if (g->index_size == 8) {
		step_bytes(&q, g->index.byte + 8 * k, 8);
		return q;
	}
	step_bytes(&d, g->index.byte + 4 * k, 4);
	return (int64_t)d;
}

/* Element by element, lowest first: those before a fault have been loaded, and their mask says so.
 */
static bool gather_elements(struct step *s, struct gather *g)
{
	const ZydisDecodedOperand *op = &s->op[1];
	uint64_t ea, start = op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value : 0;

	if (op->mem.base != ZYDIS_REGISTER_NONE)
		start += step_get(s, op->mem.base);
	for (unsigned k = 0; k < g->n; k++) {
		if (sign(&g->mask, k, g->size)) {
			ea = start + index_of(g, k) * op->mem.scale;
			if (!step_load(s, step_at(s, op->mem.segment, ea & step_address_mask(s)),
				       g->value.byte + k * g->size, g->size))
				return false;
		}
		for (unsigned b = 0; b < g->size; b++)
			g->mask.byte[k * g->size + b] = 0;
	}
	return true;
}

static void clear_above(struct vector *x, unsigned bytes)
{
	for (unsigned k = bytes; k < sizeof(x->byte); k++)
		x->byte[k] = 0;
}

static enum outcome gather(struct step *s, uint8_t *area)
{
	struct gather g = {
		.size = s->i->raw.vex.W ? 8 : 4,
		.index_size = s->i->opcode & 1 ? 8 : 4, /* 0x90 to 0x93 */
	};
	const unsigned length = s->i->raw.vex.L ? 32 : 16;
	const unsigned dst = vector_number(s->op[0].reg.value);
	const unsigned mask = vector_number(s->op[2].reg.value);
	const unsigned index = vector_number(s->op[1].mem.index);
	bool done;

	if (dst == mask || dst == index || mask == index)
		return step_trap(s, VECTOR_UD, 0);
	g.n = length / (g.size > g.index_size ? g.size : g.index_size);
	get_vector(area, s->op[0].reg.value, &g.value);
	get_vector(area, s->op[1].mem.index, &g.index);
	get_vector(area, s->op[2].reg.value, &g.mask);
	done = gather_elements(s, &g);
	if (done) {
		clear_above(&g.value, g.n * g.size);
		clear_above(&g.mask, 0);
	}
	set_vector(area, s->op[0].reg.value, &g.value);
	set_vector(area, s->op[2].reg.value, &g.mask);
	return done ? NEXT : THERE;
}

static enum outcome masked_load(struct step *s, uint8_t *area, unsigned size)
{
	const struct where at = step_address(s, &s->op[2]);
	const unsigned n = s->op[0].size / 8 / size;
	struct vector mask = {{0}}, value = {{0}};

	get_vector(area, s->op[1].reg.value, &mask);
	clear_above(&value, 0);
	for (unsigned k = 0; k < n; k++)
		if (sign(&mask, k, size) &&
		    !step_load(s, step_behind(s, at, k * size), value.byte + k * size, size))
			return THERE;
	set_vector(area, s->op[0].reg.value, &value);
	return NEXT;
}

/* Nothing is stored before all of it may be. */
static enum outcome masked_store(struct step *s, const struct vector *mask,
				 const struct vector *value, struct where at, unsigned n,
				 unsigned size)
{
	struct span sp;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned k = 0; k < n; k++) {
			const struct where here = step_behind(s, at, k * size);

			if (!sign(mask, k, size))
				continue;
			if (pass ? !step_store(s, here, value->byte + k * size, size)
				 : !step_reach(s, here, size, ACCESS_WRITE, &sp))
				return THERE;
		}
	}
	return NEXT;
}

static enum outcome masked_move(struct step *s, uint8_t *area, unsigned size)
{
	struct vector mask = {{0}}, value = {{0}};

	if (s->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER)
		return masked_load(s, area, size);
	get_vector(area, s->op[1].reg.value, &mask);
	get_vector(area, s->op[2].reg.value, &value);
	return masked_store(s, &mask, &value, step_address(s, &s->op[0]), s->op[0].size / 8 / size,
			    size);
}

/* To where rdi says. */
static enum outcome masked_bytes(struct step *s, uint8_t *area)
{
	const bool mmx = s->i->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
	ZydisRegister segment = ZYDIS_REGISTER_DS;
	struct vector mask = {{0}}, value = {{0}};
	struct where at;

	for (unsigned k = 0; k < s->i->operand_count; k++)
		if (s->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			segment = s->op[k].mem.segment;
	at = step_at(s, segment, s->v->regs.rdi & step_address_mask(s));
	if (mmx)
		become_mmx(area);
	if (!tr_canonical(at.va)) /* also when no byte is to be stored */
		return step_trap(s, VECTOR_GP, 0);
	get_vector(area, s->op[0].reg.value, &value);
	get_vector(area, s->op[1].reg.value, &mask);
	return masked_store(s, &mask, &value, at, mmx ? 8 : 16, 1);
}

enum family { NONE, GATHER, MASK_4, MASK_8, BYTES };

static enum family family_of(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VGATHERQPD:
	case ZYDIS_MNEMONIC_VPGATHERDD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
	case ZYDIS_MNEMONIC_VPGATHERQD:
	case ZYDIS_MNEMONIC_VPGATHERQQ: return GATHER;
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VPMASKMOVD: return MASK_4;
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ: return MASK_8;
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU: return BYTES;
	default: return NONE;
	}
}

bool step_vector(struct step *s, enum outcome *o)
{
	const enum family family = family_of(s->i->mnemonic);
	struct fpu_area area;

	if (family == NONE)
		return false;
	fpu_keep(&area);
	if (family == GATHER)
		*o = gather(s, fpu_aligned(&area));
	else if (family == BYTES)
		*o = masked_bytes(s, fpu_aligned(&area));
	else
		*o = masked_move(s, fpu_aligned(&area), family == MASK_4 ? 4 : 8);
	fpu_back(&area);
	return true;
}
