/* SPDX-License-Identifier: MIT */
/*
 * Accesses of a block that share one look at the TLB: those by the same register, unchanged between
 * them, whose displacements are close to each other. The first looks for all of their bytes, and
 * leaves the place in a slot, where it is good until the cache is left: a flush waits for that.
 *
 * Pushes in a row share one as well, and so do pops, up to a return (lower_insn.c).
 *
 * If these bytes are not all in one page, or a store to it is not known yet, or nothing is, it goes
 * on by another translation from there, in which each access looks for itself (MODE_SINGLE). So a
 * fault is that of the instruction that has it.
 */
#include "host-driver/providers/process/translate/lower.h"

#define REACH 256 /* bytes from the first of a group's to its last */

static bool may_share(const struct tr_insn *n)
{
	const ZydisDecodedOperandMem *m;

	if (n->kind != INSN_MEMORY || !n->mem || (!n->writes && reads_upper(n)))
		return false;
	m = &n->mem->mem;
	return n->i.address_width == 64 && m->index == ZYDIS_REGISTER_NONE &&
	       m->base != ZYDIS_REGISTER_NONE && m->base != ZYDIS_REGISTER_RIP &&
	       m->segment != ZYDIS_REGISTER_FS && m->segment != ZYDIS_REGISTER_GS;
}

bool insn_changes(const struct tr_insn *n, ZydisRegister reg)
{
	for (unsigned k = 0; k < n->i.operand_count; k++)
		if (n->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    n->op[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64,
						     n->op[k].reg.value) == reg)
			return true;
	return false;
}

/* Takes n into g, if that is not too far away. */
static void share(struct group *g, struct tr_insn *n, uint8_t number)
{
	const int64_t first = n->mem->mem.disp.value, end = first + n->size;
	const int64_t from = first < g->first ? first : g->first;
	const int64_t to = end > g->first + g->size ? end : g->first + g->size;

	if (to - from > REACH || from < INT32_MIN || to > INT32_MAX)
		return;
	g->first = from;
	g->size = to - from;
	g->writes |= n->writes;
	g->members++;
	n->group = number;
}

/*
 * The group that instruction k begins. A store behind a branch is not taken into a group of loads,
 * for it may never be: but for the stack, which is always written to.
 */
static void gather_group(struct group *g, unsigned k, uint8_t number)
{
	struct tr_insn *n = &now.insn[k];
	const ZydisRegister base = n->mem->mem.base;
	bool branched = false;

	*g = (struct group){.first = n->mem->mem.disp.value, .size = n->size};
	share(g, n, number);
	for (; k + 1 < now.insns && !insn_changes(n, base); k++) {
		branched |= n->kind == INSN_BRANCH;
		n = &now.insn[k + 1];
		if (may_share(n) && !n->group && n->mem->mem.base == base &&
		    (!n->writes || g->writes || !branched || base == ZYDIS_REGISTER_RSP))
			share(g, n, number);
	}
}

void group_all(void)
{
	unsigned groups = 0;

	now.held_in = 0;
	for (unsigned k = 0; k < now.insns; k++)
		now.insn[k].group = 0;
	if (code32() || now.b->mode & (MODE_SINGLE | MODE_WINDOW))
		return;
	for (unsigned k = 0; k < now.insns && groups < GROUPS; k++) {
		struct tr_insn *n = &now.insn[k];

		if (!may_share(n) || n->group)
			continue;
		gather_group(&now.group[groups], k, groups + 1);
		if (now.group[groups].members > 1)
			groups++;
		else
			n->group = 0;
	}
}

void group_forget(const struct tr_insn *n)
{
	const bool leaves_temps = n->kind == INSN_NOTHING || n->kind == INSN_BRANCH ||
				  (n->kind == INSN_PLAIN && !(n->temps_read | n->temps_written));

	if (!leaves_temps && !n->group)
		now.held_in = 0;
}

int32_t emit_shared(const struct tr_insn *n, unsigned t0, bool flags)
{
	struct group *g = &now.group[n->group - 1];
	const int slot = T_GROUP + 8 * (n->group - 1);

	if (!g->found) {
		emit_place_of_group(n, g, t0, flags);
		emit_store_slot(&now.e, slot, t0);
		g->found = true;
	} else if (now.held != n->group || now.held_in != t0) {
		emit_load_slot(&now.e, t0, slot);
	}
	now.held = n->group;
	now.held_in = t0;
	if ((n->temps_read | n->temps_written) & (t0 == R15 ? 2 : 1))
		now.held_in = 0;
	return n->mem->mem.disp.value - g->first;
}
