/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("crash-user-stack",
     "a kernel stack in the hypervisor is no way to write there for a user's call");

/* The vtx provider has a writable page there (vtx.h: the end of AREA_STATE's). */
#define AREA_PAGE 0xffff820000002f00ul

static char stack[4096] __attribute__((aligned(16)));
char *crash_stack = stack + sizeof(stack);
extern char crash_entry[];

/* An entry that needs nothing of the frame. */
__asm__("crash_entry:\n"
	"	movq crash_stack(%rip), %rsp\n"
	"	call survived\n");

static void call(void *arg)
{
	__asm__ volatile("syscall" ::: "rax", "rcx", "r11", "memory");
}

void test_main(void)
{
	struct callback_register reg = {.type = CALLBACKTYPE_syscall,
					.address = (unsigned long)crash_entry};
	struct trap_regs regs;

	user_init();
	check_eq("entry", HYPERVISOR_callback_op(CALLBACKOP_register, &reg), 0);
	/* What waits would come first, and meet the stack in the call's place. */
	upcalls_enable();
	upcalls_disable();
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, AREA_PAGE);
	expect_crash("a user's call with the kernel's stack in the hypervisor");
	user_run_flags(call, NULL, FLAG_IF, &regs);
	survived();
}
