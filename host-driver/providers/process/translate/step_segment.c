/* SPDX-License-Identifier: MIT */
/*
 * Selectors. A descriptor has no effect in 64-bit mode but for the bases of FS and GS, and what
 * LAR, LSL and the like say of it; they are the guest's, from its GDT and LDT (Intel SDM vol. 3,
 * 3.4 and 5), and of Xen's own the flat ones of ring 3.
 */
#include "host-driver/providers/process/translate/step.h"
#include "hypercalls/monitor/mm.h"

#define DESC_P		(1UL << 47)
#define DESC_S		(1UL << 44)
#define DESC_CODE	(1UL << 43)
#define DESC_CONFORMING (1UL << 42)
#define DESC_RW		(1UL << 41) /* readable code, writable data */
#define DESC_L		(1UL << 53)
#define DESC_G		(1UL << 55)
#define desc_dpl(e)	((e) >> 45 & 3)
#define desc_type(e)	((e) >> 40 & 15)
#define TYPE_CALL_GATE	12
#define SYSTEM_OK	0x0a04 /* types 2, 9 and 11: LDT and TSS, which have a limit */
#define SELECTOR_FLAT32 0xe023
#define SELECTOR_TASK	0xe040 /* where Xen has its TSS and a vCPU's LDT */
#define SELECTOR_LDT	0xe050
#define FLAT_CODE32	0x00cffb000000ffffUL
#define FLAT_DATA	0x00cff3000000ffffUL
#define FLAT_CODE64	0x00affb000000ffffUL
#define GDT_FOR_ALL	0xfffffffffffe0000UL /* what Linux tells a program under UMIP */
#define IDT_FOR_ALL	0xffffffffffff0000UL

/* FAULTED: its page is not there, or cannot be one of descriptors; delivered. */
enum found { FOUND_NONE, FOUND_ONE, FAULTED };

static enum found of_ldt(struct vcpu *v, unsigned n, uint64_t *e)
{
	const unsigned page = n / 512;
	const uint64_t *table;

	if (n >= v->ldt_entries)
		return FOUND_NONE;
	if (!v->ldt_mfn[page]) {
		pthread_mutex_lock(&v->d->lock);
		ldt_map(v, page);
		pthread_mutex_unlock(&v->d->lock);
	}
	table = v->ldt_mfn[page] ? frame_ptr(v->d, v->ldt_mfn[page]) : NULL;
	if (!table) {
		guest_page_fault(v, v->ldt_base + 8 * n, 0);
		return FAULTED;
	}
	*e = table[n % 512];
	return FOUND_ONE;
}

static enum found of_gdt(struct vcpu *v, unsigned n, uint64_t *e)
{
	const uint64_t *table = NULL;

	switch (n) {
	case SELECTOR_FLAT32 >> 3: *e = FLAT_CODE32; return FOUND_ONE;
	case SEL_KERNEL_SS >> 3: *e = FLAT_DATA; return FOUND_ONE;
	case SEL_KERNEL_CS >> 3: *e = FLAT_CODE64; return FOUND_ONE;
	}
	if (n < v->gdt_entries)
		table = frame_ptr(v->d, v->gdt_mfn[n / 512]);
	if (!table)
		return FOUND_NONE;
	*e = table[n % 512];
	return FOUND_ONE;
}

static bool is_null(uint64_t selector)
{
	return !(selector & 0xfffc);
}

static enum found descriptor(struct vcpu *v, uint64_t selector, uint64_t *e)
{
	const unsigned n = (selector & 0xffff) >> 3;

	return selector & 4 ? of_ldt(v, n, e) : of_gdt(v, n, e);
}

static uint64_t base_of(uint64_t e)
{
	return (e >> 16 & 0xffffff) | (e >> 56) << 24;
}

static uint64_t limit_of(uint64_t e)
{
	const uint64_t limit = (e & 0xffff) | (e >> 32 & 0xf0000);

	return e & DESC_G ? limit << 12 | 0xfff : limit;
}

static bool refuse(struct step *s, unsigned vector, uint64_t selector)
{
	step_trap(s, vector, selector & 0xfffc);
	return false;
}

/* False: there is none, and what the CPU raises then was delivered. */
static bool required(struct step *s, uint64_t selector, uint64_t *e)
{
	const enum found found = is_null(selector) ? FOUND_NONE : descriptor(s->v, selector, e);

	return found == FOUND_ONE || (found == FOUND_NONE && refuse(s, VECTOR_GP, selector));
}

bool step_code_selector(struct step *s, uint64_t selector)
{
	uint64_t e;

	if (!required(s, selector, &e))
		return false;
	if (!(e & DESC_S) || !(e & DESC_CODE) || !(e & DESC_L) || desc_dpl(e) != 3)
		return refuse(s, VECTOR_GP, selector);
	return e & DESC_P || refuse(s, VECTOR_NP, selector);
}

bool step_stack_selector(struct step *s, uint64_t selector)
{
	uint64_t e;

	if (!required(s, selector, &e))
		return false;
	if ((selector & 3) != 3 || !(e & DESC_S) || e & DESC_CODE || !(e & DESC_RW) ||
	    desc_dpl(e) != 3)
		return refuse(s, VECTOR_GP, selector);
	return e & DESC_P || refuse(s, VECTOR_SS, selector);
}

/* For DS, ES, FS and GS: its base, 0 of a null one. */
static bool data_selector(struct step *s, uint64_t selector, uint64_t *base)
{
	uint64_t e;

	*base = 0;
	if (is_null(selector))
		return true;
	if (!required(s, selector, &e))
		return false;
	if (!(e & DESC_S) || (e & DESC_CODE && !(e & DESC_RW)) ||
	    (!(e & DESC_CODE && e & DESC_CONFORMING) && desc_dpl(e) != 3))
		return refuse(s, VECTOR_GP, selector);
	*base = base_of(e);
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
		s->no_trap = true;
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

static uint64_t selector_of(const regs_t *r, ZydisRegister segment)
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

static bool is_selector(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value >= ZYDIS_REGISTER_ES &&
	       op->reg.value <= ZYDIS_REGISTER_GS;
}

static bool mov(struct step *s, enum outcome *o)
{
	uint64_t val;

	if (is_selector(&s->op[1])) {
		val = selector_of(&s->v->regs, s->op[1].reg.value);
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
			     ? NEXT
			     : THERE;
	return true;
}

static enum outcome pop(struct step *s)
{
	const unsigned n = s->i->operand_width == 16 ? 2 : 8;
	uint64_t val = 0;

	if (!step_load(s, (struct where){s->v->regs.rsp, true}, &val, n) ||
	    !load_selector(s, s->op[0].reg.value, val & 0xffff))
		return THERE;
	s->v->regs.rsp += n;
	return NEXT;
}

/* lss, lfs, lgs: an offset, then a selector. */
static enum outcome load_far(struct step *s, ZydisRegister segment)
{
	const unsigned n = s->op[0].size / 8;
	const struct where at = step_address(s, &s->op[1]);
	uint64_t val = 0, selector = 0;

	if (!step_load(s, at, &val, n) ||
	    !step_load(s, (struct where){at.va + n, at.stack}, &selector, 2) ||
	    !load_selector(s, segment, selector))
		return THERE;
	step_set(s, s->op[0].reg.value, val);
	return NEXT;
}

/* One that ring 3 may know of. */
static enum found examine(struct step *s, uint64_t selector, uint64_t *e)
{
	const enum found found = is_null(selector) ? FOUND_NONE : descriptor(s->v, selector, e);
	const uint64_t conforming = DESC_S | DESC_CODE | DESC_CONFORMING;

	if (found == FOUND_ONE && (*e & conforming) != conforming && desc_dpl(*e) != 3)
		return FOUND_NONE;
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
	enum found found;
	bool ok;

	if (s->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		selector = step_get(s, s->op[1].reg.value) & 0xffff;
	else if (!step_load(s, step_address(s, &s->op[1]), &selector, 2))
		return THERE;
	found = examine(s, selector, &e);
	if (found == FAULTED)
		return THERE;
	ok = found == FOUND_ONE;
	if (ok && !(e & DESC_S))
		ok = SYSTEM_OK >> desc_type(e) & 1 || (lar && desc_type(e) == TYPE_CALL_GATE);
	if (ok)
		step_set(s, s->op[0].reg.value, lar ? e >> 32 & 0xf0ff00 : limit_of(e));
	return say(s, ok);
}

static enum outcome verify(struct step *s)
{
	uint64_t selector, e = 0;
	enum found found;
	bool ok;

	if (!step_read(s, &s->op[0], &selector))
		return THERE;
	found = examine(s, selector & 0xffff, &e);
	if (found == FAULTED)
		return THERE;
	ok = found == FOUND_ONE && e & DESC_S;
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

	return step_store(s, step_address(s, &s->op[0]), &t, sizeof(t)) ? NEXT : THERE;
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
	if (!step_canonical(val))
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
