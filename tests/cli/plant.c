/* SPDX-License-Identifier: MIT */
/*
 * A pvdom whose translator has a bug, for tests/cli/check: this stands between lower.c and
 * lower_insn.c (ld --wrap) and spoils what one kind of instruction was translated to, by its last
 * bytes. The program's name is the kind; by any other name nothing is spoilt.
 */
#include <errno.h>
#include <string.h>

#include "host-driver/providers/process/translate/lower.h"

unsigned __real_lower_insn(const struct tr_insn *n, const struct tr_insn *end, bool *open);
unsigned __wrap_lower_insn(const struct tr_insn *n, const struct tr_insn *end, bool *open);

/* `from` is where the translation begins, now.e.p where it ends. */
static const struct plant {
	const char *name;
	enum insn_kind kind;
	ZydisMnemonic mnemonic;
	enum { LAST_BYTE, REGISTER, CONDITION, UD2 } how;
} plants[] = {
	{"register", INSN_PLAIN, ZYDIS_MNEMONIC_SHL, LAST_BYTE}, /* the count */
	{"flags", INSN_PLAIN, ZYDIS_MNEMONIC_CMP, LAST_BYTE},	 /* a constant to compare with */
	{"memory", INSN_MEMORY, ZYDIS_MNEMONIC_MOV, LAST_BYTE},	 /* a constant that is stored */
	{"vector", INSN_MEMORY, ZYDIS_MNEMONIC_MOVDQA, REGISTER},
	{"branch", INSN_BRANCH, ZYDIS_MNEMONIC_JZ, CONDITION},
	{"exception", INSN_PLAIN, ZYDIS_MNEMONIC_SETZ, UD2},
};

static const struct plant *planted(void)
{
	for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++)
		if (!strcmp(plants[i].name, program_invocation_short_name))
			return &plants[i];
	return NULL;
}

static void spoil(const struct plant *p, const struct tr_insn *n, uint8_t *from)
{
	uint8_t *end = now.e.p;

	switch (p->how) {
	case LAST_BYTE:
		if (n->i.raw.imm[0].size && !n->temps_written)
			end[-1] ^= 1;
		break;
	case REGISTER: /* the other one of a pair */
		while (end[-3] != 0x0f || end[-2] != n->i.opcode)
			end--;
		end[-1] ^= 8;
		break;
	case CONDITION:
		if (end - from >= 6 && end[-6] == 0x0f)
			end[-5] ^= 1;
		break;
	case UD2: from[0] = 0x0f, from[1] = 0x0b; break;
	}
}

unsigned __wrap_lower_insn(const struct tr_insn *n, const struct tr_insn *end, bool *open)
{
	const struct plant *p = planted();
	uint8_t *from = now.e.p;
	const unsigned count = __real_lower_insn(n, end, open);

	if (p && n->kind == p->kind && n->i.mnemonic == p->mnemonic)
		spoil(p, n, from);
	return count;
}
