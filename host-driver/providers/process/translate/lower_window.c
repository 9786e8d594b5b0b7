/* SPDX-License-Identifier: MIT */
/*
 * Memory operands of a block of MODE_WINDOW: what they address is in this user's window
 *(windows.c), whose place is GS.
 *
 *	mov   t, base
 *	and   t, fs:[mask]
 *	op    gs:[t + displacement]
 *
 * or, where the flags are needed, pext and pdep by the same mask, which together do the same.
 *
 * That is the isolation of user code, whatever its registers are. The mask leaves bits 0 to 41, an
 * address in the window, and bits 47 to 63. None of those is set in a user's address. If all are,
 * the sum with the window's base is one of the host's kernel; if some are, it is none at all: both
 * fault. The displacement, less than a guard wide, leads from the window into the guards on either
 * side, where nothing is. From 2^47, where the window's base is 0, a negative one leads back to the
 * end of what this process has, where a guest kernel's text is shown: so it is a page at most, for
 * no process has the last one. From the others it leads nowhere else.
 *
 * Temporaries are the translator's own: no guest instruction writes to one between the mask and the
 * access, and a jump into the middle of a block does not exist.
 *
 * Accesses by the same registers share a temporary for as long as it lasts. There is nothing to
 * miss: what is not mapped faults, and the fault is the instruction's that has it. So a change of
 * the register by a constant is only another displacement. Where the true sum goes round the end of
 * the window, this one is in the guard, and a step carries the instruction out (run.c).
 */
#include "host-driver/providers/process/translate/lower.h"
#include "host-driver/providers/process/translate/windows.h"

#define FAR 99 /* instructions */
#define MARGIN \
	(WINDOW_GUARD / 2) /* of a displacement: the rest is for a group of pushes, and size */
#define BELOW PAGE_SIZE	   /* of a negative one */

static struct held *held(unsigned t)
{
	return &now.in[t == R15];
}

void window_lose(unsigned t)
{
	held(t)->what = HELD_NOTHING;
}

static void lose(unsigned which)
{
	if (which & 1)
		window_lose(R14);
	if (which & 2)
		window_lose(R15);
}

/* As a displacement. */
static bool fits(int64_t at)
{
	return at >= -(int64_t)BELOW && at < (int64_t)MARGIN;
}

/* May another displacement from there fit? */
static bool near(int64_t past)
{
	return past > -(int64_t)MARGIN && past < (int64_t)MARGIN;
}

/* ---- which temporary ---- */

static bool same(const struct held *a, const struct held *b)
{
	return a->what == b->what && a->base == b->base && a->index == b->index &&
	       a->scale == b->scale;
}

static bool by_stack(const struct tr_insn *n)
{
	return n->kind == INSN_PUSH || n->kind == INSN_POP || n->kind == INSN_RET ||
	       n->kind == INSN_CALL || n->kind == INSN_CALL_REG;
}

/* What a temporary has to have for this operand. *at: how far behind that it is. */
static struct held wanted(const struct tr_insn *n, int64_t *at)
{
	const ZydisDecodedOperandMem *m = &n->mem->mem;
	const bool segment = m->segment == ZYDIS_REGISTER_FS || m->segment == ZYDIS_REGISTER_GS;
	const bool regs = m->base != ZYDIS_REGISTER_NONE || m->index != ZYDIS_REGISTER_NONE;

	*at = m->disp.value;
	if (!segment && (m->base == ZYDIS_REGISTER_RIP || (!regs && n->i.address_width == 64))) {
		if (m->base == ZYDIS_REGISTER_RIP)
			*at += n->rip + n->i.length;
		if (*at >> 47) /* no user's: the mask knows */
			return (struct held){.what = HELD_NOTHING};
		*at &= WINDOW_MASK;
		return (struct held){.what = HELD_PLACE};
	}
	if (n->i.address_width != 64 || (segment && regs) || m->base == ZYDIS_REGISTER_EIP)
		return (struct held){.what = HELD_NOTHING};
	if (segment)
		return (struct held){.what = HELD_SEGMENT, .base = m->segment};
	return (struct held){.what = HELD_REGS,
			     .base = m->base,
			     .index = m->index,
			     .scale = m->index == ZYDIS_REGISTER_NONE ? 0 : m->scale};
}

/* How many instructions from n on until what h says is used again. */
static unsigned next_use(const struct held *h, const struct tr_insn *n)
{
	const struct tr_insn *end = &now.insn[now.insns];
	int64_t at;

	for (unsigned k = 1; n + k < end; k++) {
		const struct tr_insn *m = n + k;

		if (m->kind == INSN_MEMORY) {
			const struct held w = wanted(m, &at);

			if (same(h, &w))
				return k;
		}
		if (by_stack(m) && h->what == HELD_REGS && h->base == ZYDIS_REGISTER_RSP)
			return k;
		if (h->what == HELD_REGS && h->base != ZYDIS_REGISTER_RSP &&
		    insn_changes(m, h->base))
			return FAR;
	}
	return FAR;
}

static unsigned choose(const struct tr_insn *n, unsigned taken)
{
	if (taken)
		return taken & 2 ? R14 : R15;
	if (held(R15)->what == HELD_NOTHING)
		return R15;
	if (held(R14)->what == HELD_NOTHING)
		return R14;
	return next_use(held(R15), n) >= next_use(held(R14), n) ? R15 : R14;
}

/* ---- places ---- */

/* t = src, masked. A stack pointer that is no address is not told from one, to be short. */
static void emit_mask(unsigned t, unsigned src, bool flags)
{
	if (flags && src == RSP) {
		emit_pext(&now.e, t, src, T_WINDOW_BITS);
		return;
	}
	if (flags) {
		emit_pext(&now.e, t, src, T_WINDOW_MASK);
		emit_pdep(&now.e, t, t, T_WINDOW_MASK);
		return;
	}
	if (t != src)
		emit_mov(&now.e, t, src);
	emit_abs(&now.e, SEG_FS, OP_AND, t, emit_slot(T_WINDOW_MASK));
}

/* t = base + index << scale, in the window. */
static void emit_regs(const struct held *h, unsigned t, bool flags)
{
	unsigned base = RBP, index;

	if (h->index == ZYDIS_REGISTER_NONE) {
		emit_mask(t, value_in(number(h->base), t), flags);
		return;
	}
	index = value_in(number(h->index), number(h->index));
	if (h->base != ZYDIS_REGISTER_NONE)
		base = value_in(number(h->base), number(h->base));
	e8(&now.e, 0x48 | (t >> 3) << 2 | (index >> 3) << 1 | base >> 3);
	e8(&now.e, OP_LEA);
	e8(&now.e, (h->base == ZYDIS_REGISTER_NONE ? 0x04 : 0x44) | (t & 7) << 3);
	e8(&now.e, (h->scale == 8   ? 3
		    : h->scale == 4 ? 2
				    : h->scale == 2)
				   << 6 |
			   (index & 7) << 3 | (base & 7));
	if (h->base == ZYDIS_REGISTER_NONE)
		e32(&now.e, 0);
	else
		e8(&now.e, 0);
	emit_mask(t, t, flags);
}

static struct place place_of(const struct tr_insn *n, struct held h, int64_t at, unsigned taken,
			     bool flags)
{
	unsigned t;

	for (t = R15; t >= R14; t--)
		if (!(taken >> (t - R14) & 1) && same(held(t), &h) && fits(held(t)->past + at))
			return (struct place){t, SEG_GS, held(t)->past + at};
	t = choose(n, taken);
	if (h.what == HELD_SEGMENT) {
		emit_load_slot(&now.e, t, h.base == ZYDIS_REGISTER_FS ? T_FS_BASE : T_GS_BASE);
		emit_mask(t, t, flags);
	} else {
		if (h.index != ZYDIS_REGISTER_NONE)
			lose(3);
		emit_regs(&h, t, flags);
	}
	*held(t) = h;
	return (struct place){t, SEG_GS, at};
}

/* Of an address that is known. */
static struct place place_known(const struct tr_insn *n, int64_t at, unsigned taken)
{
	const struct held h = {.what = HELD_PLACE, .past = -at};
	unsigned t;

	if (at < INT32_MAX && !insn_is_absolute(n))
		return (struct place){NO_TEMP, SEG_GS, at};
	for (t = R15; t >= R14; t--)
		if (!(taken >> (t - R14) & 1) && held(t)->what == HELD_PLACE &&
		    fits(held(t)->past + at) && !insn_is_absolute(n))
			return (struct place){t, SEG_GS, held(t)->past + at};
	t = choose(n, taken);
	emit_const(&now.e, t, at);
	*held(t) = h;
	return (struct place){t, SEG_GS, 0};
}

/* By the whole sum, that nothing is shared of. */
static struct place place_alone(const struct tr_insn *n, enum address what, unsigned t, bool flags)
{
	lose(3);
	emit_address(n, what, 1, t);
	emit_mask(t, t, flags);
	return (struct place){t, SEG_GS, 0};
}

struct place emit_window(const struct tr_insn *n, enum address what, unsigned words, unsigned taken,
			 bool flags)
{
	struct held h = {.what = HELD_REGS, .base = ZYDIS_REGISTER_RSP};
	int64_t at;

	switch (what) {
	case ADDRESS_PUSH: return place_of(n, h, -word() * (int)words, taken, flags);
	case ADDRESS_POP: return place_of(n, h, 0, taken, flags);
	case ADDRESS_FRAME: h.base = ZYDIS_REGISTER_RBP; return place_of(n, h, 0, taken, flags);
	case ADDRESS_BIT: return place_alone(n, what, R15, flags);
	default: break;
	}
	h = wanted(n, &at);
	if (h.what == HELD_PLACE)
		return place_known(n, at, taken);
	if (h.what == HELD_NOTHING || !fits(at))
		return place_alone(n, what, taken & 2 ? R14 : R15, flags);
	return place_of(n, h, at, taken, flags);
}

/* ---- what is still held ---- */

/* The register becomes what it was and *by: nothing else does n to it. */
static bool adds_constant(const struct tr_insn *n, ZydisRegister reg, int64_t *by)
{
	const ZydisDecodedOperandMem *m;

	if ((n->kind == INSN_PUSH || n->kind == INSN_POP) && reg == ZYDIS_REGISTER_RSP) {
		*by = n->kind == INSN_PUSH ? -word() : word();
		return n->kind == INSN_PUSH || n->op[0].reg.value != reg;
	}
	if (n->op[0].type != ZYDIS_OPERAND_TYPE_REGISTER || n->op[0].reg.value != reg)
		return false;
	switch (n->i.mnemonic) {
	case ZYDIS_MNEMONIC_INC: *by = 1; return true;
	case ZYDIS_MNEMONIC_DEC: *by = -1; return true;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
		*by = n->i.mnemonic == ZYDIS_MNEMONIC_ADD ? n->op[1].imm.value.s
							  : -n->op[1].imm.value.s;
		return n->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
	case ZYDIS_MNEMONIC_LEA:
		m = &n->op[1].mem;
		*by = m->disp.value;
		return m->base == reg && m->index == ZYDIS_REGISTER_NONE;
	default: return false;
	}
}

static void register_changes(struct held *h, const struct tr_insn *n)
{
	int64_t by;

	if (h->what != HELD_REGS)
		return;
	if (h->index != ZYDIS_REGISTER_NONE && insn_changes(n, h->index))
		h->what = HELD_NOTHING;
	else if (h->base == ZYDIS_REGISTER_NONE || !insn_changes(n, h->base))
		return;
	else if (adds_constant(n, h->base, &by) && near(h->past + by))
		h->past += by;
	else
		h->what = HELD_NOTHING;
}

/* Temporaries that were used in the lowering of n, bit 0: r14. */
static unsigned used(const struct tr_insn *n)
{
	unsigned dst;

	switch (n->kind) {
	case INSN_NOTHING:
	case INSN_BRANCH:
	case INSN_PUSH: /* say so themselves */
	case INSN_POP: return 0;
	case INSN_PLAIN:
	case INSN_MEMORY: return n->temps_read | n->temps_written;
	case INSN_LEA:
		dst = number(n->op[0].reg.value);
		if (n->op[0].size == 64 && dst < R14)
			return temps_in_address(n->mem);
		return 3;
	default: return 3;
	}
}

void window_after(const struct tr_insn *n, unsigned count)
{
	for (; count; count--, n++) {
		lose(used(n));
		register_changes(held(R14), n);
		register_changes(held(R15), n);
	}
}
