/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("trap-step", "single steps and debug registers, as a kernel debugger uses them");

static unsigned int steps;
static uint64_t rips[8], step_dr6;
extern char step_0[], step_1[], step_2[];

/* Counts steps; the third ends it. */
static bool step(struct trap_regs *regs)
{
	if (steps < ARRAY_SIZE(rips))
		rips[steps] = regs->rip;
	if (!steps)
		step_dr6 = HYPERVISOR_get_debugreg(6);
	if (++steps == 3)
		regs->rflags &= ~FLAG_TF;
	return true;
}

static bool start(struct trap_regs *regs)
{
	regs->rflags |= FLAG_TF;
	return true;
}

static void debugregs(void)
{
	check_eq("dr0: set", HYPERVISOR_set_debugreg(0, 0x123456), 0);
	check_eq("dr0: get", (long)HYPERVISOR_get_debugreg(0), 0x123456);
	check_eq("dr3: not canonical", HYPERVISOR_set_debugreg(3, NON_CANON), -XEN_EPERM);
	check_eq("dr3: Xen's", HYPERVISOR_set_debugreg(3, XEN_RANGE), -XEN_EPERM);
	check_eq("dr6: its fixed bits", (long)(HYPERVISOR_get_debugreg(6) & 0xffff0ff0),
		 0xffff0ff0);
	check_eq("dr7: set", HYPERVISOR_set_debugreg(7, 0), 0);
	check_eq("dr7: general detect is not for guests", HYPERVISOR_set_debugreg(7, 0x2000),
		 -XEN_EPERM);
	check_eq("dr7: nor port breakpoints without CR4.DE", HYPERVISOR_set_debugreg(7, 0x20001),
		 -XEN_EPERM);
	check_eq("dr7: as it was", (long)HYPERVISOR_get_debugreg(7), 0x400);
	check_eq("dr4 is dr6", HYPERVISOR_set_debugreg(4, 1), 0);
	check_eq("dr4 reads dr6", (long)HYPERVISOR_get_debugreg(4),
		 (long)HYPERVISOR_get_debugreg(6));
	check_eq("dr5 reads dr7", (long)HYPERVISOR_get_debugreg(5), 0x400);
	check_eq("dr8", HYPERVISOR_set_debugreg(8, 0), -XEN_ENODEV);
	check_eq("dr0: back", HYPERVISOR_set_debugreg(0, 0), 0);
}

void test_main(void)
{
	trap_set_handler(1, step);
	trap_set_handler(3, start);
	__asm__ volatile("int3; .globl step_0\nstep_0: nop; .globl step_1\nstep_1: movl $1, %%eax\n"
			 ".globl step_2\nstep_2: nop; nop" ::
				 : "rax");
	trap_set_handler(3, NULL);
	check_eq("three steps", steps, 3);
	check_eq("after the first instruction", (long)rips[0], (long)step_1);
	check_eq("after the second", (long)rips[1], (long)step_2);
	check_eq("after the third", (long)rips[2], (long)step_2 + 1);
	check("dr6 says single step", step_dr6 & 1ul << 14);
	debugregs();
}
