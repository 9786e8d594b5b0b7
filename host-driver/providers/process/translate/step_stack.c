/* SPDX-License-Identifier: MIT */
/* The stack: push, pop, enter, leave, and the flags on their way there and back. */
#include "host-driver/providers/process/translate/step.h"

static struct where stack_at(uint64_t sp)
{
	return (struct where){sp, true};
}

static unsigned width(const struct step *s)
{
	return s->i->operand_width == 16 ? 2 : 8;
}

static enum outcome push(struct step *s, uint64_t val)
{
	regs_t *r = &s->v->regs;
	const unsigned n = width(s);

	if (!step_store(s, stack_at(r->rsp - n), &val, n))
		return THERE;
	r->rsp -= n;
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
		val = s->op[0].reg.value == ZYDIS_REGISTER_FS ? s->v->regs.fs : s->v->regs.gs;
	else if (!step_read(s, &s->op[0], &val))
		return THERE;
	return push(s, val);
}

/* An address that names rsp means the one after the pop. */
static enum outcome pop_operand(struct step *s)
{
	regs_t *r = &s->v->regs;
	const unsigned n = width(s);
	uint64_t val = 0;
	struct where at;

	if (!step_load(s, stack_at(r->rsp), &val, n))
		return THERE;
	if (s->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER) {
		r->rsp += n;
		step_set(s, s->op[0].reg.value, val);
		return NEXT;
	}
	r->rsp += n;
	at = step_address(s, &s->op[0]);
	r->rsp -= n;
	if (!step_store(s, at, &val, n))
		return THERE;
	r->rsp += n;
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
	const unsigned n = width(s);
	const uint64_t mask = n == 2 ? FLAGS_POPF & 0xffff : FLAGS_POPF;
	uint64_t val = 0;

	if (!step_load(s, stack_at(r->rsp), &val, n))
		return THERE;
	r->rsp += n;
	r->rflags = (r->rflags & ~mask) | (val & mask);
	return NEXT;
}

static enum outcome enter(struct step *s)
{
	const unsigned n = width(s), level = s->op[1].imm.value.u & 31;
	const uint64_t frame = s->v->regs.rsp - n;
	regs_t *r = &s->v->regs;
	uint64_t sp = frame, val;
	struct span end;

	if (!step_store(s, stack_at(sp), &r->rbp, n))
		return THERE;
	for (unsigned k = 1; k < level; k++) {
		sp -= n;
		if (!step_load(s, stack_at(r->rbp - k * n), &val, n) ||
		    !step_store(s, stack_at(sp), &val, n))
			return THERE;
	}
	if (level) {
		sp -= n;
		if (!step_store(s, stack_at(sp), &frame, n))
			return THERE;
	}
	/* The CPU looks whether there is a stack where it ends. */
	sp -= s->op[0].imm.value.u;
	if (!step_reach(s, stack_at(sp), n, ACCESS_WRITE, &end))
		return THERE;
	r->rsp = sp;
	if (n == 8)
		r->rbp = frame;
	else
		step_set(s, ZYDIS_REGISTER_BP, frame);
	return NEXT;
}

static enum outcome leave(struct step *s)
{
	regs_t *r = &s->v->regs;
	const unsigned n = width(s);
	const uint64_t frame = r->rbp;
	uint64_t val = 0;

	if (!step_load(s, stack_at(frame), &val, n))
		return THERE;
	step_set(s, n == 2 ? ZYDIS_REGISTER_BP : ZYDIS_REGISTER_RBP, val);
	r->rsp = frame + n;
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
	case ZYDIS_MNEMONIC_PUSHFQ: *o = push(s, flags_pushed(s)); return true;
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFQ: *o = pop_flags(s); return true;
	case ZYDIS_MNEMONIC_ENTER: *o = enter(s); return true;
	case ZYDIS_MNEMONIC_LEAVE: *o = leave(s); return true;
	default: return false;
	}
}
