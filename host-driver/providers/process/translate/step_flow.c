/* SPDX-License-Identifier: MIT */
/* Control flow within the guest: near and far transfers, and interrupts by instruction. */
#include "host-driver/providers/process/translate/step.h"

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

/* Bytes of a return address. 66 on a near branch counts in 32-bit code alone. */
static unsigned near_width(const struct step *s)
{
	return s->code32 ? s->i->operand_width / 8 : 8;
}

static uint64_t relative(const struct step *s)
{
	const uint64_t to = s->next + s->op[0].imm.value.s;

	if (!s->code32)
		return to;
	return s->i->operand_width == 16 ? (uint16_t)to : (uint32_t)to;
}

/* Where a near branch goes. */
static bool target(struct step *s, uint64_t *to)
{
	if (s->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		*to = relative(s);
		return true;
	}
	return step_read(s, &s->op[0], to);
}

static enum outcome jump_if(struct step *s, bool taken)
{
	return taken ? step_jump(s, relative(s)) : NEXT;
}

static ZydisRegister counter(const struct step *s)
{
	switch (s->i->address_width) {
	case 16: return ZYDIS_REGISTER_CX;
	case 32: return ZYDIS_REGISTER_ECX;
	default: return ZYDIS_REGISTER_RCX;
	}
}

static enum outcome loop(struct step *s)
{
	const ZydisRegister reg = counter(s);
	const uint64_t count = step_get(s, reg) - 1, zf = s->v->regs.rflags & FLAG_ZF;
	bool taken = count & step_address_mask(s);

	if (s->i->mnemonic == ZYDIS_MNEMONIC_LOOPE)
		taken = taken && zf;
	else if (s->i->mnemonic == ZYDIS_MNEMONIC_LOOPNE)
		taken = taken && !zf;
	if (taken && !step_target_ok(s, relative(s)))
		return step_trap(s, VECTOR_GP, 0);
	step_set(s, reg, count);
	return jump_if(s, taken);
}

/* The stack's fault comes before that of the target. */
static enum outcome call(struct step *s)
{
	const unsigned n = near_width(s);
	const struct where at = step_stack_at(s, -(int64_t)n);
	struct span sp;
	uint64_t to;

	if (!target(s, &to) || !step_reach(s, at, n, ACCESS_WRITE, &sp))
		return THERE;
	if (!step_target_ok(s, to))
		return step_trap(s, VECTOR_GP, 0);
	if (!step_store(s, at, &s->next, n))
		return THERE;
	step_stack_move(s, -(int64_t)n);
	return step_jump(s, to);
}

/* The return address and its own constant off the stack. */
static void drop(struct step *s, unsigned n)
{
	if (s->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		n += s->op[0].imm.value.u;
	step_stack_move(s, n);
}

static enum outcome ret(struct step *s)
{
	const unsigned n = near_width(s);
	uint64_t to = 0;

	if (!step_load(s, step_stack_at(s, 0), &to, n))
		return THERE;
	if (!step_target_ok(s, to))
		return step_trap(s, VECTOR_GP, 0);
	drop(s, n);
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
		if (!step_load(s, step_stack_at(s, k * bytes), &val[k], bytes))
			return false;
	}
	return true;
}

/* To code of either width: what the caller's was no longer matters. */
static enum outcome go(struct step *s, uint64_t selector, uint64_t to)
{
	s->v->regs.cs = selector | 3;
	s->v->regs.rip = to;
	s->v->regs.rflags &= ~FLAG_RF;
	return WENT;
}

/* By a pointer, offset and selector, in memory or in the instruction. */
static bool far_pointer(struct step *s, uint64_t *to, uint64_t *selector)
{
	const unsigned n = width(s);
	struct where at;

	*to = *selector = 0;
	if (s->op[0].type == ZYDIS_OPERAND_TYPE_POINTER) {
		*to = s->op[0].ptr.offset;
		*selector = s->op[0].ptr.segment;
		return true;
	}
	at = step_address(s, &s->op[0]);
	return step_load(s, at, to, n) && step_load(s, step_behind(s, at, n), selector, 2);
}

static enum outcome far_jump(struct step *s, bool and_return)
{
	const int64_t n = width(s);
	uint64_t to, selector, frame[2] = {s->next, s->v->regs.cs};

	if (!far_pointer(s, &to, &selector) || !step_code_selector(s, selector, to))
		return THERE;
	if (and_return) {
		if (!step_store(s, step_stack_at(s, -n), &frame[1], n) ||
		    !step_store(s, step_stack_at(s, -2 * n), &frame[0], n))
			return THERE;
		step_stack_move(s, -2 * n);
	}
	return go(s, selector, to);
}

static enum outcome far_return(struct step *s)
{
	uint64_t val[2];

	if (!peek(s, val, 2))
		return THERE;
	if ((val[1] & 3) != 3)
		return step_trap(s, VECTOR_GP, val[1] & 0xfffc);
	if (!step_code_selector(s, val[1] & 0xffff, val[0]))
		return THERE;
	drop(s, 2 * width(s));
	return go(s, val[1] & 0xffff, val[0]);
}

/*
 * Within ring 3, which is all there is: both of the guest's modes. 64-bit code has a stack pointer
 * in the frame even so.
 */
static enum outcome interrupt_return(struct step *s)
{
	const uint64_t mask = (width(s) == 2 ? FLAGS_POPF & 0xffff : FLAGS_POPF | FLAG_RF);
	const unsigned n = s->code32 ? 3 : 5;
	regs_t *r = &s->v->regs;
	uint64_t val[5]; /* rip, cs, rflags, rsp, ss */

	if (r->rflags & FLAG_NT)
		return step_trap(s, VECTOR_GP, 0);
	if (!peek(s, val, n))
		return THERE;
	if ((val[1] & 3) != 3)
		return step_trap(s, VECTOR_GP, val[1] & 0xfffc);
	if (!step_code_selector(s, val[1] & 0xffff, val[0]) ||
	    (n == 5 && !step_stack_selector(s, val[4] & 0xffff)))
		return THERE;
	if (n == 5) {
		r->ss = val[4] & 0xffff;
		r->rsp = val[3];
	} else {
		step_stack_move(s, n * width(s));
	}
	go(s, val[1] & 0xffff, val[0]);
	r->rflags = (r->rflags & ~mask) | (val[2] & mask);
	return WENT;
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
		case ZYDIS_MNEMONIC_JCXZ:
		case ZYDIS_MNEMONIC_JECXZ:
		case ZYDIS_MNEMONIC_JRCXZ:
			*o = jump_if(s, !(r->rcx & step_address_mask(s)));
			return true;
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
	case ZYDIS_MNEMONIC_INTO:
		*o = r->rflags & FLAG_OF ? software_trap(s, VECTOR_OF) : NEXT;
		return true;
	case ZYDIS_MNEMONIC_INT1: *o = software_trap(s, VECTOR_DB); return true;
	default: return false;
	}
}
