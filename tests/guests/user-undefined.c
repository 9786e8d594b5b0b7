/* SPDX-License-Identifier: MIT */
#include "user.h"

/* What is an instruction to a decoder, but to no CPU that a guest is shown. */
TEST("user-undefined", "branches by mask registers, of another processor, are invalid opcodes");

#define VECTOR_UD 6

extern const char jkzd[], jknzd[], jkzd_long[];
__asm__(".pushsection .text\n"
	"jkzd:	.byte 0xc5, 0x70, 0x84, 0, 0, 0, 0; ret\n"
	"jknzd:	.byte 0xc5, 0x70, 0x85, 0, 0, 0, 0; ret\n"
	"jkzd_long: .byte 0xc4, 0xe1, 0x70, 0x84, 0, 0, 0, 0; ret\n"
	".popsection\n");

static void invalid(const char *what, const char *insn)
{
	struct trap_regs regs;

	for (int i = 0; i < 3; i++) {
		user_run((void (*)(void *))insn, NULL, &regs);
		check_eq(what, (long)regs.vector, VECTOR_UD);
		check_eq("its instruction", (long)regs.rip, (long)insn);
	}
}

void test_main(void)
{
	user_init();
	invalid("jkzd", jkzd);
	invalid("jknzd", jknzd);
	invalid("jkzd by a longer prefix", jkzd_long);
}
