/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-asked", "SHUTDOWN_crash is a crash, and the last line gets out");

void test_main(void)
{
	expect_crash("because the guest says so");
	shutdown(SHUTDOWN_crash);
}
