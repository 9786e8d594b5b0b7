/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-handler", "a page-fault handler that is not there must not loop for ever");

void test_main(void)
{
	check_eq("handler", trap_set_entry(14, 3, NOWHERE), 0);
	expect_crash("faults in the fault handler until the stack ends");
	do_read((void *)NOWHERE);
	survived();
}
