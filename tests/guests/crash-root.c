/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-root", "an address space that maps nothing ends the domain that chose it");

void test_main(void)
{
	void *root = page_alloc();

	page_set_ro(root, true);
	check_eq("pin", mmuext(MMUEXT_PIN_L4_TABLE, va_to_mfn(root)), 0);
	expect_crash("an empty address space");
	mmuext(MMUEXT_NEW_BASEPTR, va_to_mfn(root));
	survived();
}
