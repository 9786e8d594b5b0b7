/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("hcall-errors", "a guest probes for features by their error numbers");

#define XENPF_OR_UNUSED 11 /* never assigned */

static void numbers(void)
{
	static const unsigned long unknown[] = {
		XENPF_OR_UNUSED,
		38,
		39,
		43,
		45,
		47,
		50,
		55,
		56,
		62,
		63,
		64,
		65,
		127,
		128,
		1000,
		1ul << 32 | __HYPERVISOR_xen_version,
		1ul << 63,
		~0ul,
	};
	char text[48];

	for (unsigned int i = 0; i < ARRAY_SIZE(unknown); i++) {
		snprintf(text, sizeof(text), "hypercall 0x%lx", unknown[i]);
		check_eq(text, raw_hypercall(unknown[i], 0, 0, 0), -XEN_ENOSYS);
	}
	/* Xen fills the page to its end, also where no hypercall is behind it. */
	check_eq("page entry 62", PV_HYPERCALL0(62), -XEN_ENOSYS);
	check_eq("page entry 127", PV_HYPERCALL0(127), -XEN_ENOSYS);
}

static void commands(void)
{
	struct callback_register reg = {.type = 77};
	uint64_t zero[8] = {0};

	check_eq("xen_version", HYPERVISOR_xen_version(99, NULL), -XEN_ENOSYS);
	check_eq("xen_version, negative", HYPERVISOR_xen_version(-1, NULL), -XEN_ENOSYS);
	check_eq("event_channel_op", HYPERVISOR_event_channel_op(99, zero), -XEN_ENOSYS);
	check_eq("sched_op", HYPERVISOR_sched_op(99, zero), -XEN_ENOSYS);
	check_eq("memory_op", HYPERVISOR_memory_op(60, zero), -XEN_ENOSYS);
	check_eq("grant_table_op", HYPERVISOR_grant_table_op(99, zero, 1), -XEN_ENOSYS);
	check_eq("vcpu_op", HYPERVISOR_vcpu_op(99, 0, zero), -XEN_ENOSYS);
	check_eq("callback_op", HYPERVISOR_callback_op(99, zero), -XEN_ENOSYS);
	check_eq("callback_op: type", HYPERVISOR_callback_op(CALLBACKOP_register, &reg),
		 -XEN_ENOSYS);
	check_eq("physdev_op", HYPERVISOR_physdev_op(99, zero), -XEN_ENOSYS);
	check_eq("nmi_op", PV_HYPERCALL2(__HYPERVISOR_nmi_op, 99, zero), -XEN_ENOSYS);
	check_eq("hvm_op", PV_HYPERCALL2(__HYPERVISOR_hvm_op, 99, zero), -XEN_ENOSYS);
	check_eq("mmuext_op", mmuext(99, 0), -XEN_ENOSYS);
	check_eq("vm_assist", HYPERVISOR_vm_assist(9, 0), -XEN_ENOSYS);
	check_eq("vm_assist: type", HYPERVISOR_vm_assist(VMASST_CMD_enable, 60), -XEN_EINVAL);
	check_eq("set_debugreg", HYPERVISOR_set_debugreg(9, 0), -XEN_ENODEV);
	check_eq("get_debugreg", (long)HYPERVISOR_get_debugreg(9), -XEN_ENODEV);
	check_eq("set_segment_base", HYPERVISOR_set_segment_base(9, 0), -XEN_EINVAL);
	check_eq("set_gdt: too many", HYPERVISOR_set_gdt(zero, 8000), -XEN_EINVAL);
	check_eq("sched_op: remote_shutdown of nobody",
		 HYPERVISOR_sched_op(SCHEDOP_remote_shutdown,
				     &(struct sched_remote_shutdown){.domain_id = 0x7abc}),
		 -XEN_ESRCH);
}

static void values(void)
{
	struct trap_info bad[2] = {{.vector = 200, .address = NON_CANON}};

	check_eq("set_trap_table: address", HYPERVISOR_set_trap_table(bad), -XEN_EINVAL);
	for (unsigned int which = SEGBASE_FS; which <= SEGBASE_GS_KERNEL; which++)
		check_eq("set_segment_base: address", HYPERVISOR_set_segment_base(which, NON_CANON),
			 -XEN_EINVAL);
	/* Linux stops at BUG() if this one ever fails; a bad selector loads the null one. */
	check_eq("set_segment_base: user selector",
		 HYPERVISOR_set_segment_base(SEGBASE_GS_USER_SEL, 0x4567), 0);
	/* The old call never fails; what it cannot use it does not take. */
	check_eq("set_callbacks: non-canonical", HYPERVISOR_set_callbacks(NON_CANON, 0, 0), 0);
	check_eq("sched_op_compat: yield", PV_HYPERCALL2(__HYPERVISOR_sched_op_compat, 0, 0), 0);
	check_eq("sched_op_compat: unknown", PV_HYPERCALL2(__HYPERVISOR_sched_op_compat, 9, 0),
		 -XEN_ENOSYS);
	check_eq("vcpu_op: no such vcpu", HYPERVISOR_vcpu_op(VCPUOP_is_up, 77, NULL), -XEN_ENOENT);
	check_eq("vcpu_op: never such a vcpu", HYPERVISOR_vcpu_op(VCPUOP_is_up, 1u << 30, NULL),
		 -XEN_ENOENT);
}

void test_main(void)
{
	numbers();
	commands();
	values();
}
