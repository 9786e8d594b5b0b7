/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("abrupt",
     "powers off as Linux does, without waiting for its console: for tests/cli/faults.sh");

void test_main(void)
{
	struct sched_shutdown s = {.reason = SHUTDOWN_poweroff};

	if (start_info->cmd_line[0] != 'a')
		skip("it says nothing in the end: for tests/cli/faults.sh");
	printf("the last line\n");
	HYPERVISOR_sched_op(SCHEDOP_shutdown, &s);
}
