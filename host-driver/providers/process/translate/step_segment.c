/* SPDX-License-Identifier: MIT */
/*
 * Selectors. A descriptor has no effect in 64-bit mode but for the bases of FS and GS, and what
 * LAR, LSL and the like say of it; in 32-bit code it is looked at with every access.
 */
#include "host-driver/providers/process/translate/step.h"
#include "hypercalls/monitor/mm.h"

#define TYPE_CALL_GATE 12
#define SYSTEM_OK      0x0a04 /* types 2, 9 and 11: LDT and TSS, which have a limit */
#define SELECTOR_TASK  0xe040 /* where Xen has its TSS and a vCPU's LDT */
#define SELECTOR_LDT   0xe050
#define GDT_FOR_ALL    0xfffffffffffe0000UL /* what Linux tells a program under UMIP */
#define IDT_FOR_ALL    0xffffffffffff0000UL

uint64_t step_selector(const regs_t *r, ZydisRegister segment)
{
	switch (segment) {
	case ZYDIS_REGISTER_ES: return r->es;
	case ZYDIS_REGISTER_CS: return r->cs;
	case ZYDIS_REGISTER_SS: return r->ss;
	case ZYDIS_REGISTER_DS: return r->ds;
	case ZYDIS_REGISTER_FS: return r->fs;
	default: return r->gs;
	}
}

uint64_t step_segment_base(const struct step *s, ZydisRegister segment)
{
	const struct vcpu *v = s->v;

	if (segment == ZYDIS_REGISTER_FS)
		return v->fs_base;
	if (segment == ZYDIS_REGISTER_GS)
		return v->kernel_mode ? v->gs_base_kernel : v->gs_base_user;
	return 0;
}

/* A #PF is about the descriptor: its page of the LDT is not there, or cannot be one of an LDT. */
static bool refuse(struct step *s, unsigned vector, uint64_t selector)
{
	if (vector == VECTOR_PF)
		guest_page_fault(s->v, s->v->ldt_base + (selector & 0xfff8), 0);
	else
		step_trap(s, vector, selector & 0xfffc);
	return false;
}

/* False: there is none, and what the CPU raises then was delivered. */
static bool required(struct step *s, uint64_t selector, uint64_t *e)
{
	switch (selector_null(selector) ? LOOKUP_NONE : descriptor_get(s->v, selector, e)) {
	case LOOKUP_ONE: return true;
	case LOOKUP_FAULT: return refuse(s, VECTOR_PF, selector);
	default: return refuse(s, VECTOR_GP, selector);
	}
}

bool step_code_selector(struct step *s, uint64_t selector, uint64_t target)
{
	uint64_t e;
	const unsigned vector = descriptor_code_fault(s->v, selector, &e);

	if (vector)
		return refuse(s, vector, selector);
	return (e & DESC_L ? tr_canonical(target) : target <= descriptor_limit(e)) ||
	       refuse(s, VECTOR_GP, 0);
}

bool step_stack_selector(struct step *s, uint64_t selector)
{
	const unsigned vector = descriptor_stack_fault(s->v, selector);

	return !vector || refuse(s, vector, selector);
}

/* For DS, ES, FS and GS: its base, 0 of a null one. */
static bool data_selector(struct step *s, uint64_t selector, uint64_t *base)
{
	uint64_t e;

	*base = 0;
	if (selector_null(selector))
		return true;
	if (!required(s, selector, &e))
		return false;
	if (!(e & DESC_S) || (e & DESC_CODE && !(e & DESC_RW)) ||
	    (!(e & DESC_CODE && e & DESC_CONFORMING) && desc_dpl(e) != 3))
		return refuse(s, VECTOR_GP, selector);
	*base = descriptor_start(e);
	return e & DESC_P || refuse(s, VECTOR_NP, selector);
}

static void set_base(struct step *s, ZydisRegister segment, uint64_t base)
{
	struct vcpu *v = s->v;

	if (segment == ZYDIS_REGISTER_FS)
		v->fs_base = base;
	else if (v->kernel_mode)
		v->gs_base_kernel = base;
	else
		v->gs_base_user = base;
	v->d->provider->load_segments(v);
}

static bool load_selector(struct step *s, ZydisRegister segment, uint64_t selector)
{
	regs_t *r = &s->v->regs;
	uint64_t base;

	if (segment == ZYDIS_REGISTER_SS) {
		if (!step_stack_selector(s, selector))
			return false;
		r->ss = selector;
		return true;
	}
	if (!data_selector(s, selector, &base))
		return false;
	switch (segment) {
	case ZYDIS_REGISTER_DS: r->ds = selector; return true;
	case ZYDIS_REGISTER_ES: r->es = selector; return true;
	case ZYDIS_REGISTER_FS: r->fs = selector; break;
	default: r->gs = selector;
	}
	set_base(s, segment, base);
	return true;
}

/* mov and pop: what comes next is to load rsp. lss has done so itself. */
static enum outcome loaded(struct step *s, ZydisRegister segment)
{
	s->no_trap = segment == ZYDIS_REGISTER_SS;
	return NEXT;
}

static bool is_selector(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value >= ZYDIS_REGISTER_ES &&
	       op->reg.value <= ZYDIS_REGISTER_GS;
}

static bool mov(struct step *s, enum outcome *o)
{
	uint64_t val;

	if (is_selector(&s->op[1])) {
		val = step_selector(&s->v->regs, s->op[1].reg.value);
		*o = step_write(s, &s->op[0], val) ? NEXT : THERE;
		return true;
	}
	if (!is_selector(&s->op[0]))
		return false;
	if (s->op[0].reg.value == ZYDIS_REGISTER_CS)
		*o = step_trap(s, VECTOR_UD, 0);
	else
		*o = step_read(s, &s->op[1], &val) &&
				     load_selector(s, s->op[0].reg.value, val & 0xffff)
			     ? loaded(s, s->op[0].reg.value)
			     : THERE;
	return true;
}

static enum outcome pop(struct step *s)
{
	const unsigned n = step_stack_width(s);
	uint64_t val = 0;

	if (!step_load(s, step_stack_at(s, 0), &val, n) ||
	    !load_selector(s, s->op[0].reg.value, val & 0xffff))
		return THERE;
	step_stack_move(s, n);
	return loaded(s, s->op[0].reg.value);
}

/* lss, lfs, lgs, lds, les: an offset, then a selector. */
static enum outcome load_far(struct step *s, ZydisRegister segment)
{
	const unsigned n = s->op[0].size / 8;
	const struct where at = step_address(s, &s->op[1]);
	uint64_t val = 0, selector = 0;

	if (!step_load(s, at, &val, n) || !step_load(s, step_behind(s, at, n), &selector, 2) ||
	    !load_selector(s, segment, selector))
		return THERE;
	step_set(s, s->op[0].reg.value, val);
	return NEXT;
}

/* One that ring 3 may know of; FAULT: it was delivered. */
static enum lookup examine(struct step *s, uint64_t selector, uint64_t *e)
{
	const enum lookup found = selector_null(selector) ? LOOKUP_NONE
							  : descriptor_get(s->v, selector, e);
	const uint64_t conforming = DESC_S | DESC_CODE | DESC_CONFORMING;

	if (found == LOOKUP_FAULT)
		refuse(s, VECTOR_PF, selector);
	if (found == LOOKUP_ONE && (*e & conforming) != conforming && desc_dpl(*e) != 3)
		return LOOKUP_NONE;
	return found;
}

static enum outcome say(struct step *s, bool ok)
{
	regs_t *r = &s->v->regs;

	r->rflags = ok ? r->rflags | FLAG_ZF : r->rflags & ~FLAG_ZF;
	return NEXT;
}

static enum outcome lar_lsl(struct step *s)
{
	const bool lar = s->i->mnemonic == ZYDIS_MNEMONIC_LAR;
	uint64_t selector = 0, e = 0;
	enum lookup found;
	bool ok;

	if (s->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		selector = step_get(s, s->op[1].reg.value) & 0xffff;
	else if (!step_load(s, step_address(s, &s->op[1]), &selector, 2))
		return THERE;
	found = examine(s, selector, &e);
	if (found == LOOKUP_FAULT)
		return THERE;
	ok = found == LOOKUP_ONE;
	if (ok && !(e & DESC_S))
		ok = SYSTEM_OK >> desc_type(e) & 1 || (lar && desc_type(e) == TYPE_CALL_GATE);
	if (ok)
		step_set(s, s->op[0].reg.value, lar ? e >> 32 & 0xf0ff00 : descriptor_limit(e));
	return say(s, ok);
}

static enum outcome verify(struct step *s)
{
	uint64_t selector, e = 0;
	enum lookup found;
	bool ok;

	if (!step_read(s, &s->op[0], &selector))
		return THERE;
	found = examine(s, selector & 0xffff, &e);
	if (found == LOOKUP_FAULT)
		return THERE;
	ok = found == LOOKUP_ONE && e & DESC_S;
	if (s->i->mnemonic == ZYDIS_MNEMONIC_VERR)
		ok = ok && (!(e & DESC_CODE) || e & DESC_RW);
	else
		ok = ok && !(e & DESC_CODE) && e & DESC_RW;
	return say(s, ok);
}

/* No host's: the same for every guest. */
static enum outcome table(struct step *s, uint64_t base)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) t = {0, base};
	const unsigned n = s->code32 ? 6 : sizeof(t);

	return step_store(s, step_address(s, &s->op[0]), &t, n) ? NEXT : THERE;
}

static enum outcome bases(struct step *s, ZydisRegister segment, bool write)
{
	uint64_t val;

	if (!(s->v->cr4 & CR4_FSGSBASE))
		return step_trap(s, VECTOR_UD, 0);
	if (!write) {
		step_set(s, s->op[0].reg.value, step_segment_base(s, segment));
		return NEXT;
	}
	val = step_get(s, s->op[0].reg.value);
	if (!tr_canonical(val))
		return step_trap(s, VECTOR_GP, 0);
	set_base(s, segment, val);
	return NEXT;
}

static enum outcome put(struct step *s, uint64_t val)
{
	return step_write(s, &s->op[0], val) ? NEXT : THERE;
}

bool step_segment(struct step *s, enum outcome *o)
{
	switch (s->i->mnemonic) {
	case ZYDIS_MNEMONIC_MOV: return mov(s, o);
	case ZYDIS_MNEMONIC_POP: *o = pop(s); return true;
	case ZYDIS_MNEMONIC_LSS: *o = load_far(s, ZYDIS_REGISTER_SS); return true;
	case ZYDIS_MNEMONIC_LDS: *o = load_far(s, ZYDIS_REGISTER_DS); return true;
	case ZYDIS_MNEMONIC_LES: *o = load_far(s, ZYDIS_REGISTER_ES); return true;
	case ZYDIS_MNEMONIC_LFS: *o = load_far(s, ZYDIS_REGISTER_FS); return true;
	case ZYDIS_MNEMONIC_LGS: *o = load_far(s, ZYDIS_REGISTER_GS); return true;
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL: *o = lar_lsl(s); return true;
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW: *o = verify(s); return true;
	case ZYDIS_MNEMONIC_SGDT: *o = table(s, GDT_FOR_ALL); return true;
	case ZYDIS_MNEMONIC_SIDT: *o = table(s, IDT_FOR_ALL); return true;
	case ZYDIS_MNEMONIC_STR: *o = put(s, SELECTOR_TASK); return true;
	case ZYDIS_MNEMONIC_SLDT: *o = put(s, s->v->ldt_entries ? SELECTOR_LDT : 0); return true;
	case ZYDIS_MNEMONIC_SMSW: *o = put(s, s->v->cr0); return true;
	case ZYDIS_MNEMONIC_RDFSBASE: *o = bases(s, ZYDIS_REGISTER_FS, false); return true;
	case ZYDIS_MNEMONIC_RDGSBASE: *o = bases(s, ZYDIS_REGISTER_GS, false); return true;
	case ZYDIS_MNEMONIC_WRFSBASE: *o = bases(s, ZYDIS_REGISTER_FS, true); return true;
	case ZYDIS_MNEMONIC_WRGSBASE: *o = bases(s, ZYDIS_REGISTER_GS, true); return true;
	default: return false;
	}
}
