/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-iret-user", "an iret to user mode without user page tables ends the domain");

void test_main(void)
{
	expect_crash("iret to user mode");
	__asm__ volatile(
		"movq %%rsp, %%rax\n"
		"	pushq $0xe02b; pushq %%rax; pushq $0x202; pushq $0xe033; pushq $1f\n"
		"	pushq $0; pushq $0; pushq $0; pushq $0\n"
		"	movl $23, %%eax; syscall\n"
		"1:" ::
			: "rax", "memory");
	survived();
}
