/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-unhandled", "an exception without a handler ends the domain, not the host");

void test_main(void)
{
	check_eq("no handlers", HYPERVISOR_set_trap_table(NULL), 0);
	expect_crash("#UD without a handler");
	__asm__ volatile("ud2");
	survived();
}
