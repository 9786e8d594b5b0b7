/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("user-align",
     "an unaligned access faults if the program set AC, and only then; the kernel's too");

#define AC 0x40000ul

static uint64_t words[2];
extern char unaligned[];
void access_unaligned(void *at);
void forbidden_ac(void *at);

__asm__("access_unaligned:\n"
	"unaligned: movl (%rdi), %eax\n"
	"	ret\n"
	"forbidden_ac: pushfq\n"
	"	orq $0x40000, (%rsp)\n"
	"	popfq\n"
	"	movl (%rdi), %eax\n"
	"	pushfq\n"
	"	andq $~0x40000, (%rsp)\n"
	"	popfq\n"
	"	ret");

void test_main(void)
{
	char *at = (char *)words + 1;
	struct trap_regs regs;

	user_init();
	user_run(access_unaligned, at, &regs);
	check_eq("without AC", (long)regs.rax, USER_RETURNED);
	user_run_flags(access_unaligned, words, AC, &regs);
	check_eq("aligned", (long)regs.rax, USER_RETURNED);
	check_eq("and AC is kept", (long)(regs.rflags & AC), AC);
	user_run_flags(access_unaligned, at, AC, &regs);
	check_eq("unaligned", (long)regs.vector, 17);
	check_eq("there", (long)regs.rip, (long)unaligned);
	check_eq("its error code", (long)regs.error, 0);
	user_run(access_unaligned, at, &regs);
	check_eq("without AC again", (long)regs.rax, USER_RETURNED);
	check_eq("the kernel, which is in ring 3 as well", vector_of(forbidden_ac, at), 17);
	check_eq("the kernel, aligned", vector_of(forbidden_ac, words), -1);
}
