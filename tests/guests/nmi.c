/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <xen/nmi.h>

TEST("nmi", "VCPUOP_send_nmi: by vector 2, one at a time until iret, and lost without a handler");

extern char trap_nmi[];

static unsigned long count, depth, deepest, masked, again;

static bool handler(struct trap_regs *regs)
{
	count++;
	if (++depth > deepest)
		deepest = depth;
	masked += this_vcpu->evtchn_upcall_mask;
	if (again) {
		again--;
		check_eq("send inside", HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 0, NULL), 0);
		check_eq("once more", HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 0, NULL), 0);
	}
	depth--;
	return true;
}

static void send(const char *what, unsigned long want)
{
	unsigned long before = count;

	check_eq("send_nmi", HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 0, NULL), 0);
	check_eq(what, (long)(count - before), (long)want);
}

static void callbacks(void)
{
	struct callback_register reg = {.type = CALLBACKTYPE_nmi, .address = NON_CANON};
	struct callback_unregister unreg = {.type = CALLBACKTYPE_nmi};
	struct xennmi_callback cb = {.handler_address = NON_CANON};
	unsigned long zero = 0, before;

	check_eq("unregister", HYPERVISOR_callback_op(CALLBACKOP_unregister, &unreg), 0);
	send("nobody there", 0);
	check_eq("register: not canonical", HYPERVISOR_callback_op(CALLBACKOP_register, &reg),
		 -XEN_EINVAL);
	reg.address = (unsigned long)trap_nmi;
	before = count;
	check_eq("register", HYPERVISOR_callback_op(CALLBACKOP_register, &reg), 0);
	check_eq("the lost one stays lost", (long)(count - before), 0);
	send("by the callback", 1);
	check_eq("nmi_op: unregister",
		 PV_HYPERCALL2(__HYPERVISOR_nmi_op, XENNMI_unregister_callback, zero), 0);
	send("nobody there again", 0);
	check_eq("nmi_op: not canonical",
		 PV_HYPERCALL2(__HYPERVISOR_nmi_op, XENNMI_register_callback, &cb), -XEN_EINVAL);
	cb.handler_address = (unsigned long)trap_nmi;
	check_eq("nmi_op: register",
		 PV_HYPERCALL2(__HYPERVISOR_nmi_op, XENNMI_register_callback, &cb), 0);
	masked = 0;
	send("by nmi_op's callback", 1);
	check_eq("which masks events", (long)masked, 1);
}

void test_main(void)
{
	trap_set_handler(2, handler);
	check_eq("an argument", HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 0, &count), -XEN_EINVAL);
	check_eq("no such vCPU", HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 1, NULL), -XEN_ENOENT);
	upcalls_enable();
	send("by the trap table", 1);
	check_eq("it masks events", (long)masked, 1);
	check_eq("and restores the mask", this_vcpu->evtchn_upcall_mask, 0);
	upcalls_disable();
	send("no upcall mask holds it", 1);
	upcalls_enable();
	again = 2;
	send("sent while one is handled: merged, and delivered after it", 3);
	check_eq("never one in another", (long)deepest, 1);
	check_eq("a gate that does not mask events", trap_set_entry(2, 0, (unsigned long)trap_nmi),
		 0);
	masked = 0;
	send("by that gate", 1);
	check_eq("events are not masked", (long)masked, 0);
	callbacks();
}
