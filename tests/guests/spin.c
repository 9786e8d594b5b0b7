/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("spin", "every vCPU spins, with upcalls masked, for tests/cli/faults.sh to pause and end");

static char stacks[32][512] __attribute__((aligned(16)));

static void spin(void)
{
	for (;;)
		;
}

void test_main(void)
{
	static struct vcpu_guest_context c;
	unsigned int id;

	if (start_info->cmd_line[0] != 's')
		skip("it never ends: for tests/cli/faults.sh");
	c.flags = VGCF_in_kernel;
	c.user_regs.rip = (unsigned long)spin;
	c.user_regs.rflags = 0x200;
	c.user_regs.cs = FLAT_KERNEL_CS;
	c.user_regs.ss = FLAT_KERNEL_SS;
	c.kernel_ss = FLAT_KERNEL_SS;
	c.ctrlreg[3] = xen_pfn_to_cr3(va_to_mfn((void *)start_info->pt_base));
	for (id = 1; HYPERVISOR_vcpu_op(VCPUOP_is_up, id, NULL) >= 0; id++) {
		c.user_regs.rsp = (unsigned long)stacks[id] + sizeof(stacks[id]) - 8;
		c.kernel_sp = c.user_regs.rsp + 8;
		if (HYPERVISOR_vcpu_op(VCPUOP_initialise, id, &c) ||
		    HYPERVISOR_vcpu_op(VCPUOP_up, id, NULL))
			panic("vCPU %u does not start", id);
	}
	printf("spin: %u vCPUs\n", id);
	spin();
}
