/* SPDX-License-Identifier: MIT */
/*
 * A block's translation.
 *
 * Most instructions are copied. One with a memory operand gets a look at the TLB before it, and
 * the place that was found there for its operand:
 *
 *	lea   t0, [operand]		the guest's linear address
 *	mov   t1, t0; shr; and		which entry
 *	add   t0, gs:[t1 + neg]		the offset in the page, or something large
 *	cmp   t0, 4096 - size
 *	ja    slow			unknown, or across two pages
 *	add   t0, gs:[t1 + page]
 *	op    [t0]
 *
 * Where the flags are needed afterwards the same is done by pext, lea and jrcxz, which leave them
 * alone. Where they are not, a page fault's frame shows other arithmetic flags than a CPU's would:
 * of no consequence to the code that is gone back to, which replaces them. What is slow lies in
 * another part of the cache: it leaves the cache, and C comes back behind the look with the place
 *in both temporaries.
 */
#include "host-driver/providers/process/translate/block.h"
#include "host-driver/providers/process/translate/emit.h"
#include "host-driver/providers/process/translate/insn.h"

#define MAX_SLOW (3 * BLOCK_INSNS)
#define PEEK	 6 /* instructions looked at to see whether flags are needed there */

/* What lies behind the block. */
struct slow {
	const struct tr_insn *n; /* SLOW_MEMORY: whose address is to be computed again */
	enum { SLOW_MEMORY, SLOW_LINK, SLOW_FAR } what; /* FAR: a branch that is not chained */
	uint8_t *jump;	/* the distance of the jump that leads here */
	uint32_t index; /* of the site or link */
	uint8_t t0;
	bool keeps_rcx;	 /* rcx is in its slot */
	uint8_t address; /* enum address */
	uint8_t words;	 /* of ADDRESS_PUSH */
};

enum address { ADDRESS_OPERAND, ADDRESS_BIT, ADDRESS_PUSH, ADDRESS_POP, ADDRESS_FRAME };

/* Under block.c's lock. */
static struct {
	struct vcpu *v;
	struct block *b;
	struct emit e, cold; /* what is run again and again, and the rest */
	const uint8_t *page, *next;
	uint8_t both[INSN_MAX]; /* an instruction's bytes that are in two pages */
	struct tr_insn insn[BLOCK_INSNS];
	unsigned insns;
	struct slow slow[MAX_SLOW];
	unsigned slows;
} now;

int32_t emit_slot(int offset)
{
	return (int32_t)((uint8_t *)&tr - (uint8_t *)__builtin_thread_pointer()) + offset;
}

/* ---- registers ---- */

static unsigned number(ZydisRegister reg)
{
	return ZydisRegisterGetId(
		ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

/* The guest's value of a register is in one: its own, or for r14 and r15 `t`, loaded first. */
static unsigned value_in(unsigned reg, unsigned t)
{
	if (reg != R14 && reg != R15)
		return reg;
	emit_load_slot(&now.e, t, reg == R14 ? T_R14 : T_R15);
	return t;
}

static void temps_load(unsigned which)
{
	if (which & 1)
		emit_load_slot(&now.e, R14, T_R14);
	if (which & 2)
		emit_load_slot(&now.e, R15, T_R15);
}

static void temps_store(unsigned which)
{
	if (which & 1)
		emit_store_slot(&now.e, T_R14, R14);
	if (which & 2)
		emit_store_slot(&now.e, T_R15, R15);
}

static unsigned temps_in_address(const ZydisDecodedOperand *m)
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

static bool code32(void)
{
	return now.b->mode & MODE_32;
}

/* Bytes of a return address. */
static int32_t word(void)
{
	return code32() ? 4 : 8;
}

/* `op reg, [base + disp]`, as wide as that. */
static void emit_word(unsigned op, unsigned reg, unsigned base, int32_t disp)
{
	if (code32())
		emit_base32(&now.e, op, reg, base, disp);
	else
		emit_base(&now.e, 0, op, reg, base, disp);
}

static void emit_mov_word(unsigned dst, unsigned src)
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

static void emit_effective(const struct tr_insn *n, unsigned reg)
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

/* t0 = the linear address of the access; t1 may be lost. `words` are pushed. */
static void emit_bit_address(const struct tr_insn *n, unsigned t0, unsigned t1);

static void emit_address(const struct tr_insn *n, enum address what, unsigned words, unsigned t0)
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

static struct slow *slow_add(const struct tr_insn *n, int what, uint8_t *jump, uint32_t index)
{
	struct slow *s = &now.slow[now.slows++];

	*s = (struct slow){.n = n, .what = what, .jump = jump, .index = index};
	return s;
}

static uint32_t offset_of(const uint8_t *written)
{
	return written - code_write;
}

static uint16_t guest_offset(const struct tr_insn *n)
{
	return n->rip - now.b->rip;
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

	e8(e, 0x45); /* mov t1d, t0d */
	e8(e, 0x89);
	e8(e, 0xc0 | (t0 & 7) << 3 | (t1 & 7));
	e8(e, 0x41); /* shr t1d, imm8 */
	e8(e, 0xc1);
	e8(e, 0xe8 | (t1 & 7));
	e8(e, PAGE_SHIFT - TLB_SHIFT);
	e8(e, 0x41); /* and t1d, imm32 */
	e8(e, 0x81);
	e8(e, 0xe0 | (t1 & 7));
	e32(e, (TLB_SIZE - 1) << TLB_SHIFT);
	emit_base(e, SEG_GS, OP_ADD, t0, t1, write ? E_WRITE_NEG : E_READ_NEG);
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

	emit_pext(e, t1, t0, T_TLB_MASK);
	emit_store_slot(e, T_RCX, RCX);
	emit_rotate(e, t1, 64 - TLB_SHIFT);
	emit_base(e, SEG_GS, OP_LOAD, RCX, t1, write ? E_WRITE_NEG : E_READ_NEG);
	emit_base(e, SEG_GS, OP_LOAD, t1, t1, write ? E_WRITE : E_READ);
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

/* t0 = the host's address of the access, which is to the stack for `words` or to n's operand. */
static void emit_place_of(const struct tr_insn *n, enum address what, unsigned words, unsigned t0,
			  unsigned size, bool write, bool flags)
{
	const unsigned t1 = t0 ^ R14 ^ R15;
	struct slow *s;
	uint8_t *jump;
	uint32_t site;

	emit_address(n, what, words, t0);
	if (flags) {
		jump = emit_look_flags(t0, size, write);
	} else {
		jump = emit_look(t0, size, write);
		emit_base(&now.e, SEG_GS, OP_ADD, t0, t1, write ? E_WRITE : E_READ);
	}
	site = site_add(now.b, offset_of(now.e.p), guest_offset(n), size,
			write ? ACCESS_WRITE : ACCESS_READ);
	sites[site].group = words > 1;
	s = slow_add(n, SLOW_MEMORY, jump, site);
	s->t0 = t0;
	s->keeps_rcx = flags;
	s->address = what;
	s->words = words;
}

static void emit_place(const struct tr_insn *n, enum address what, unsigned t0, unsigned size,
		       bool write, bool flags)
{
	emit_place_of(n, what, 1, t0, size, write, flags);
}

/* ---- instructions ---- */

static void copy(const struct tr_insn *n)
{
	const unsigned count = insn_is_count(n);

	for (unsigned k = 0; k < n->i.length - count; k++)
		e8(&now.e, n->bytes[k]);
	if (count) { /* in its longer form */
		e8(&now.e, 0xff);
		e8(&now.e, 0xc0 | (n->i.opcode & 15));
	}
}

static bool drops(uint8_t prefix)
{
	return prefix == 0x26 || prefix == 0x2e || prefix == 0x36 || prefix == 0x3e ||
	       prefix == 0x64 || prefix == 0x65 || prefix == 0x67;
}

/* a0 to a3 as 8a, 8b, 88 or 89. */
static void emit_absolute(const struct tr_insn *n, unsigned t0)
{
	struct emit *e = &now.e;

	if (n->i.operand_width == 16)
		e8(e, 0x66);
	e8(e, 0x41);
	e8(e, 0x88 | (n->i.opcode & 1) | (n->i.opcode & 2 ? 0 : 2));
	e8(e, t0 & 7);
}

/* The instruction with [t0] for its operand. */
static void emit_rewritten(const struct tr_insn *n, unsigned t0)
{
	const ZydisDecodedInstruction *i = &n->i;
	const unsigned modrm = i->raw.modrm.offset;
	struct emit *e = &now.e;
	unsigned k = 0, end;

	if (i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
		const uint8_t *vex = n->bytes + i->raw.vex.offset;
		const bool two = vex[0] == 0xc5;

		e8(e, 0xc4);
		e8(e, (vex[1] & 0x80) | 0x40 | (two ? 1 : vex[1] & 0x1f)); /* X 0, B 1 */
		e8(e, two ? vex[1] & 0x7f : vex[2]);
		k = i->raw.vex.offset + (two ? 2 : 3);
	} else {
		const bool rex = i->attributes & ZYDIS_ATTRIB_HAS_REX;

		for (; k + rex < i->raw.prefix_count; k++)
			if (!drops(n->bytes[k]))
				e8(e, n->bytes[k]);
		e8(e, 0x41 | (rex ? i->raw.rex.W << 3 | i->raw.rex.R << 2 : 0));
		k += rex;
	}
	for (; k < modrm; k++)
		e8(e, n->bytes[k]);
	e8(e, (n->bytes[modrm] & 0x38) | (t0 & 7));
	end = modrm + 1 + (i->raw.modrm.rm == 4) + i->raw.disp.size / 8;
	for (k = end; k < i->length; k++)
		e8(e, n->bytes[k]);
}

static void lower_memory(const struct tr_insn *n)
{
	const unsigned own = n->temps_read | n->temps_written, t0 = own & 2 ? R14 : R15;

	emit_place(n, ADDRESS_OPERAND, t0, n->size, n->writes,
		   (n->flags_live & ~n->flags_killed) | n->flags_read);
	temps_load(own);
	if (insn_is_absolute(n))
		emit_absolute(n, t0);
	else
		emit_rewritten(n, t0);
	temps_store(n->temps_written);
}

/* bt, bts, btr, btc: on the word that has the bit, by the bit's number in that. */
static void lower_bit(const struct tr_insn *n)
{
	const ZydisDecodedInstruction *i = &n->i;
	const unsigned reg = number(n->op[1].reg.value);

	emit_place(n, ADDRESS_BIT, R15, n->size, n->writes, n->flags_live & ~n->flags_killed);
	emit_pext(&now.e, R14, value_in(reg, R14), n->size == 8 ? T_BITS64 : T_BITS32);
	if (i->attributes & ZYDIS_ATTRIB_HAS_LOCK)
		e8(&now.e, 0xf0);
	e8(&now.e, n->size == 8 ? 0x4d : 0x45);
	e8(&now.e, 0x0f);
	e8(&now.e, i->opcode);
	e8(&now.e, (R14 & 7) << 3 | (R15 & 7));
}

static void lower_plain(const struct tr_insn *n)
{
	temps_load(n->temps_read);
	copy(n);
	temps_store(n->temps_written);
}

static void lower_lea(const struct tr_insn *n)
{
	const unsigned dst = number(n->op[0].reg.value);
	const unsigned t = dst == R14 || dst == R15 ? dst : R14;

	if (n->op[0].size == 64 || (n->op[0].size == 32 && code32())) {
		emit_effective(n, dst);
	} else if (n->op[0].size == 32) {
		/* The low half of the sum, into a register that is not read any more. */
		emit_effective(n, t);
		if (dst >= 8 || t >= 8)
			e8(&now.e, 0x41 | (dst >> 3) << 2);
		e8(&now.e, OP_LOAD);
		e8(&now.e, 0xc0 | (dst & 7) << 3 | (t & 7));
	} else {
		const unsigned t0 = dst == R14 ? R15 : R14;

		emit_effective(n, t0);
		if (dst == R14 || dst == R15)
			emit_load_slot(&now.e, dst, dst == R14 ? T_R14 : T_R15);
		e8(&now.e, 0x66);
		e8(&now.e, 0x41 | (dst >> 3) << 2);
		e8(&now.e, OP_LOAD);
		e8(&now.e, 0xc0 | (dst & 7) << 3 | (t0 & 7));
	}
	temps_store(dst == R14 ? 1 : dst == R15 ? 2 : 0);
}

/* mov [t0 + at], constant; t1 is lost. */
static void emit_store_const(unsigned t0, int32_t at, uint64_t val)
{
	const unsigned t1 = t0 ^ R14 ^ R15;

	if ((int64_t)val == (int32_t)val || code32()) {
		emit_word(0xc7, 0, t0, at);
		e32(&now.e, val);
		return;
	}
	emit_const(&now.e, t1, val);
	emit_base(&now.e, 0, OP_STORE, t1, t0, at);
}

static void emit_rsp_add(int32_t bytes)
{
	emit_word(OP_LEA, RSP, RSP, bytes);
}

/* To the guest address in r14, by the IBTC. */
static void emit_indirect(void)
{
	const uint32_t l = link_add(now.b, 0, false);

	links[l].at = offset_of(emit_link(&now.e, -1, tr_indirect));
}

/* `count` pushes one after the other: all in one page, or the slow way. */
static void lower_pushes(const struct tr_insn *n, unsigned count)
{
	emit_place_of(n, ADDRESS_PUSH, count, R15, word() * count, true, n->flags_live);
	for (unsigned k = 0; k < count; k++, n++) {
		const int32_t at = word() * (count - 1 - k);

		if (n->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			emit_store_const(R15, at, n->op[0].imm.value.s);
		else
			emit_word(OP_STORE, value_in(number(n->op[0].reg.value), R14), R15, at);
	}
	emit_rsp_add(-word() * (int)count);
}

/* Its value waits in a slot while there is a look for the stack. */
static void lower_push_memory(const struct tr_insn *n)
{
	emit_place(n, ADDRESS_OPERAND, R15, word(), false, n->flags_live);
	emit_word(OP_LOAD, R14, R15, 0);
	emit_store_slot(&now.e, T_SCRATCH, R14);
	emit_place(n, ADDRESS_PUSH, R15, word(), true, n->flags_live);
	emit_load_slot(&now.e, R14, T_SCRATCH);
	emit_word(OP_STORE, R14, R15, 0);
	emit_rsp_add(-word());
}

static void emit_popped(const struct tr_insn *n, int32_t at)
{
	const unsigned reg = number(n->op[0].reg.value), in = reg == R15 ? R14 : reg;

	emit_word(OP_LOAD, in, R15, at);
	if (reg == R14 || reg == R15)
		emit_store_slot(&now.e, reg == R14 ? T_R14 : T_R15, in);
}

/* `count` pops, the last of which may be a ret. */
static void lower_pops(const struct tr_insn *n, unsigned count)
{
	const struct tr_insn *last = n + count - 1;
	int32_t bytes = word() * count;

	emit_place_of(n, ADDRESS_POP, count, R15, bytes, false, last->flags_live);
	for (unsigned k = 0; k < count; k++)
		if (n[k].kind == INSN_POP)
			emit_popped(&n[k], word() * k);
	if (last->kind == INSN_POP) {
		if (number(last->op[0].reg.value) != RSP)
			emit_rsp_add(bytes);
		return;
	}
	emit_word(OP_LOAD, R14, R15, bytes - word());
	if (last->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		bytes += (uint16_t)last->op[0].imm.value.u;
	emit_rsp_add(bytes);
	emit_indirect();
}

static void lower_leave(const struct tr_insn *n)
{
	emit_place(n, ADDRESS_FRAME, R15, word(), false, n->flags_live);
	emit_word(OP_LEA, RSP, RBP, word());
	emit_word(OP_LOAD, RBP, R15, 0);
}

/* To a guest address known now: chained later, or by the IBTC. cc as in emit_link. */
static void emit_direct(const struct tr_insn *n, uint64_t target, int cc)
{
	const bool linkable = code_linkable(now.v, now.b, target);
	uint32_t l;

	if (!linkable && cc < 0) {
		emit_const(&now.e, R14, target);
		emit_indirect();
		return;
	}
	if (!linkable) {
		slow_add(n, SLOW_FAR, emit_link(&now.e, cc, now.e.p), 0);
		return;
	}
	l = link_add(now.b, target, true);
	links[l].at = offset_of(emit_link(&now.e, cc, now.e.p));
	slow_add(n, SLOW_LINK, code_write + links[l].at, l);
}

static void emit_push_return(const struct tr_insn *n)
{
	emit_place(n, ADDRESS_PUSH, R15, word(), true, n->flags_live);
	emit_store_const(R15, 0, n->rip + n->i.length);
	emit_rsp_add(-word());
}

/* r14 = where the instruction says, before the stack changes. */
static void emit_target(const struct tr_insn *n)
{
	if (n->kind == INSN_CALL_MEM || n->kind == INSN_JUMP_MEM) {
		emit_place(n, ADDRESS_OPERAND, R15, word(), false, n->flags_live);
		emit_word(OP_LOAD, R14, R15, 0);
	} else {
		const unsigned in = value_in(number(n->op[0].reg.value), R14);

		if (in != R14)
			emit_mov_word(R14, in);
	}
}

static void lower_transfer(const struct tr_insn *n)
{
	switch (n->kind) {
	case INSN_CALL:
		emit_push_return(n);
		emit_direct(n, n->target, -1);
		break;
	case INSN_JUMP: emit_direct(n, n->target, -1); break;
	case INSN_BRANCH: emit_direct(n, n->target, n->i.opcode & 15); break;
	case INSN_CALL_REG:
	case INSN_CALL_MEM:
		emit_target(n);
		emit_store_slot(&now.e, T_SCRATCH, R14);
		emit_push_return(n);
		emit_load_slot(&now.e, R14, T_SCRATCH);
		emit_indirect();
		break;
	default: emit_target(n); emit_indirect();
	}
}

static bool pushes(const struct tr_insn *n)
{
	return n->kind == INSN_PUSH &&
	       (n->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE || number(n->op[0].reg.value) != RSP);
}

/* How many instructions from n on are one access to the stack: pushes, or pops and a ret. */
static unsigned group(const struct tr_insn *n, const struct tr_insn *end)
{
	const struct tr_insn *m = n;

	if (pushes(n)) {
		while (m < end && pushes(m))
			m++;
		return m - n;
	}
	while (m < end && m->kind == INSN_POP && number(m->op[0].reg.value) != RSP)
		m++;
	if (m < end && m->kind == INSN_RET)
		m++;
	return m > n ? m - n : 1;
}

/* n and what goes with it; returns how many that are. *open: the block goes on. */
static unsigned lower_insn(const struct tr_insn *n, const struct tr_insn *end, bool *open)
{
	const uint32_t site = site_add(now.b, offset_of(now.e.p), guest_offset(n), 0, SITE_START);
	unsigned count = 1;

	*open = n->kind < INSN_CALL || n->kind == INSN_BRANCH;
	switch (n->kind) {
	case INSN_NOTHING: break;
	case INSN_PLAIN: lower_plain(n); break;
	case INSN_MEMORY: lower_memory(n); break;
	case INSN_BIT: lower_bit(n); break;
	case INSN_LEA: lower_lea(n); break;
	case INSN_PUSH:
		count = group(n, end);
		lower_pushes(n, count);
		break;
	case INSN_PUSH_MEM: lower_push_memory(n); break;
	case INSN_POP:
	case INSN_RET:
		count = group(n, end);
		*open = n[count - 1].kind != INSN_RET;
		lower_pops(n, count);
		break;
	case INSN_LEAVE: lower_leave(n); break;
	case INSN_STEP:
		emit_const(&now.e, R15, site);
		emit_jump(&now.e, n->i.mnemonic == ZYDIS_MNEMONIC_SYSCALL && !code32()
					  ? tr_exit_syscall
					  : tr_exit_step);
		break;
	default: lower_transfer(n);
	}
	return count;
}

/* ---- what lies behind ---- */

static void patch(uint8_t *at, const uint8_t *target)
{
	const int32_t distance = target - (at + 4);

	__builtin_memcpy(at, &distance, 4);
}

/* It stays near the block, for it is part of a way that does not leave the cache. */
static void emit_far(const struct slow *s)
{
	patch(s->jump, now.e.p);
	emit_const(&now.e, R14, s->n->target);
	emit_indirect();
}

static void emit_slow(const struct slow *s)
{
	struct emit *e = &now.e;

	patch(s->jump, e->p);
	if (s->what == SLOW_LINK) {
		links[s->index].stub = offset_of(e->p);
		emit_const(e, R15, s->index);
		emit_jump(e, tr_exit_link);
		return;
	}
	if (s->keeps_rcx)
		emit_load_slot(e, RCX, T_RCX);
	emit_address(s->n, s->address, s->words, s->t0);
	emit_store_slot(e, T_EA, s->t0);
	emit_const(e, R15, s->index);
	emit_jump(e, tr_exit_memory);
}

static void emit_behind(void)
{
	struct emit near;

	for (unsigned k = 0; k < now.slows; k++)
		if (now.slow[k].what == SLOW_FAR)
			emit_far(&now.slow[k]);
	near = now.e;
	now.e = now.cold;
	for (unsigned k = 0; k < now.slows; k++)
		if (now.slow[k].what != SLOW_FAR)
			emit_slow(&now.slow[k]);
	now.cold = now.e;
	now.e = near;
}

/* ---- flags ---- */

/* Those whose value at `rip` matters, as far as a few instructions tell. */
static uint32_t flags_at(uint64_t rip)
{
	uint32_t unknown = FLAGS_ARITH, needed = 0;
	struct insn_glance g;

	for (unsigned k = 0; k < PEEK && unknown; k++) {
		const uint64_t offset = rip - (now.b->rip & PAGE_MASK);

		if (offset >= PAGE_SIZE ||
		    !insn_glance(&g, rip, now.page + offset, PAGE_SIZE - offset, code32()))
			break;
		needed |= g.flags_read & unknown;
		unknown &= ~(g.flags_read | g.flags_killed);
		if (g.ends && !g.target)
			break;
		rip = g.target ? g.target : rip + g.length;
	}
	return needed | unknown;
}

static void flags_live(void)
{
	struct tr_insn *last = &now.insn[now.insns - 1];
	uint32_t live;

	if (last->kind == INSN_CALL || last->kind == INSN_JUMP)
		live = flags_at(last->target);
	else
		live = last->kind < INSN_CALL || last->kind == INSN_BRANCH
			       ? flags_at(last->rip + last->i.length)
			       : FLAGS_ARITH;
	for (unsigned k = now.insns; k-- > 0;) {
		struct tr_insn *n = &now.insn[k];

		if (n->kind == INSN_BRANCH)
			live |= flags_at(n->target);
		n->flags_live = live;
		live = (live & ~n->flags_killed) | n->flags_read;
	}
}

/* ---- blocks ---- */

/* The first instruction goes on in the next page: it is a block of its own. */
static bool gather_across(void)
{
	const uint64_t rip = now.b->rip, room = PAGE_SIZE - (rip & (PAGE_SIZE - 1));

	if (!now.next || room >= INSN_MAX)
		return false;
	for (unsigned k = 0; k < INSN_MAX; k++)
		now.both[k] = k < room ? now.page[PAGE_SIZE - room + k] : now.next[k - room];
	if (!insn_read(&now.insn[0], rip, now.both, INSN_MAX, code32()) ||
	    now.insn[0].i.length <= room)
		return false;
	now.insns = 1;
	now.b->mfn2 = (now.next - now.v->d->ram) >> PAGE_SHIFT;
	return true;
}

static void gather(void)
{
	const uint64_t base = now.b->rip & PAGE_MASK;
	uint64_t rip = now.b->rip;

	now.insns = 0;
	if (gather_across())
		return;
	while (now.insns < BLOCK_INSNS) {
		struct tr_insn *n = &now.insn[now.insns];
		const uint64_t offset = rip - base;

		if (offset >= PAGE_SIZE ||
		    !insn_read(n, rip, now.page + offset, PAGE_SIZE - offset, code32()) ||
		    (rip == tr_stop && tr_stop))
			break;
		if (now.b->mode & MODE_TS && n->i.meta.isa_ext != ZYDIS_ISA_EXT_BASE)
			n->kind = n->kind == INSN_PLAIN || n->kind == INSN_MEMORY ? INSN_STEP
										  : n->kind;
		now.insns++;
		rip += n->i.length;
		if (n->kind >= INSN_CALL && n->kind != INSN_BRANCH)
			break;
	}
}

bool lower_block(struct vcpu *v, struct block *b, const uint8_t *page, const uint8_t *next,
		 struct emit *e, struct emit *cold)
{
	const struct tr_insn *last;
	bool open = true;

	now.v = v;
	now.b = b;
	now.page = page;
	now.next = next;
	now.e = *e;
	now.cold = *cold;
	now.slows = 0;
	gather();
	if (!now.insns)
		return false;
	flags_live();
	for (unsigned k = 0; k < now.insns && open;)
		k += lower_insn(&now.insn[k], &now.insn[now.insns], &open);
	last = &now.insn[now.insns - 1];
	if (open)
		emit_direct(last, last->rip + last->i.length, -1);
	emit_behind();
	b->insns = now.insns;
	b->bytes = last->rip + last->i.length - b->rip;
	*e = now.e;
	*cold = now.cold;
	return true;
}
