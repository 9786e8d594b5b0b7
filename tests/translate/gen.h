/* SPDX-License-Identifier: MIT */
/* What the generator's files share. */
#ifndef PAVANE_DFUZZ_GEN_H
#define PAVANE_DFUZZ_GEN_H

#include <Zydis/Zydis.h>

#include "tests/translate/dfuzz.h"

struct gen_template {
	ZydisMnemonic mnemonic;
	uint8_t sizes; /* 1, 2, 4, 8 as bits */
	const char *ops;
	uint8_t weight;
};
extern const struct gen_template gen_templates[];
extern const unsigned gen_nr_templates;

struct gen {
	struct rng r;
	struct testcase *c;
	uint16_t pointers; /* registers that are addresses, a bit each */
};

/* operand.c: operands and whole instructions, by Zydis' encoder */
unsigned gen_reg(struct gen *g); /* any, those of the translator more often */
ZydisRegister gen_gpr(unsigned nr, unsigned size);
/* Instructions go to the end of the case; false: no such instruction, or no room. */
bool gen_add(struct gen *g, const uint8_t *insn, unsigned len);
bool gen_encode(struct gen *g, const struct gen_template *t);
/* A found instruction, with other registers and displacements. */
bool gen_harvested(struct gen *g, unsigned form);

/* flow.c: what is more than one instruction, or none that the encoder knows */
void gen_special(struct gen *g);
#endif
