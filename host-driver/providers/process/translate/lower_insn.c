/* SPDX-License-Identifier: MIT */
/* Instructions, one or a few at a time: most are copied. */
#include "host-driver/providers/process/translate/lower.h"

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

/*
 * Of the prefixes but the REX that counts: those that are about the address, and a REX that another
 * prefix follows, which is none, and would be one where that is dropped.
 */
static bool drops(uint8_t prefix)
{
	return prefix >> 4 == 4 || prefix == 0x26 || prefix == 0x2e || prefix == 0x36 ||
	       prefix == 0x3e || prefix == 0x64 || prefix == 0x65 || prefix == 0x67;
}

/* a0 to a3 as 8a, 8b, 88 or 89. */
static void emit_absolute(const struct tr_insn *n, unsigned seg, unsigned t0)
{
	struct emit *e = &now.e;

	if (seg)
		e8(e, seg);
	if (n->i.operand_width == 16)
		e8(e, 0x66);
	e8(e, 0x41);
	e8(e, 0x88 | (n->i.opcode & 1) | (n->i.opcode & 2 ? 0 : 2));
	e8(e, t0 & 7);
}

void emit_operand(unsigned modrm, unsigned t0, int32_t disp)
{
	struct emit *e = &now.e;

	modrm &= 0x38;
	if (t0 == NO_TEMP) {
		e8(e, modrm | 4);
		e8(e, 0x25);
		e32(e, disp);
	} else if (!disp) {
		e8(e, modrm | (t0 & 7));
	} else if (disp == (int8_t)disp) {
		e8(e, 0x40 | modrm | (t0 & 7));
		e8(e, disp);
	} else {
		e8(e, 0x80 | modrm | (t0 & 7));
		e32(e, disp);
	}
}

/* The instruction with seg:[t0 + disp] for its operand. */
static void emit_rewritten(const struct tr_insn *n, unsigned seg, unsigned t0, int32_t disp)
{
	const ZydisDecodedInstruction *i = &n->i;
	const unsigned modrm = i->raw.modrm.offset;
	struct emit *e = &now.e;
	unsigned k = 0, end;

	if (seg)
		e8(e, seg);
	if (i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
		const uint8_t *vex = n->bytes + i->raw.vex.offset;
		const bool two = vex[0] == 0xc5;

		e8(e, 0xc4); /* X 0, B 1, or 0 of no register */
		e8(e,
		   (vex[1] & 0x80) | 0x40 | (t0 == NO_TEMP ? 0x20 : 0) | (two ? 1 : vex[1] & 0x1f));
		e8(e, two ? vex[1] & 0x7f : vex[2]);
		k = i->raw.vex.offset + (two ? 2 : 3);
	} else {
		const bool rex = i->attributes & ZYDIS_ATTRIB_HAS_REX;

		for (; k + rex < i->raw.prefix_count; k++)
			if (!drops(n->bytes[k]))
				e8(e, n->bytes[k]);
		if (t0 != NO_TEMP || rex)
			e8(e, 0x40 | t0 >> 3 | (rex ? i->raw.rex.W << 3 | i->raw.rex.R << 2 : 0));
		k += rex;
	}
	for (; k < modrm; k++)
		e8(e, n->bytes[k]);
	emit_operand(n->bytes[modrm], t0, disp);
	end = modrm + 1 + (i->raw.modrm.rm == 4) + i->raw.disp.size / 8;
	for (k = end; k < i->length; k++)
		e8(e, n->bytes[k]);
}

/* An instruction that reads by upper.c as it is, but for the segment. */
static bool as_it_is(const struct tr_insn *n)
{
	const ZydisRegister segment = n->mem->mem.segment, base = n->mem->mem.base;

	return !n->writes && reads_upper(n) && !code32() && n->i.raw.modrm.offset &&
	       n->i.address_width == 64 && n->i.length < INSN_MAX && segment != ZYDIS_REGISTER_FS &&
	       segment != ZYDIS_REGISTER_GS && base != ZYDIS_REGISTER_RIP;
}

static void emit_in_upper(const struct tr_insn *n)
{
	const bool rex = n->i.attributes & ZYDIS_ATTRIB_HAS_REX;
	unsigned k = 0;

	e8(&now.e, SEG_GS);
	for (; k + rex < n->i.raw.prefix_count; k++)
		if (!drops(n->bytes[k]))
			e8(&now.e, n->bytes[k]);
	for (; k < n->i.length; k++)
		e8(&now.e, n->bytes[k]);
}

static void lower_memory(const struct tr_insn *n)
{
	const unsigned own = n->temps_read | n->temps_written, t0 = own & 2 ? R14 : R15;
	const bool flags = (n->flags_live & ~n->flags_killed) | n->flags_read;
	struct place p = {t0, 0, 0};

	if (as_it_is(n)) {
		temps_load(own | temps_in_address(n->mem));
		emit_in_upper(n);
		temps_store(n->temps_written);
		return;
	}
	if (n->group)
		p.at = emit_shared(n, t0, flags);
	else
		p = emit_place_of(n, ADDRESS_OPERAND, 1, own, n->size, n->writes, flags);
	temps_load(own);
	if (insn_is_absolute(n))
		emit_absolute(n, p.seg, p.t);
	else
		emit_rewritten(n, p.seg, p.t, p.at);
	temps_store(n->temps_written);
}

/* bt, bts, btr, btc: on the word that has the bit, by the bit's number in that. */
static void lower_bit(const struct tr_insn *n)
{
	const ZydisDecodedInstruction *i = &n->i;
	const unsigned reg = number(n->op[1].reg.value);

	const struct place p =
		emit_place(n, ADDRESS_BIT, n->size, n->writes, n->flags_live & ~n->flags_killed);

	emit_pext(&now.e, R14, value_in(reg, R14), n->size == 8 ? T_BITS64 : T_BITS32);
	if (p.seg)
		e8(&now.e, p.seg);
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

void emit_indirect(enum link_kind kind)
{
	const uint32_t l = link_add(now.b, 0, kind);

	links[l].at =
		offset_of(emit_link(&now.e, -1, kind == LINK_RETURN ? tr_return : tr_indirect));
}

uint32_t emit_chained(const struct tr_insn *n, uint64_t target, int cc)
{
	const uint32_t l = link_add(now.b, target, LINK_DIRECT);

	links[l].at = offset_of(emit_link(&now.e, cc, now.e.p));
	slow_add(n, SLOW_LINK, code_write + links[l].at, l);
	return l;
}

static void emit_by_ibtc(uint64_t target)
{
	emit_const(&now.e, R14, target);
	emit_indirect(LINK_INDIRECT);
}

/*
 * To another page, if the context says that the one is there that the jump was chained for:
 *
 *	mov    r14, rcx
 *	movzx  ecx, byte gs:[page_here + number]	of nobody, until it is chained
 *							(in a window r15 has where the IBTC is,
 *							which is before that)
 *	jrcxz  other
 *	mov    rcx, r14
 *	jmp    target
 * other: mov  rcx, r14				by the IBTC, once it is chained
 *	mov    r14, target
 *	jmp    tr_indirect
 *
 * The flags stay what they are: what needs them is in the other page, of which nothing is known.
 */
static void emit_guarded(const struct tr_insn *n, uint64_t target)
{
	struct emit *e = &now.e;
	uint8_t *guard, *over;
	uint32_t l, other;

	emit_mov(e, R14, RCX);
	guard = emit_guard(e, in_window());
	e8(e, 0xe3); /* jrcxz */
	e8(e, 0);
	over = e->p;
	emit_mov(e, RCX, R14);
	l = emit_chained(n, target, -1);
	links[l].guard = offset_of(guard);
	over[-1] = e->p - over;
	emit_mov(e, RCX, R14);
	emit_const(e, R14, target);
	other = link_add(now.b, target, LINK_DIRECT);
	links[other].at = offset_of(emit_link(e, -1, e->p));
}

void emit_direct(const struct tr_insn *n, uint64_t target, int cc)
{
	const enum linkable linkable = code_linkable(now.v, now.b, target);

	if (linkable == LINK_TRUSTED)
		emit_chained(n, target, cc);
	else if (cc >= 0)
		slow_add(n, SLOW_FAR, emit_link(&now.e, cc, now.e.p), 0);
	else if (linkable == LINK_GUARDED)
		emit_guarded(n, target);
	else
		emit_by_ibtc(target);
}

/*
 * Leaves for the return behind call n where that goes: r15 = its entry, which the stack pointer
 * says before it changes; r14 is lost. What it leads to lies behind the block.
 */
static void emit_expect_return(const struct tr_insn *n)
{
	const uint64_t target = n->rip + n->i.length;
	struct emit *e = &now.e;

	if (code32() || code_linkable(now.v, now.b, target) != LINK_TRUSTED)
		return;
	emit_pext(e, R15, RSP, T_RET_MASK);
	emit_lea2(e, R15, R15, R15);
	emit_load_slot(e, R14, T_RETURNS);
	emit_lea_scaled(e, R15, R14, R15, 3);
	emit_const(e, R14, -target);
	emit_base(e, 0, OP_STORE, R14, R15, 0);
	e8(e, 0x4c); /* lea r14, [rip + ...] */
	e8(e, OP_LEA);
	e8(e, 0x35);
	e32(e, 0);
	slow_add(n, SLOW_RETURN, e->p - 4, 0);
	emit_base(e, 0, OP_STORE, R14, R15, 8);
}

static void emit_push_return(const struct tr_insn *n)
{
	const struct place p = emit_place(n, ADDRESS_PUSH, word(), true, n->flags_live);

	emit_store_const(&p, 0, n->rip + n->i.length);
	emit_expect_return(n);
	emit_rsp_add(-word());
}

/* r14 = where the instruction says, before the stack changes. */
static void emit_target(const struct tr_insn *n)
{
	if (n->kind == INSN_CALL_MEM || n->kind == INSN_JUMP_MEM) {
		const struct place p = emit_place(n, ADDRESS_OPERAND, word(), false, n->flags_live);

		emit_loaded(&p, R14);
	} else {
		const unsigned in = value_in(number(n->op[0].reg.value), R14);

		if (in != R14)
			emit_mov_word(R14, in);
		window_lose(R14);
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
		emit_indirect(LINK_INDIRECT);
		break;
	default: emit_target(n); emit_indirect(LINK_INDIRECT);
	}
}

/* The way out, behind which the block goes on. */
static void lower_string(const struct tr_insn *n)
{
	const unsigned size = n->op[0].size / 8;
	const bool rep = n->i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE);
	const uint32_t site =
		site_add(now.b, 0, guest_offset(n),
			 size | (rep ? STRING_REP : 0) | n->i.length << STRING_LENGTH,
			 n->op[1].type == ZYDIS_OPERAND_TYPE_MEMORY ? SITE_MOVS : SITE_STOS);

	emit_const(&now.e, R15, site);
	emit_jump(&now.e, tr_exit_step);
	sites[site].code = offset_of(now.e.p);
}

/* The way out of the cache, or from mode to mode within it (cross.S). */
static void lower_step(const struct tr_insn *n, uint32_t site)
{
	const char *exit = tr_exit_step;

	if (n->i.mnemonic == ZYDIS_MNEMONIC_SYSCALL && !code32()) {
		emit_const(&now.e, R14, n->rip + n->i.length);
		exit = now.b->mode & MODE_KERNEL ? tr_exit_hypercall : tr_exit_syscall;
	}
	emit_const(&now.e, R15, site);
	emit_jump(&now.e, exit);
}

unsigned lower_insn(const struct tr_insn *n, const struct tr_insn *end, bool *open)
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
		count = stack_group(n, end);
		lower_pushes(n, count);
		break;
	case INSN_PUSH_MEM: lower_push_memory(n); break;
	case INSN_POP:
	case INSN_RET:
		count = stack_group(n, end);
		*open = n[count - 1].kind != INSN_RET;
		lower_pops(n, count);
		break;
	case INSN_LEAVE: lower_leave(n); break;
	case INSN_STRING: lower_string(n); break;
	case INSN_STEP: lower_step(n, site); break;
	default: lower_transfer(n);
	}
	if (in_window())
		window_after(n, count);
	else
		group_forget(n);
	return count;
}
