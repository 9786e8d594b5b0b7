/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("m2p-fault", "the machine-to-physical table is there, but neither to write to nor to execute");

#define M2P 0xffff800000000000ul

void test_main(void)
{
	struct trap_regs regs;

	if (!user_try())
		skip("an ordinary process has other things there");
	check("a write: a trap", trap_catch(do_write, (void *)M2P, &regs));
	check_eq("a write", (long)regs.vector, 14);
	check_eq("a write: its error code", (long)regs.error, 3);
	check("a call: a trap", trap_catch(do_call, (void *)M2P, &regs));
	check_eq("a call", (long)regs.vector, 14);
	check_eq("a call: its error code", (long)regs.error, 0x11);
}
