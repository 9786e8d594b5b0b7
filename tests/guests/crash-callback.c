/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-callback", "an upcall to nowhere ends like any other fault");

void test_main(void)
{
	struct callback_register reg = {.type = CALLBACKTYPE_event, .address = NOWHERE};
	long port = event_bind_ipi();

	event_unmask((unsigned int)port);
	check_eq("callback", HYPERVISOR_callback_op(CALLBACKOP_register, &reg), 0);
	HYPERVISOR_set_trap_table(NULL);
	expect_crash("an event callback that is not there");
	upcalls_enable();
	event_send((unsigned int)port);
	survived();
}
