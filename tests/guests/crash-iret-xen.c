/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("crash-iret-xen", "the hypervisor's memory is no iret frame, even if it holds one");

/* Where the vtx provider keeps the registers of the vCPU's last hypercall (vtx.h: AREA_VCPU). */
#define AREA_REGS 0xffff820000003008ul

void test_main(void)
{
	expect_crash("iret with the stack in the hypervisor");
	/* The registers of a first hypercall, in their order there, are a frame that would do. */
	__asm__ volatile("movl $17, %%eax\n\t"
			 "xorl %%edi, %%edi\n\t"
			 "xorl %%r12d, %%r12d\n\t"
			 "movl $0xe030, %%ebx\n\t"
			 "movl $0xe02b, %%r9d\n\t"
			 "movq %%rsp, %%r10\n\t"
			 "leaq 1f(%%rip), %%rbp\n\t"
			 "syscall\n\t"
			 "movq %0, %%rsp\n\t"
			 "movl $23, %%eax\n\t"
			 "syscall\n\t"
			 "ud2\n"
			 "1:" ::"r"(AREA_REGS)
			 : "rax", "rbx", "rcx", "rdi", "r8", "r9", "r10", "r11", "r12", "memory");
	survived();
}
