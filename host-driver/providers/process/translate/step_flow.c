/* SPDX-License-Identifier: MIT */
/* Control flow within the guest: near and far transfers, and interrupts by instruction. */
#include "host-driver/providers/process/translate/step.h"

static struct where stack_at(uint64_t sp)
{
	return (struct where){sp, true};
}

/* Intel SDM vol. 1, appendix B: the low four bits of Jcc's opcode. */
static bool condition(uint64_t f, unsigned cc)
{
	const bool less = !(f & FLAG_SF) != !(f & FLAG_OF);
	bool is;

	switch (cc >> 1 & 7) {
	case 0: is = f & FLAG_OF; break;
	case 1: is = f & FLAG_CF; break;
	case 2: is = f & FLAG_ZF; break;
	case 3: is = f & (FLAG_CF | FLAG_ZF); break;
	case 4: is = f & FLAG_SF; break;
	case 5: is = f & FLAG_PF; break;
	case 6: is = less; break;
	default: is = less || f & FLAG_ZF;
	}
	return is != (cc & 1);
}

/* Where a near branch goes. */
static bool target(struct step *s, uint64_t *to)
{
	if (s->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		*to = s->next + s->op[0].imm.value.s;
		return true;
	}
	return step_read(s, &s->op[0], to);
}

static enum outcome jump_if(struct step *s, bool taken)
{
	return taken ? step_jump(s, s->next + s->op[0].imm.value.s) : NEXT;
}

static enum outcome loop(struct step *s)
{
	const ZydisRegister reg = s->i->address_width == 32 ? ZYDIS_REGISTER_ECX
							    : ZYDIS_REGISTER_RCX;
	const uint64_t count = step_get(s, reg) - 1, zf = s->v->regs.rflags & FLAG_ZF;
	const uint64_t to = s->next + s->op[0].imm.value.s;
	bool taken = s->i->address_width == 32 ? (uint32_t)count : count;

	if (s->i->mnemonic == ZYDIS_MNEMONIC_LOOPE)
		taken = taken && zf;
	else if (s->i->mnemonic == ZYDIS_MNEMONIC_LOOPNE)
		taken = taken && !zf;
	if (taken && !step_canonical(to))
		return step_trap(s, VECTOR_GP, 0);
	step_set(s, reg, count);
	return jump_if(s, taken);
}

/* The stack's fault comes before that of the target. */
static enum outcome call(struct step *s)
{
	regs_t *r = &s->v->regs;
	const struct where at = stack_at(r->rsp - 8);
	struct span sp;
	uint64_t to;

	if (!target(s, &to) || !step_reach(s, at, 8, ACCESS_WRITE, &sp))
		return THERE;
	if (!step_canonical(to))
		return step_trap(s, VECTOR_GP, 0);
	if (!step_store(s, at, &s->next, 8))
		return THERE;
	r->rsp -= 8;
	return step_jump(s, to);
}

static enum outcome ret(struct step *s)
{
	regs_t *r = &s->v->regs;
	uint64_t to;

	if (!step_load(s, stack_at(r->rsp), &to, 8))
		return THERE;
	if (!step_canonical(to))
		return step_trap(s, VECTOR_GP, 0);
	r->rsp += 8;
	if (s->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		r->rsp += s->op[0].imm.value.u;
	return step_jump(s, to);
}

static enum outcome jump(struct step *s)
{
	uint64_t to;

	return target(s, &to) ? step_jump(s, to) : THERE;
}

static unsigned width(const struct step *s)
{
	return s->i->operand_width / 8;
}

/* n values of the operand size, from the stack. */
static bool peek(struct step *s, uint64_t *val, unsigned n)
{
	const unsigned bytes = width(s);

	for (unsigned k = 0; k < n; k++) {
		val[k] = 0;
		if (!step_load(s, stack_at(s->v->regs.rsp + k * bytes), &val[k], bytes))
			return false;
	}
	return true;
}

/* Through a pointer in memory: offset, then selector. */
static enum outcome far_jump(struct step *s, bool and_return)
{
	const unsigned n = width(s);
	const struct where at = step_address(s, &s->op[0]);
	uint64_t to = 0, selector = 0, frame[2] = {s->next, s->v->regs.cs};
	regs_t *r = &s->v->regs;

	if (!step_load(s, at, &to, n) ||
	    !step_load(s, (struct where){at.va + n, at.stack}, &selector, 2) ||
	    !step_code_selector(s, selector))
		return THERE;
	if (!step_canonical(to))
		return step_trap(s, VECTOR_GP, 0);
	if (and_return) {
		if (!step_store(s, stack_at(r->rsp - n), &frame[1], n) ||
		    !step_store(s, stack_at(r->rsp - 2 * n), &frame[0], n))
			return THERE;
		r->rsp -= 2 * n;
	}
	r->cs = selector | 3;
	return step_jump(s, to);
}

static enum outcome far_return(struct step *s)
{
	regs_t *r = &s->v->regs;
	uint64_t val[2];

	if (!peek(s, val, 2))
		return THERE;
	if ((val[1] & 3) != 3)
		return step_trap(s, VECTOR_GP, val[1] & 0xfffc);
	if (!step_code_selector(s, val[1] & 0xffff))
		return THERE;
	if (!step_canonical(val[0]))
		return step_trap(s, VECTOR_GP, 0);
	r->rsp += 2 * width(s);
	if (s->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		r->rsp += s->op[0].imm.value.u;
	r->cs = val[1] & 0xffff;
	return step_jump(s, val[0]);
}

/* Within ring 3, which is all there is: both of the guest's modes. */
static enum outcome interrupt_return(struct step *s)
{
	const uint64_t mask = (width(s) == 2 ? FLAGS_POPF & 0xffff : FLAGS_POPF | FLAG_RF);
	regs_t *r = &s->v->regs;
	uint64_t val[5]; /* rip, cs, rflags, rsp, ss */
	enum outcome o;

	if (r->rflags & FLAG_NT)
		return step_trap(s, VECTOR_GP, 0);
	if (!peek(s, val, 5))
		return THERE;
	if ((val[1] & 3) != 3)
		return step_trap(s, VECTOR_GP, val[1] & 0xfffc);
	if (!step_code_selector(s, val[1] & 0xffff) || !step_stack_selector(s, val[4] & 0xffff))
		return THERE;
	if (!step_canonical(val[0]))
		return step_trap(s, VECTOR_GP, 0);
	r->cs = val[1] & 0xffff;
	r->ss = val[4] & 0xffff;
	r->rsp = val[3];
	o = step_jump(s, val[0]);
	r->rflags = (r->rflags & ~mask) | (val[2] & mask);
	return o;
}

/* Behind the instruction, as the CPU reports these. */
static enum outcome software_trap(struct step *s, unsigned vector)
{
	s->v->regs.rip = s->next;
	guest_exception(s->v, vector, 0);
	return THERE;
}

/* Every gate of the CPU but those of 3 and 4 is closed to ring 3. */
static enum outcome interrupt(struct step *s)
{
	const unsigned vector = s->op[0].imm.value.u & 0xff;

	if (vector == VECTOR_BP || vector == VECTOR_OF)
		return software_trap(s, vector);
	guest_soft_interrupt(s->v, vector);
	return THERE;
}

static bool is_far(const struct step *s)
{
	return s->i->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

bool step_flow(struct step *s, enum outcome *o)
{
	regs_t *r = &s->v->regs;

	if (s->i->meta.category == ZYDIS_CATEGORY_COND_BR) {
		switch (s->i->mnemonic) {
		case ZYDIS_MNEMONIC_LOOP:
		case ZYDIS_MNEMONIC_LOOPE:
		case ZYDIS_MNEMONIC_LOOPNE: *o = loop(s); return true;
		case ZYDIS_MNEMONIC_JECXZ: *o = jump_if(s, !(uint32_t)r->rcx); return true;
		case ZYDIS_MNEMONIC_JRCXZ: *o = jump_if(s, !r->rcx); return true;
		default: *o = jump_if(s, condition(r->rflags, s->i->opcode)); return true;
		}
	}
	switch (s->i->mnemonic) {
	case ZYDIS_MNEMONIC_CALL: *o = is_far(s) ? far_jump(s, true) : call(s); return true;
	case ZYDIS_MNEMONIC_JMP: *o = is_far(s) ? far_jump(s, false) : jump(s); return true;
	case ZYDIS_MNEMONIC_RET: *o = is_far(s) ? far_return(s) : ret(s); return true;
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ: *o = interrupt_return(s); return true;
	case ZYDIS_MNEMONIC_INT: *o = interrupt(s); return true;
	case ZYDIS_MNEMONIC_INT3: *o = software_trap(s, VECTOR_BP); return true;
	case ZYDIS_MNEMONIC_INT1: *o = software_trap(s, VECTOR_DB); return true;
	default: return false;
	}
}
