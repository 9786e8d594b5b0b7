/* SPDX-License-Identifier: MIT */
#include "kernel.h"
void process_init_vcpu(void)
{
}
void process_switch(struct thread *from, struct thread *to)
{
}
void process_leave_kernel(struct trap_regs *regs)
{
}
