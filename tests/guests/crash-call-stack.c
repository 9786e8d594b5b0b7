/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("crash-call-stack",
     "a kernel stack that was written to by many calls may not be any more: no call gets there");

extern char syscall_callback[];

static void call(void *arg)
{
	__asm__ volatile("syscall" ::: "rax", "rcx", "r11", "memory");
}

void test_main(void)
{
	struct callback_register reg = {
		.type = CALLBACKTYPE_syscall,
		.flags = CALLBACKF_mask_events,
		.address = (unsigned long)syscall_callback,
	};
	struct trap_regs regs;
	char *page;

	user_init();
	check_eq("entry", HYPERVISOR_callback_op(CALLBACKOP_register, &reg), 0);
	page = page_alloc();
	HYPERVISOR_stack_switch(FLAT_KERNEL_SS, (unsigned long)page + PAGE_SIZE);
	for (unsigned int i = 0; i < 8; i++) {
		user_run_flags(call, NULL, FLAG_IF, &regs);
		check_eq("a call", regs.vector, -2);
	}
	check_eq("read-only", page_set_ro(page, true), 0);
	expect_crash("a user's call with a stack that is read-only");
	user_run_flags(call, NULL, FLAG_IF, &regs);
	survived();
}
