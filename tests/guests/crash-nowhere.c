/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-nowhere", "a jump to nowhere without a page-fault handler ends the domain");

void test_main(void)
{
	check_eq("no handlers", HYPERVISOR_set_trap_table(NULL), 0);
	expect_crash("a jump to nowhere");
	do_call((void *)NOWHERE);
	survived();
}
