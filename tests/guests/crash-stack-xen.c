/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-stack-xen", "a stack pointer into the hypervisor is no way to write there");

void test_main(void)
{
	expect_crash("#UD with the stack in the hypervisor");
	__asm__ volatile("movq %0, %%rsp; ud2" ::"r"(XEN_RANGE + 0x1000));
	survived();
}
