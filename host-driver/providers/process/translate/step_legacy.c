/* SPDX-License-Identifier: MIT */
/*
 * What there is in 32-bit code alone (Intel SDM vol. 2): all registers pushed and popped, decimal
 * arithmetic, bounds, the one-byte inc and dec, arpl.
 */
#include "host-driver/providers/process/translate/step.h"

static enum outcome push_all(struct step *s)
{
	const int64_t n = step_stack_width(s);
	regs_t *r = &s->v->regs;
	const uint64_t val[8] = {r->rdi, r->rsi, r->rbp, r->rsp, r->rbx, r->rdx, r->rcx, r->rax};
	uint8_t frame[32];

	for (unsigned k = 0; k < 8; k++)
		step_bytes(frame + k * n, &val[k], n);
	if (!step_store(s, step_stack_at(s, -8 * n), frame, 8 * n))
		return THERE;
	step_stack_move(s, -8 * n);
	return NEXT;
}

static enum outcome pop_all(struct step *s)
{
	static const ZydisRegister reg[2][8] = {
		{ZYDIS_REGISTER_DI, ZYDIS_REGISTER_SI, ZYDIS_REGISTER_BP, ZYDIS_REGISTER_NONE,
		 ZYDIS_REGISTER_BX, ZYDIS_REGISTER_DX, ZYDIS_REGISTER_CX, ZYDIS_REGISTER_AX},
		{ZYDIS_REGISTER_EDI, ZYDIS_REGISTER_ESI, ZYDIS_REGISTER_EBP, ZYDIS_REGISTER_NONE,
		 ZYDIS_REGISTER_EBX, ZYDIS_REGISTER_EDX, ZYDIS_REGISTER_ECX, ZYDIS_REGISTER_EAX},
	};
	const int64_t n = step_stack_width(s);
	uint8_t frame[32];

	if (!step_load(s, step_stack_at(s, 0), frame, 8 * n))
		return THERE;
	for (unsigned k = 0; k < 8; k++) {
		uint64_t val = 0;

		step_bytes(&val, frame + k * n, n);
		if (reg[n == 4][k] != ZYDIS_REGISTER_NONE)
			step_set(s, reg[n == 4][k], val);
	}
	step_stack_move(s, 8 * n);
	return NEXT;
}

static uint64_t flag(bool is, uint64_t which)
{
	return is ? which : 0;
}

/* SF, ZF and PF of AL, and those that are given; OF, which is undefined, off. */
static enum outcome decimal(struct step *s, uint8_t al, uint64_t flags)
{
	regs_t *r = &s->v->regs;

	step_set(s, ZYDIS_REGISTER_AL, al);
	flags |= flag(al & 0x80, FLAG_SF) | flag(!al, FLAG_ZF) |
		 flag(!__builtin_parity(al), FLAG_PF);
	r->rflags = (r->rflags & ~FLAGS_ARITH) | flags;
	return NEXT;
}

/* daa, das: AL as two digits after an addition or subtraction of such. */
static enum outcome adjust_packed(struct step *s, bool subtract)
{
	const uint64_t f = s->v->regs.rflags;
	const uint8_t old = s->v->regs.rax;
	const bool low = (old & 15) > 9 || f & FLAG_AF;
	const bool high = old > 0x99 || f & FLAG_CF;
	const uint8_t by = (low ? 6 : 0) + (high ? 0x60 : 0);
	const bool borrow = subtract && low && old < 6;

	return decimal(s, subtract ? old - by : old + by,
		       flag(low, FLAG_AF) | flag(high || borrow, FLAG_CF));
}

/* aaa, aas: AL as one digit, with the carry to AH. */
static enum outcome adjust_digit(struct step *s, bool subtract)
{
	regs_t *r = &s->v->regs;
	const bool carry = (r->rax & 15) > 9 || r->rflags & FLAG_AF;
	const uint16_t by = carry ? 0x106 : 0;
	uint16_t ax = subtract ? r->rax - by : r->rax + by;

	step_set(s, ZYDIS_REGISTER_AX, ax & 0xff0f);
	return decimal(s, ax & 15, flag(carry, FLAG_AF | FLAG_CF));
}

static enum outcome split(struct step *s)
{
	const uint8_t base = s->op[0].imm.value.u, al = s->v->regs.rax;

	if (!base)
		return step_trap(s, VECTOR_DE, 0);
	step_set(s, ZYDIS_REGISTER_AH, al / base);
	return decimal(s, al % base, 0);
}

static enum outcome join(struct step *s)
{
	const uint8_t base = s->op[0].imm.value.u;
	const uint16_t ax = s->v->regs.rax;

	step_set(s, ZYDIS_REGISTER_AH, 0);
	return decimal(s, (ax >> 8) * base + ax, 0);
}

/* Signed: an index, and the first and last that are good. */
static enum outcome bound(struct step *s)
{
	const unsigned bits = s->op[0].size, up = 64 - bits;
	const struct where at = step_address(s, &s->op[1]);
	const int64_t index = (int64_t)(step_get(s, s->op[0].reg.value) << up) >> up;
	uint64_t first = 0, last = 0;

	if (!step_load(s, at, &first, bits / 8) ||
	    !step_load(s, step_behind(s, at, bits / 8), &last, bits / 8))
		return THERE;
	if (index < (int64_t)(first << up) >> up || index > (int64_t)(last << up) >> up)
		return step_trap(s, VECTOR_BR, 0);
	return NEXT;
}

/* CF stays. */
static enum outcome count(struct step *s, bool up)
{
	const uint64_t old = step_get(s, s->op[0].reg.value), val = up ? old + 1 : old - 1;
	const uint64_t sign = 1UL << (s->op[0].size - 1), bits = sign | (sign - 1);
	regs_t *r = &s->v->regs;

	step_set(s, s->op[0].reg.value, val);
	r->rflags &= ~(FLAGS_ARITH & ~FLAG_CF);
	r->rflags |= flag(!(val & bits), FLAG_ZF) | flag(val & sign, FLAG_SF) |
		     flag(!__builtin_parity(val & 0xff), FLAG_PF) |
		     flag((old ^ val) & 16, FLAG_AF) |
		     flag((old ^ val) & (up ? val : old) & sign, FLAG_OF);
	return NEXT;
}

/* The privilege of one selector, raised to that of another. */
static enum outcome arpl(struct step *s)
{
	const uint64_t rpl = step_get(s, s->op[1].reg.value) & 3;
	regs_t *r = &s->v->regs;
	uint64_t val;

	if (!step_read(s, &s->op[0], &val))
		return THERE;
	if ((val & 3) >= rpl) {
		r->rflags &= ~FLAG_ZF;
		return NEXT;
	}
	if (!step_write(s, &s->op[0], (val & ~3UL) | rpl))
		return THERE;
	r->rflags |= FLAG_ZF;
	return NEXT;
}

bool step_legacy(struct step *s, enum outcome *o)
{
	const bool one_byte = s->i->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
			      (s->i->opcode & 0xf0) == 0x40;

	if (!s->code32)
		return false;
	if (one_byte) {
		*o = count(s, s->i->mnemonic == ZYDIS_MNEMONIC_INC);
		return true;
	}
	switch (s->i->mnemonic) {
	case ZYDIS_MNEMONIC_PUSHA:
	case ZYDIS_MNEMONIC_PUSHAD: *o = push_all(s); return true;
	case ZYDIS_MNEMONIC_POPA:
	case ZYDIS_MNEMONIC_POPAD: *o = pop_all(s); return true;
	case ZYDIS_MNEMONIC_DAA: *o = adjust_packed(s, false); return true;
	case ZYDIS_MNEMONIC_DAS: *o = adjust_packed(s, true); return true;
	case ZYDIS_MNEMONIC_AAA: *o = adjust_digit(s, false); return true;
	case ZYDIS_MNEMONIC_AAS: *o = adjust_digit(s, true); return true;
	case ZYDIS_MNEMONIC_AAM: *o = split(s); return true;
	case ZYDIS_MNEMONIC_AAD: *o = join(s); return true;
	case ZYDIS_MNEMONIC_BOUND: *o = bound(s); return true;
	case ZYDIS_MNEMONIC_ARPL: *o = arpl(s); return true;
	case ZYDIS_MNEMONIC_SALC:
		step_set(s, ZYDIS_REGISTER_AL, s->v->regs.rflags & FLAG_CF ? 0xff : 0);
		*o = NEXT;
		return true;
	default: return false;
	}
}
