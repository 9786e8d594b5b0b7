/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-fault-xen", "the frame of a page fault is not written to the hypervisor's memory");

/* The vtx provider has a writable page there (vtx.h: the end of AREA_STATE's). */
#define AREA_PAGE 0xffff820000002f00ul

static char stack[4096] __attribute__((aligned(16)));
char *fault_stack = stack + sizeof(stack);
extern char fault_entry[];

/* A handler that needs nothing of the frame. */
__asm__("fault_entry:\n"
	"	movq fault_stack(%rip), %rsp\n"
	"	call survived\n");

void test_main(void)
{
	check_eq("handler", trap_set_entry(14, 4, (unsigned long)fault_entry), 0);
	expect_crash("a page fault with the stack in the hypervisor");
	__asm__ volatile("movq %0, %%rsp; movb $0, (%1)" ::"r"(AREA_PAGE), "r"(NOWHERE) : "memory");
	survived();
}
