/* SPDX-License-Identifier: MIT */
/*
 * Registers and memory operands of translated code.
 *
 * An instruction with a memory operand gets a look at the TLB before it, and the place that was
 * found there for its operand:
 *
 *	lea   t0, [operand]		the guest's linear address
 *	rorx  t1, t0, ...; and		which entry
 *	add   t0, gs:[t1 + neg]		the offset in the page, or something large
 *	cmp   t0, 4096 - size
 *	ja    slow			unknown, or across two pages
 *	add   t0, gs:[t1 + page]
 *	op    [t0]
 *
 * Of the kernel's code in the upper half only what writes needs that (upper.c).
 *
 * Where the flags are needed afterwards the same is done by pext, lea and jrcxz, which leave them
 * alone. Where they are not, a page fault's frame shows other arithmetic flags than a CPU's would:
 * of no consequence to the code that is gone back to, which replaces them. What is slow leaves the
 * cache, and C comes back behind the look with the place in both temporaries.
 */
#include "host-driver/providers/process/translate/lower.h"

int32_t emit_slot(int offset)
{
	return (int32_t)((uint8_t *)&tr - (uint8_t *)__builtin_thread_pointer()) + offset;
}

/* ---- registers ---- */

unsigned number(ZydisRegister reg)
{
	return ZydisRegisterGetId(
		ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

unsigned value_in(unsigned reg, unsigned t)
{
	if (reg != R14 && reg != R15)
		return reg;
	emit_load_slot(&now.e, t, reg == R14 ? T_R14 : T_R15);
	return t;
}

void temps_load(unsigned which)
{
	if (which & 1)
		emit_load_slot(&now.e, R14, T_R14);
	if (which & 2)
		emit_load_slot(&now.e, R15, T_R15);
}

void temps_store(unsigned which)
{
	if (which & 1)
		emit_store_slot(&now.e, T_R14, R14);
	if (which & 2)
		emit_store_slot(&now.e, T_R15, R15);
}

unsigned temps_in_address(const ZydisDecodedOperand *m)
{
	unsigned t = 0;

	if (m->mem.base != ZYDIS_REGISTER_NONE && m->mem.base != ZYDIS_REGISTER_RIP &&
	    m->mem.base != ZYDIS_REGISTER_EIP)
		t |= number(m->mem.base) == R14 ? 1 : number(m->mem.base) == R15 ? 2 : 0;
	if (m->mem.index != ZYDIS_REGISTER_NONE)
		t |= number(m->mem.index) == R14 ? 1 : number(m->mem.index) == R15 ? 2 : 0;
	return t;
}

/* ---- 32-bit code ----
 *
 * Its encodings mean the same in 64-bit code but for some that step.c carries out. Addresses are
 * sums that end up in 32 bits, whatever the upper halves of registers are; what is pushed is half
 * as wide. FS and GS are their bases: nothing looks at their limits, nor whether they are null.
 */

void emit_word_in(unsigned seg, unsigned op, unsigned reg, unsigned base, int32_t disp)
{
	if (code32())
		emit_base32(&now.e, op, reg, base, disp);
	else
		emit_base(&now.e, seg, op, reg, base, disp);
}

void emit_mov_word(unsigned dst, unsigned src)
{
	if (code32())
		emit_mov32(&now.e, dst, src);
	else
		emit_mov(&now.e, dst, src);
}

/* ---- addresses ---- */

/* The original's ModRM, SIB and displacement behind another opcode: lea reg, [...]. */
static void emit_lea_operand(const struct tr_insn *n, unsigned reg)
{
	const ZydisDecodedInstruction *i = &n->i;
	const ZydisDecodedOperandMem *m = &n->mem->mem;
	unsigned at = i->raw.modrm.offset, rex = (code32() ? 0x40 : 0x48) | (reg >> 3) << 2;

	if (m->base != ZYDIS_REGISTER_NONE)
		rex |= ZydisRegisterGetId(m->base) >> 3 & 1;
	if (m->index != ZYDIS_REGISTER_NONE)
		rex |= (ZydisRegisterGetId(m->index) >> 3 & 1) << 1;
	if (i->address_width == 32 && !code32())
		e8(&now.e, 0x67);
	e8(&now.e, rex);
	e8(&now.e, OP_LEA);
	e8(&now.e, (n->bytes[at] & 0xc7) | (reg & 7) << 3);
	at++;
	if (i->raw.modrm.rm == 4)
		e8(&now.e, n->bytes[at++]);
	for (unsigned k = 0; k < i->raw.disp.size / 8; k++)
		e8(&now.e, n->bytes[i->raw.disp.offset + k]);
}

void emit_effective(const struct tr_insn *n, unsigned reg)
{
	const ZydisDecodedOperand *m = n->mem;

	if (m->mem.base == ZYDIS_REGISTER_RIP || m->mem.base == ZYDIS_REGISTER_EIP) {
		uint64_t va = n->rip + n->i.length + m->mem.disp.value;

		emit_const(&now.e, reg, m->mem.base == ZYDIS_REGISTER_RIP ? va : (uint32_t)va);
		return;
	}
	if (m->mem.base == ZYDIS_REGISTER_NONE && m->mem.index == ZYDIS_REGISTER_NONE && code32()) {
		emit_const(&now.e, reg, (uint32_t)m->mem.disp.value);
		return;
	}
	temps_load(temps_in_address(m));
	emit_lea_operand(n, reg);
}

/* t0 += the bytes from the operand to the word that has the bit; its number is signed. */
static void emit_bit_address(const struct tr_insn *n, unsigned t0, unsigned t1)
{
	const unsigned reg = number(n->op[1].reg.value);
	const unsigned bits = n->size == 8 ? 6 : 5;

	emit_store_slot(&now.e, T_SCRATCH, t0);
	emit_const(&now.e, t0, bits);
	if (n->size == 4) { /* the number's sign is bit 31 */
		emit_movsxd(&now.e, t1, value_in(reg, t1));
		emit_sarx(&now.e, t1, t1, t0);
	} else {
		emit_sarx(&now.e, t1, value_in(reg, t1), t0);
	}
	emit_load_slot(&now.e, t0, T_SCRATCH);
	emit_lea_scaled(&now.e, t0, t0, t1, bits - 3);
}

void emit_address(const struct tr_insn *n, enum address what, unsigned words, unsigned t0)
{
	const unsigned t1 = t0 ^ R14 ^ R15;

	switch (what) {
	case ADDRESS_PUSH: emit_word(OP_LEA, t0, RSP, -word() * (int)words); return;
	case ADDRESS_POP: emit_mov_word(t0, RSP); return;
	case ADDRESS_FRAME: emit_mov_word(t0, RBP); return;
	default: break;
	}
	emit_effective(n, t0);
	if (n->mem->mem.segment == ZYDIS_REGISTER_FS || n->mem->mem.segment == ZYDIS_REGISTER_GS) {
		emit_load_slot(&now.e, t1,
			       n->mem->mem.segment == ZYDIS_REGISTER_FS ? T_FS_BASE : T_GS_BASE);
		emit_lea2(&now.e, t0, t0, t1);
		if (code32())
			emit_mov32(&now.e, t0, t0);
	}
	if (what == ADDRESS_BIT)
		emit_bit_address(n, t0, t1);
}

/* ---- the look ---- */

/* `op reg, entry[t1].what`: user code's TLB is by GS, the kernel's by FS. */
static void emit_entry(unsigned op, unsigned reg, unsigned t1, int32_t what)
{
	const int32_t kernel = (uint8_t *)tr_kernel_tlb - (uint8_t *)__builtin_thread_pointer();

	if (now.b->mode & MODE_KERNEL)
		emit_base(&now.e, SEG_FS, op, reg, t1, kernel + what);
	else
		emit_base(&now.e, SEG_GS, op, reg, t1, what);
}

/* ja rel32 */
static uint8_t *emit_ja(void)
{
	e8(&now.e, 0x0f);
	e8(&now.e, 0x87);
	e32(&now.e, 0);
	return now.e.p - 4;
}

/* With the arithmetic flags lost. */
static uint8_t *emit_look(unsigned t0, unsigned size, bool write)
{
	const unsigned t1 = t0 ^ R14 ^ R15;
	struct emit *e = &now.e;

	emit_rorx32(e, t1, t0, PAGE_SHIFT - TLB_SHIFT);
	e8(e, 0x41); /* and t1d, imm32 */
	e8(e, 0x81);
	e8(e, 0xe0 | (t1 & 7));
	e32(e, (now.b->mode & MODE_KERNEL ? KERNEL_TLB_SIZE - 1 : TLB_SIZE - 1) << TLB_SHIFT);
	emit_entry(OP_ADD, t0, t1, write ? E_WRITE_NEG : E_READ_NEG);
	emit_rex(e, 0, t0); /* cmp t0, imm32 */
	e8(e, 0x81);
	e8(e, 0xf8 | (t0 & 7));
	e32(e, PAGE_SIZE - size);
	return emit_ja();
}

/* With all flags kept; rcx is in its slot until after the place is found. */
static uint8_t *emit_look_flags(unsigned t0, unsigned size, bool write)
{
	const unsigned t1 = t0 ^ R14 ^ R15;
	struct emit *e = &now.e;
	uint8_t *jump;

	emit_pext(e, t1, t0, now.b->mode & MODE_KERNEL ? T_KERNEL_TLB_MASK : T_TLB_MASK);
	emit_store_slot(e, T_RCX, RCX);
	emit_rotate(e, t1, 64 - TLB_SHIFT);
	emit_entry(OP_LOAD, RCX, t1, write ? E_WRITE_NEG : E_READ_NEG);
	emit_entry(OP_LOAD, t1, t1, write ? E_WRITE : E_READ);
	emit_lea2(e, t0, t0, RCX);
	emit_base(e, 0, OP_LEA, RCX, t0, size - 1);
	emit_pext(e, RCX, RCX, T_PAGE_MASK);
	e8(e, 0xe3); /* jrcxz over the jump */
	e8(e, 5);
	e8(e, 0xe9);
	jump = e->p;
	e32(e, 0);
	emit_lea2(e, t0, t0, t1);
	emit_load_slot(e, RCX, T_RCX);
	return jump;
}

/* The look, and then t0 is the place. Returns the distance of the jump to where it is not known. */
static uint8_t *emit_find(unsigned t0, unsigned size, bool write, bool flags)
{
	const unsigned t1 = t0 ^ R14 ^ R15;
	uint8_t *jump;

	if (flags)
		return emit_look_flags(t0, size, write);
	jump = emit_look(t0, size, write);
	emit_entry(OP_ADD, t0, t1, write ? E_WRITE : E_READ);
	return jump;
}

void emit_place_of_group(const struct tr_insn *n, const struct group *g, unsigned t0, bool flags)
{
	const int64_t before = g->first - n->mem->mem.disp.value;

	emit_effective(n, t0);
	if (before)
		emit_base(&now.e, 0, OP_LEA, t0, t0, before);
	slow_add(n, SLOW_SINGLE, emit_find(t0, g->size, g->writes, flags), 0)->keeps_rcx = flags;
}

struct place emit_place_of(const struct tr_insn *n, enum address what, unsigned words,
			   unsigned taken, unsigned size, bool write, bool flags)
{
	const unsigned t0 = taken & 2 ? R14 : R15;
	struct slow *s;
	uint8_t *jump;
	uint32_t site;

	if (in_window())
		return emit_window(n, what, words, taken, flags);
	emit_address(n, what, words, t0);
	if (!write && reads_upper(n))
		return (struct place){t0, SEG_GS, 0};
	jump = emit_find(t0, size, write, flags);
	if (words > 1) {
		slow_add(n, SLOW_SINGLE, jump, 0)->keeps_rcx = flags;
		return (struct place){t0, 0, 0};
	}
	site = site_add(now.b, offset_of(now.e.p), guest_offset(n), size,
			write ? ACCESS_WRITE : ACCESS_READ);
	s = slow_add(n, SLOW_MEMORY, jump, site);
	s->t0 = t0;
	s->keeps_rcx = flags;
	s->address = what;
	return (struct place){t0, 0, 0};
}
