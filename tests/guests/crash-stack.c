/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-stack", "a bounce frame with nowhere to go ends the domain");

void test_main(void)
{
	expect_crash("#UD on a stack that is not there");
	/* Asm to the end: nothing may touch the stack before the exception does. */
	__asm__ volatile("movq %0, %%rsp; ud2" ::"r"(NOWHERE));
	survived();
}
