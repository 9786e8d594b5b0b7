/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("iopl", "I/O privilege by PHYSDEVOP_set_iopl, and as an architectural flag");

#define IOPL(n)	  ((uint64_t)(n) << 12)
#define ARCH_IOPL VMASST_TYPE_architectural_iopl

static uint64_t seen, wanted;

void forbidden_in(void *arg);
__asm__("forbidden_in: inb $0xed, %al; ret");

static bool breakpoint(struct trap_regs *regs)
{
	seen = regs->rflags & IOPL(3);
	regs->rflags = (regs->rflags & ~IOPL(3)) | wanted;
	return true;
}

/* The flag in a trap's frame; the return from it asks for `next`. */
static long flag(unsigned int next)
{
	wanted = IOPL(next);
	__asm__ volatile("int3");
	return (long)(seen >> 12);
}

static void set(unsigned int level)
{
	struct physdev_set_iopl s = {.iopl = level};

	check_eq("set_iopl", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &s), 0);
}

static long in(void)
{
	return vector_of(forbidden_in, NULL);
}

static long user_in(void)
{
	struct trap_regs regs;

	user_run(forbidden_in, NULL, &regs);
	return (long)regs.vector;
}

void test_main(void)
{
	struct physdev_set_iopl four = {.iopl = 4};

	trap_set_handler(3, breakpoint);
	check_eq("4", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &four), -XEN_EINVAL);
	set(0);
	check_eq("0: in", in(), 13);
	set(1);
	check_eq("1: in", in(), -1);
	check_eq("1: not in a frame", flag(0), 0);
	check_eq("1: nor set by iret", in(), -1);

	check_eq("architectural", HYPERVISOR_vm_assist(VMASST_CMD_enable, ARCH_IOPL), 0);
	check_eq("1: in a frame", flag(2), 1);
	check_eq("2: set by iret", flag(0), 2);
	check_eq("0: set by iret", flag(0), 0);
	check_eq("0: the kernel is in ring 0", in(), -1);
	set(3);
	check_eq("3: by hypercall", flag(3), 3);
	if (user_try()) {
		/* The frames of user_run() have 0. */
		check_eq("user: 0", user_in(), 13);
		check_eq("disable", HYPERVISOR_vm_assist(VMASST_CMD_disable, ARCH_IOPL), 0);
		set(2);
		check_eq("user: 2", user_in(), 13);
		set(3);
		check_eq("user: 3", user_in(), -2);
	}
}
