/* SPDX-License-Identifier: MIT */
/* The stack: push, pop, enter, leave, and the flags on their way there and back. */
#include "host-driver/providers/process/translate/step.h"

static int64_t width(const struct step *s)
{
	return step_stack_width(s);
}

static enum outcome push(struct step *s, uint64_t val)
{
	const int64_t n = width(s);

	if (!step_store(s, step_stack_at(s, -n), &val, n))
		return THERE;
	step_stack_move(s, -n);
	return NEXT;
}

static bool is_selector(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_ES && reg <= ZYDIS_REGISTER_GS;
}

static enum outcome push_operand(struct step *s)
{
	uint64_t val;

	if (s->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && is_selector(s->op[0].reg.value))
		val = step_selector(&s->v->regs, s->op[0].reg.value);
	else if (!step_read(s, &s->op[0], &val))
		return THERE;
	return push(s, val);
}

/* An address that names rsp means the one after the pop. */
static enum outcome pop_operand(struct step *s)
{
	const int64_t n = width(s);
	uint64_t val = 0;
	struct where at;

	if (!step_load(s, step_stack_at(s, 0), &val, n))
		return THERE;
	step_stack_move(s, n);
	if (s->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER) {
		step_set(s, s->op[0].reg.value, val);
		return NEXT;
	}
	at = step_address(s, &s->op[0]);
	step_stack_move(s, -n);
	if (!step_store(s, at, &val, n))
		return THERE;
	step_stack_move(s, n);
	return NEXT;
}

/* IF is always on, and IOPL 0: the CPU's own, in ring 3 of Xen as well. */
static uint64_t flags_pushed(const struct step *s)
{
	return (s->v->regs.rflags & FLAGS_POPF) | FLAG_IF | 2;
}

static enum outcome pop_flags(struct step *s)
{
	regs_t *r = &s->v->regs;
	const int64_t n = width(s);
	const uint64_t mask = n == 2 ? FLAGS_POPF & 0xffff : FLAGS_POPF;
	uint64_t val = 0;

	if (!step_load(s, step_stack_at(s, 0), &val, n))
		return THERE;
	step_stack_move(s, n);
	r->rflags = (r->rflags & ~mask) | (val & mask);
	return NEXT;
}

/* rbp, or what of it counts as an address in the stack. */
static struct where frame_at(const struct step *s, int64_t delta)
{
	return step_stack_at(s, s->v->regs.rbp - s->v->regs.rsp + delta);
}

static void frame_set(struct step *s, uint64_t val)
{
	const int64_t n = width(s);

	step_set(s,
		 n == 2	  ? ZYDIS_REGISTER_BP
		 : n == 4 ? ZYDIS_REGISTER_EBP
			  : ZYDIS_REGISTER_RBP,
		 val);
}

static enum outcome enter(struct step *s)
{
	const unsigned level = s->op[1].imm.value.u & 31;
	const int64_t n = width(s);
	const uint64_t frame = s->v->regs.rsp - n;
	int64_t down = -n;
	uint64_t val;
	struct span end;

	if (!step_store(s, step_stack_at(s, down), &s->v->regs.rbp, n))
		return THERE;
	for (unsigned k = 1; k < level; k++) {
		down -= n;
		if (!step_load(s, frame_at(s, -n * k), &val, n) ||
		    !step_store(s, step_stack_at(s, down), &val, n))
			return THERE;
	}
	if (level) {
		down -= n;
		if (!step_store(s, step_stack_at(s, down), &frame, n))
			return THERE;
	}
	/* The CPU looks whether there is a stack where it ends. */
	down -= (int64_t)s->op[0].imm.value.u;
	if (!step_reach(s, step_stack_at(s, down), n, ACCESS_WRITE, &end))
		return THERE;
	step_stack_move(s, down);
	frame_set(s, frame);
	return NEXT;
}

static enum outcome leave(struct step *s)
{
	const uint64_t frame = s->v->regs.rbp;
	const int64_t n = width(s);
	uint64_t val = 0;

	if (!step_load(s, frame_at(s, 0), &val, n))
		return THERE;
	step_stack_set(s, frame + n);
	frame_set(s, val);
	return NEXT;
}

bool step_stack(struct step *s, enum outcome *o)
{
	switch (s->i->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH: *o = push_operand(s); return true;
	case ZYDIS_MNEMONIC_POP:
		if (s->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && is_selector(s->op[0].reg.value))
			return false;
		*o = pop_operand(s);
		return true;
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ: *o = push(s, flags_pushed(s)); return true;
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ: *o = pop_flags(s); return true;
	case ZYDIS_MNEMONIC_ENTER: *o = enter(s); return true;
	case ZYDIS_MNEMONIC_LEAVE: *o = leave(s); return true;
	default: return false;
	}
}
