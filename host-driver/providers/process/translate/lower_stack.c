/* SPDX-License-Identifier: MIT */
/* Pushes, pops and returns: several in a row are one access. */
#include "host-driver/providers/process/translate/lower.h"

static inline unsigned other_temp(unsigned t)
{
	return t ^ R14 ^ R15;
}

void emit_store_const(const struct place *p, int32_t at, uint64_t val)
{
	const unsigned t1 = other_temp(p->t);

	if ((int64_t)val == (int32_t)val || code32()) {
		emit_word_in(p->seg, 0xc7, 0, p->t, p->at + at);
		e32(&now.e, val);
		return;
	}
	emit_const(&now.e, t1, val);
	window_lose(t1);
	emit_base(&now.e, p->seg, OP_STORE, t1, p->t, p->at + at);
}

void emit_rsp_add(int32_t bytes)
{
	emit_word(OP_LEA, RSP, RSP, bytes);
}

/* `count` pushes one after the other: all in one page, or the slow way. */
void lower_pushes(const struct tr_insn *n, unsigned count)
{
	const struct place p =
		emit_place_of(n, ADDRESS_PUSH, count, 0, word() * count, true, n->flags_live);
	const unsigned t1 = other_temp(p.t);

	for (unsigned k = 0; k < count; k++, n++) {
		const int32_t at = word() * (count - 1 - k);
		unsigned in;

		if (n->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			emit_store_const(&p, at, n->op[0].imm.value.s);
			continue;
		}
		in = value_in(number(n->op[0].reg.value), t1);
		if (in == t1)
			window_lose(t1);
		emit_word_in(p.seg, OP_STORE, in, p.t, p.at + at);
	}
	emit_rsp_add(-word() * (int)count);
}

void emit_loaded(const struct place *p, unsigned reg)
{
	if (p->t == NO_TEMP) {
		e8(&now.e, p->seg);
		emit_rex(&now.e, reg, 0);
		e8(&now.e, OP_LOAD);
		emit_operand(reg << 3, NO_TEMP, p->at);
	} else {
		emit_word_in(p->seg, OP_LOAD, reg, p->t, p->at);
	}
	if (reg == R14 || reg == R15)
		window_lose(reg);
}

/* Its value waits in a slot while there is a look for the stack. */
void lower_push_memory(const struct tr_insn *n)
{
	struct place p = emit_place(n, ADDRESS_OPERAND, word(), false, n->flags_live);

	emit_loaded(&p, R14);
	emit_store_slot(&now.e, T_SCRATCH, R14);
	p = emit_place_of(n, ADDRESS_PUSH, 1, 1, word(), true, n->flags_live);
	emit_load_slot(&now.e, R14, T_SCRATCH);
	emit_word_in(p.seg, OP_STORE, R14, p.t, p.at);
	emit_rsp_add(-word());
}

static void emit_popped(const struct tr_insn *n, const struct place *p, int32_t at)
{
	const unsigned reg = number(n->op[0].reg.value), t1 = other_temp(p->t);
	const bool slot = reg == R14 || reg == R15;

	emit_word_in(p->seg, OP_LOAD, slot ? t1 : reg, p->t, p->at + at);
	if (!slot)
		return;
	window_lose(t1);
	emit_store_slot(&now.e, reg == R14 ? T_R14 : T_R15, t1);
}

void lower_pops(const struct tr_insn *n, unsigned count)
{
	const struct tr_insn *last = n + count - 1;
	int32_t bytes = word() * count;
	const struct place p =
		emit_place_of(n, ADDRESS_POP, count, 0, bytes, false, last->flags_live);

	for (unsigned k = 0; k < count; k++)
		if (n[k].kind == INSN_POP)
			emit_popped(&n[k], &p, word() * k);
	if (last->kind == INSN_POP) {
		if (number(last->op[0].reg.value) != RSP)
			emit_rsp_add(bytes);
		return;
	}
	emit_word_in(p.seg, OP_LOAD, R14, p.t, p.at + bytes - word());
	if (last->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		bytes += (uint16_t)last->op[0].imm.value.u;
	emit_rsp_add(bytes);
	emit_indirect(LINK_RETURN);
}

void lower_leave(const struct tr_insn *n)
{
	const struct place p = emit_place(n, ADDRESS_FRAME, word(), false, n->flags_live);

	emit_loaded(&p, R14);
	emit_word(OP_LEA, RSP, RBP, word());
	emit_mov_word(RBP, R14);
}

static bool pushes(const struct tr_insn *n)
{
	return n->kind == INSN_PUSH &&
	       (n->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE || number(n->op[0].reg.value) != RSP);
}

unsigned stack_group(const struct tr_insn *n, const struct tr_insn *end)
{
	const struct tr_insn *m = n;

	if (now.b->mode & MODE_SINGLE) /* as in group_all() */
		return 1;
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
