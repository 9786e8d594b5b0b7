/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-memory", "a guest that overwrites all of its memory ends only itself");

/* Everything that is writable, upwards and downwards, until something gives. */
void test_main(void)
{
	HYPERVISOR_set_trap_table(NULL);
	expect_crash("all memory overwritten");
	__asm__ volatile("1: movq $-1, (%0); addq $8, %0; jmp 1b" ::"r"(_etext) : "memory");
	survived();
}
