/* SPDX-License-Identifier: MIT */
/* Exceptions of users, and the kernel's own at users' addresses. */
#include <pv/process.h>
#include "kernel.h"

#define PAGE_FAULT  14
#define ERROR_WRITE 2

long user_copy(void *dst, const void *src, size_t n);
extern char user_copy_insn[], user_copy_fault[];

long copy_from_user(void *dst, unsigned long src, size_t n)
{
	return is_user(src, n) ? user_copy(dst, (const void *)src, n) : -XEN_EFAULT;
}

long copy_to_user(unsigned long dst, const void *src, size_t n)
{
	return is_user(dst, n) ? user_copy((void *)dst, src, n) : -XEN_EFAULT;
}

long copy_string(char *dst, unsigned long src, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (copy_from_user(dst + i, src + i, 1))
			return -XEN_EFAULT;
		if (!dst[i])
			return (long)i;
	}
	return -XEN_E2BIG;
}

/* Page faults come with upcalls masked, so cr2 is still this vCPU's. */
static bool mend(const struct trap_regs *regs)
{
	struct process *p = process_current();

	return p && regs->vector == PAGE_FAULT &&
	       space_fault(p->space, vcpu_info_here()->arch.cr2, regs->error & ERROR_WRITE);
}

static bool kernel_fault(struct trap_regs *regs)
{
	if (!is_user(vcpu_info_here()->arch.cr2, 1))
		return false;
	if (mend(regs))
		return true;
	if (regs->rip != (unsigned long)user_copy_insn)
		return false;
	regs->rip = (unsigned long)user_copy_fault;
	return true;
}

static void user_fault(struct trap_regs *regs)
{
	struct process *p = process_current();

	if (!mend(regs)) {
		printf("%s: ended by exception %lu\n", p->name, regs->vector);
		process_exit(STATUS_SIGNAL(SIGSEGV));
	}
	process_leave_kernel(regs);
}

void user_traps_init(void)
{
	trap_set_handler(PAGE_FAULT, kernel_fault);
	trap_from_user = user_fault;
	syscall_from_user = syscall_dispatch;
}
