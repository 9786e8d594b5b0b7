/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("user-flush", "to flush a line of the cache is an access to it, which may be a page fault");

void flush_line(void *at);
extern char flushing[];

__asm__("flush_line:\n"
	"flushing: clflush (%rdi)\n"
	"	ret");

static void cache(void)
{
	static char line[64] __attribute__((aligned(64)));
	struct trap_regs regs;

	user_run(flush_line, line, &regs);
	check_eq("a line that is there", (long)regs.rax, USER_RETURNED);
	user_run(flush_line, (void *)KERNEL_ONLY, &regs);
	check_eq("one that is not", (long)regs.vector, 14);
	check_eq("where it is flushed", (long)regs.rip, (long)flushing);
	check_eq("as if read", (long)regs.error, 4);
	check_eq("in the kernel", vector_of((void (*)(void *))flush_line, (void *)NOWHERE), 14);
}

void test_main(void)
{
	user_init();
	cache();
}
