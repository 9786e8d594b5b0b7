/* SPDX-License-Identifier: MIT */
/* Another vCPU of a guest: in kernel mode, on this one's page tables unless said otherwise. */
#ifndef PAVANE_TESTS_VCPU_H
#define PAVANE_TESTS_VCPU_H

#include "common.h"

/* `c` for a vCPU that begins with `main`, a function, on `size` bytes of stack. */
static inline void vcpu_context(struct vcpu_guest_context *c, const void *main, char *stack,
				unsigned long size)
{
	*c = (struct vcpu_guest_context){.flags = VGCF_in_kernel};
	c->user_regs.rip = (unsigned long)main;
	c->user_regs.rsp = (unsigned long)stack + size - 8;
	c->user_regs.rflags = 0x200;
	c->user_regs.cs = FLAT_KERNEL_CS;
	c->user_regs.ss = FLAT_KERNEL_SS;
	c->kernel_ss = FLAT_KERNEL_SS;
	c->kernel_sp = (unsigned long)stack + size;
	c->ctrlreg[3] = xen_pfn_to_cr3(va_to_mfn((void *)start_info->pt_base));
}

static inline void vcpu_start(unsigned int id, struct vcpu_guest_context *c)
{
	check_eq("initialise", HYPERVISOR_vcpu_op(VCPUOP_initialise, id, c), 0);
	check_eq("up", HYPERVISOR_vcpu_op(VCPUOP_up, id, NULL), 0);
}

#endif
