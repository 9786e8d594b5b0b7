/* SPDX-License-Identifier: MIT */
/*
 * One instruction of the guest, without translating it: fetched, decoded, and carried out by the
 * file that knows its family, or natively (step_native.c).
 *
 *   step_memory.c   operands          step_segment.c  selectors, descriptors
 *   step_flow.c     control flow      step_system.c   what the monitor answers
 *   step_stack.c    push, pop, flags  step_vector.c   gathers, masked moves
 *   step_string.c   movs and others   step_simple.c   small ones
 *   step_legacy.c   of 32-bit code    step_descriptor.c
 *   step_native.c   everything else, run by the CPU; step_xsave.c for its areas
 *
 * Not as a CPU does it: x87's record of its last instruction says where that really was; FXSAVE,
 * XSAVE and their kin in 32-bit code are about all 16 vector registers.
 */
#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/step.h"

#define INSN_MAX 15

void tr_exception(struct vcpu *v, unsigned vector, uint64_t error)
{
	struct fpu_area area;

	if (tr.check) {
		check_trap(vector, error);
		return;
	}
	fpu_keep(&area);
	guest_exception(v, vector, error);
	fpu_back(&area);
}

enum outcome step_trap(struct step *s, unsigned vector, uint64_t error)
{
	/* What the monitor carries out is at rip, as it reads it: without a base. */
	if (s->cs_base && (vector == VECTOR_GP || vector == VECTOR_UD)) {
		trap_deliver(s->v, vector, vector == VECTOR_GP ? (int64_t)error : -1);
		return THERE;
	}
	tr_exception(s->v, vector, error);
	return THERE;
}

bool step_target_ok(const struct step *s, uint64_t target)
{
	return s->code32 ? target <= s->cs_limit : tr_canonical(target);
}

enum outcome step_jump(struct step *s, uint64_t target)
{
	if (!step_target_ok(s, target))
		return step_trap(s, VECTOR_GP, 0);
	s->v->regs.rip = target;
	s->v->regs.rflags &= ~FLAG_RF;
	return WENT;
}

static bool in(ZydisRegister reg, ZydisRegister first, ZydisRegister last)
{
	return reg >= first && reg <= last;
}

/* Does it raise #NM when CR0.TS is set? */
static bool is_fpu(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op)
{
	switch (i->meta.isa_ext) {
	case ZYDIS_ISA_EXT_X87:
	case ZYDIS_ISA_EXT_MMX:
	case ZYDIS_ISA_EXT_AMD3DNOW:
	case ZYDIS_ISA_EXT_AVX:
	case ZYDIS_ISA_EXT_AVX2:
	case ZYDIS_ISA_EXT_XSAVEC:
	case ZYDIS_ISA_EXT_XSAVEOPT: return true;
	default: break;
	}
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_STMXCSR: return true;
	default: break;
	}
	for (unsigned k = 0; k < i->operand_count; k++)
		if (op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (in(op[k].reg.value, ZYDIS_REGISTER_MM0, ZYDIS_REGISTER_MM7) ||
		     in(op[k].reg.value, ZYDIS_REGISTER_XMM0, ZYDIS_REGISTER_YMM31)))
			return true;
	return false;
}

/* Zydis 4.0 takes REX.B for the number of a base where SIB says there is none, by addr32. */
static void mend_base(struct slot *slot)
{
	const ZydisDecodedInstruction *i = &slot->i;

	if (i->address_width != 32 || !(i->attributes & ZYDIS_ATTRIB_HAS_SIB) ||
	    i->raw.modrm.mod != 0 || i->raw.sib.base != 5)
		return;
	for (unsigned k = 0; k < i->operand_count; k++)
		if (slot->op[k].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) {
			slot->op[k].mem.base = ZYDIS_REGISTER_NONE;
			slot->op[k].mem.disp.has_displacement = true;
			slot->op[k].mem.disp.value = i->raw.disp.value;
		}
}

/* The slot's bytes, of which `n` are there. Zydis may use vector registers. */
static ZyanStatus decode(struct slot *slot, unsigned n, bool code32)
{
	struct fpu_area area;
	ZydisDecoder decoder;
	ZyanStatus rc;

	fpu_keep(&area);
	if (code32)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	rc = ZydisDecoderDecodeFull(&decoder, slot->bytes, n, &slot->i, slot->op);
	fpu_back(&area);
	slot->decoded = ZYAN_SUCCESS(rc);
	slot->emitted = false;
	slot->code32 = code32;
	if (slot->decoded) {
		slot->fpu = is_fpu(&slot->i, slot->op);
		mend_base(slot);
	}
	return rc;
}

static bool same(const uint8_t *a, const uint8_t *b, unsigned n)
{
	while (n && a[n - 1] == b[n - 1])
		n--;
	return !n;
}

/* Not an instruction: what the CPU says of it. */
static bool undecodable(struct step *s, ZyanStatus rc)
{
	step_trap(s,
		  rc == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || rc == ZYDIS_STATUS_NO_MORE_DATA
			  ? VECTOR_GP
			  : VECTOR_UD,
		  0);
	return false;
}

/*
 * The slot of the instruction at rip; what was there at another time need not be decoded again if
 * it is the same still. False: the fault was delivered.
 */
static bool fetch(struct step *s)
{
	const uint64_t rip = s->code32 ? (uint32_t)(s->v->regs.rip + s->cs_base) : s->v->regs.rip;
	const unsigned room = PAGE_SIZE - (rip & ~PAGE_MASK);
	const unsigned first = room < INSN_MAX ? room : INSN_MAX;
	struct slot *slot = native_slot(rip);
	const uint8_t *p;
	ZyanStatus rc;

	s->slot = slot;
	if (!step_target_ok(s, s->v->regs.rip)) {
		step_trap(s, VECTOR_GP, 0);
		return false;
	}
	p = tr_memory(s->v, rip, ACCESS_FETCH);
	if (!p) {
		tr_page_fault(s->v, rip, ACCESS_FETCH);
		return false;
	}
	if (slot->decoded && slot->code32 == s->code32 && slot->i.length <= first &&
	    same(slot->bytes, p, slot->i.length))
		return true;
	step_bytes(slot->bytes, p, first);
	rc = decode(slot, first, s->code32);
	if (rc == ZYDIS_STATUS_NO_MORE_DATA && first < INSN_MAX) {
		p = tr_memory(s->v, rip + room, ACCESS_FETCH);
		if (!p) {
			tr_page_fault(s->v, rip + room, ACCESS_FETCH);
			return false;
		}
		step_bytes(slot->bytes + first, p, INSN_MAX - first);
		rc = decode(slot, INSN_MAX, s->code32);
	}
	return slot->decoded || undecodable(s, rc);
}

static enum outcome carry_out(struct step *s)
{
	enum outcome o;

	if (!step_known(s))
		return step_trap(s, VECTOR_UD, 0);
	if (step_flow(s, &o) || step_stack(s, &o) || step_string(s, &o) || step_segment(s, &o) ||
	    step_legacy(s, &o) || step_simple(s, &o) || step_system(s, &o))
		return o;
	if (s->slot->fpu && s->v->fpu_ts)
		return step_trap(s, VECTOR_NM, 0);
	if (step_vector(s, &o))
		return o;
	return step_native(s);
}

/* The code segment, of which nothing counts in 64-bit code. */
static void code_segment(struct step *s)
{
	uint64_t e;

	s->cs_limit = ~0UL;
	if (s->v->regs.cs == SEL_KERNEL_CS || descriptor_code_fault(s->v, s->v->regs.cs, &e) ||
	    e & DESC_L)
		return;
	s->code32 = true;
	s->cs_base = descriptor_start(e);
	s->cs_limit = descriptor_limit(e);
}

bool tr_step(struct vcpu *v)
{
	struct step s = {.v = v};
	enum outcome o;

	code_segment(&s);
	if (!fetch(&s))
		return false;
	s.i = &s.slot->i;
	s.op = s.slot->op;
	s.next = v->regs.rip + s.i->length;
	if (s.code32)
		s.next = (uint32_t)s.next;
	o = carry_out(&s);
	if (o == NEXT) {
		v->regs.rip = s.next;
		v->regs.rflags &= ~FLAG_RF;
	}
	return o != THERE && !s.no_trap;
}

int tr_step_init(void)
{
	xsave_init();
	system_init();
	return native_init();
}
