/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-iret-frame", "an iret whose frame cannot be read ends the domain");

void test_main(void)
{
	expect_crash("iret with no stack");
	__asm__ volatile("movq %0, %%rsp; movl $23, %%eax; syscall" ::"r"(NOWHERE));
	survived();
}
