/* SPDX-License-Identifier: MIT */
/* Small instructions that cannot run natively: by what they address, or the flags they set. */
#include "host-driver/providers/process/translate/step.h"

#define CACHE_LINE 64

static enum outcome xlat(struct step *s)
{
	const regs_t *r = &s->v->regs;
	ZydisRegister segment = ZYDIS_REGISTER_DS;
	uint8_t val;

	for (unsigned k = 0; k < s->i->operand_count; k++)
		if (s->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			segment = s->op[k].mem.segment;
	if (!step_load(s, step_at(s, segment, (r->rbx + (r->rax & 0xff)) & step_address_mask(s)),
		       &val, 1))
		return THERE;
	step_set(s, ZYDIS_REGISTER_AL, val);
	return NEXT;
}

static enum outcome lea(struct step *s)
{
	step_set(s, s->op[0].reg.value, step_offset(s, &s->op[1]));
	return NEXT;
}

/* AMD's: the line that rax is in. */
static enum outcome clear_line(struct step *s)
{
	static const uint8_t zero[CACHE_LINE];
	const uint64_t line = s->v->regs.rax & step_address_mask(s) & -(uint64_t)CACHE_LINE;
	const struct where at = step_at(s, ZYDIS_REGISTER_DS, line);

	return step_store(s, at, zero, CACHE_LINE) ? NEXT : THERE;
}

/* A full address in the instruction, without ModRM. */
static enum outcome move_absolute(struct step *s)
{
	uint64_t val;

	return step_read(s, &s->op[1], &val) && step_write(s, &s->op[0], val) ? NEXT : THERE;
}

static bool is_absolute(const ZydisDecodedInstruction *i)
{
	return i->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && i->opcode >= 0xa0 && i->opcode <= 0xa3;
}

/* Hints, and what a CPU without MPX, or with CET off, takes for one. */
static bool is_hint(const ZydisDecodedInstruction *i)
{
	if (i->opcode_map == ZYDIS_OPCODE_MAP_0F && i->opcode == 0x0d && i->raw.modrm.mod == 3)
		return false; /* a prefetch of a register: the CPU knows what it thinks of that */
	switch (i->meta.category) {
	case ZYDIS_CATEGORY_CLDEMOTE:
	case ZYDIS_CATEGORY_MPX:
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_PREFETCH:
	case ZYDIS_CATEGORY_PREFETCHWT1:
	case ZYDIS_CATEGORY_WIDENOP: return true;
	default: break;
	}
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHW:
	case ZYDIS_MNEMONIC_RDSSPD:
	case ZYDIS_MNEMONIC_RDSSPQ: return true;
	case ZYDIS_MNEMONIC_PAUSE: return !i->raw.rex.B; /* else it is xchg %r8, %rax */
	default: return false;
	}
}

bool step_simple(struct step *s, enum outcome *o)
{
	regs_t *r = &s->v->regs;

	*o = NEXT;
	if (is_hint(s->i))
		return true;
	switch (s->i->mnemonic) {
	case ZYDIS_MNEMONIC_LEA: *o = lea(s); return true;
	case ZYDIS_MNEMONIC_XLAT: *o = xlat(s); return true;
	case ZYDIS_MNEMONIC_CLZERO: *o = clear_line(s); return true;
	case ZYDIS_MNEMONIC_CLD: r->rflags &= ~FLAG_DF; return true;
	case ZYDIS_MNEMONIC_STD: r->rflags |= FLAG_DF; return true;
	case ZYDIS_MNEMONIC_MOV:
		if (!is_absolute(s->i))
			return false;
		*o = move_absolute(s);
		return true;
	default: break;
	}
	if (s->i->meta.isa_ext != ZYDIS_ISA_EXT_CET)
		return false;
	*o = step_trap(s, VECTOR_UD, 0);
	return true;
}
