/* SPDX-License-Identifier: MIT */
#include "user.h"

#include <xen/callback.h>

TEST("user-sysenter",
     "32-bit programs call their kernel by sysenter, which has a callback of its own");

extern char syscall_callback[];
void user_sysenter(void *arg);
__asm__("user_sysenter: movl $0x5e5e, %eax; movl $0x1234, %ebp\n"
	"	sysenter\n"
	"	ud2");

static uint8_t mask;

static void back(struct trap_regs *regs)
{
	mask = this_vcpu->evtchn_upcall_mask;
	user_back(regs);
}

static long callback(uint16_t flags, unsigned long address)
{
	struct callback_register reg = {
		.type = CALLBACKTYPE_sysenter, .flags = flags, .address = address};

	return HYPERVISOR_callback_op(CALLBACKOP_register, &reg);
}

/* What the CPU keeps of the caller is nothing: null for rip, cs and rsp. */
static void check_frame(const char *what, const struct trap_regs *regs, long vector)
{
	check_eq(what, (long)regs->vector, vector);
	check_eq(what, (long)regs->rip, 0);
	check_eq(what, (long)(uint32_t)regs->cs, 3);
	check_eq(what, (long)regs->rsp, 0);
	check_eq(what, (long)regs->ss, FLAT_USER_SS);
	check_eq(what, (long)(regs->rflags & (FLAG_TF | FLAG_IF)), FLAG_IF);
	check_eq(what, (long)regs->rax, 0x5e5e);
	check_eq(what, (long)regs->rbp, 0x1234);
}

void test_main(void)
{
	struct callback_unregister unreg = {.type = CALLBACKTYPE_sysenter};
	struct trap_regs regs;

	user_init();
	syscall_from_user = back;
	user_run_flags(user_sysenter, NULL, FLAG_IF, &regs);
	check_frame("without a callback", &regs, 13);
	check_eq("without a callback: the error code", (long)regs.error, 0);
	check_eq("not canonical", callback(0, NON_CANON), -XEN_EINVAL);
	check_eq("register", callback(0, (unsigned long)syscall_callback), 0);
	user_run_flags(user_sysenter, NULL, FLAG_IF, &regs);
	check_frame("sysenter", &regs, -2);
	check_eq("events as they were", mask, 0);
	user_run_flags(user_sysenter, NULL, FLAG_IF, &regs);
	check_frame("sysenter again", &regs, -2);
	check_eq("register, masking events",
		 callback(CALLBACKF_mask_events, (unsigned long)syscall_callback), 0);
	user_run_flags(user_sysenter, NULL, FLAG_IF, &regs);
	check_frame("sysenter, masking events", &regs, -2);
	check_eq("events are masked", mask, 1);
	check_eq("unregister", HYPERVISOR_callback_op(CALLBACKOP_unregister, &unreg), -XEN_EINVAL);
}
