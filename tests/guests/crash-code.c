/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-code", "a guest that unmaps the code it runs ends only itself");

void test_main(void)
{
	expect_crash("no code, no handlers");
	HYPERVISOR_set_trap_table(NULL);
	for (char *va = _text; va < _etext; va += PAGE_SIZE)
		HYPERVISOR_update_va_mapping((unsigned long)va, 0, UVMF_INVLPG);
	survived();
}
