/* SPDX-License-Identifier: MIT */
#include <pavane/extension.h>

#include "user.h"

TEST("user-tsc", "a kernel that keeps its users from the time stamp counter, and lets them again");

#define TSD   0x4ul
#define TIMES 3 /* what was run before, and what was not */

void read_tsc(void *arg);

__asm__("read_tsc: rdtsc\n"
	"	ret");

static void __attribute__((noinline)) forbidden_tsd(bool on)
{
	uint64_t cr4;

	__asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
	cr4 = on ? cr4 | TSD : cr4 & ~TSD;
	__asm__ volatile("movq %0, %%cr4" ::"r"(cr4) : "memory");
}

static void kernel_reads(void *arg)
{
	__asm__ volatile("rdtsc" ::: "eax", "edx");
}

static void counter(void)
{
	struct trap_regs regs;

	for (unsigned int i = 0; i < TIMES; i++) {
		forbidden_tsd(false);
		user_run(read_tsc, NULL, &regs);
		check_eq("read", (long)regs.rax, USER_RETURNED);
		forbidden_tsd(true);
		user_run(read_tsc, NULL, &regs);
		check_eq("not to be read", (long)regs.vector, 13);
		check_eq("there", (long)regs.rip, (long)read_tsc);
		check_eq("the kernel's may", vector_of(kernel_reads, NULL), -1);
	}
	forbidden_tsd(false);
}

void test_main(void)
{
	struct pavane_vm_exits exits;

	user_init();
	if (!raw_hypercall(__HYPERVISOR_arch_7, PAVANE_OP_vm_exits, (unsigned long)&exits, 0))
		skip("with VT-x a user's rdtsc is the CPU's");
	counter();
}
