/* SPDX-License-Identifier: MIT */
/* Self-test: error numbers, version, memory, multicall, sched, vcpu. */
#include <pv/mm.h>
#include "kernel.h"

#define BAD_POINTER ((void *)0x2000000000ul) /* never mapped */
#define NON_CANON   0x8000000000000000ul
#define EOPNOTSUPP  95
#define ENXIO	    6
#define ENODEV	    19

static void errors(void)
{
	struct sched_poll poll = {.nr_ports = 1000};
	struct trap_info bad_trap[2] = {{.vector = 200, .address = NON_CANON}};
	struct callback_register reg = {.type = 77};
	domid_t nobody = 0x7abc;

	check_eq("an unknown hypercall fails with ENOSYS", PV_HYPERCALL0(62), -XEN_ENOSYS);
	check_eq("xen_version: unknown command", HYPERVISOR_xen_version(99, NULL), -XEN_ENOSYS);
	check_eq("xen_version: bad pointer",
		 HYPERVISOR_xen_version(XENVER_extraversion, BAD_POINTER), -XEN_EFAULT);
	check_eq("event_channel_op: unknown command", HYPERVISOR_event_channel_op(99, NULL),
		 -XEN_ENOSYS);
	check_eq("event_channel_op: bad pointer",
		 HYPERVISOR_event_channel_op(EVTCHNOP_send, BAD_POINTER), -XEN_EFAULT);
	check_eq("sched_op: unknown command", HYPERVISOR_sched_op(99, NULL), -XEN_ENOSYS);
	check_eq("sched_op: poll of too many ports", HYPERVISOR_sched_op(SCHEDOP_poll, &poll),
		 -XEN_EINVAL);
	check_eq("memory_op: unknown command", HYPERVISOR_memory_op(60, NULL), -XEN_ENOSYS);
	check_eq("memory_op: no such domain",
		 HYPERVISOR_memory_op(XENMEM_current_reservation, &nobody), -XEN_ESRCH);
	check_eq("grant_table_op: unknown command", HYPERVISOR_grant_table_op(99, NULL, 0),
		 -XEN_ENOSYS);
	check_eq("vcpu_op: unknown command", HYPERVISOR_vcpu_op(99, 0, NULL), -XEN_ENOSYS);
	check_eq("vcpu_op: no such vcpu", HYPERVISOR_vcpu_op(VCPUOP_is_up, 77, NULL), -XEN_ENOENT);
	check_eq("callback_op: unknown type", HYPERVISOR_callback_op(CALLBACKOP_register, &reg),
		 -XEN_ENOSYS);
	check_eq("vm_assist: unknown command", HYPERVISOR_vm_assist(9, 0), -XEN_ENOSYS);
	check_eq("vm_assist: unknown type", HYPERVISOR_vm_assist(VMASST_CMD_enable, 60),
		 -XEN_EINVAL);
	check_eq("set_trap_table: non-canonical address", HYPERVISOR_set_trap_table(bad_trap),
		 -XEN_EINVAL);
	check_eq("set_segment_base: non-canonical",
		 HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, NON_CANON), -XEN_EINVAL);
	check_eq("set_segment_base: unknown register", HYPERVISOR_set_segment_base(9, 0),
		 -XEN_EINVAL);
	check_eq("set_debugreg: no such register", HYPERVISOR_set_debugreg(9, 0), -ENODEV);
}

static void version(void)
{
	struct xen_platform_parameters params;
	struct xen_feature_info features = {.submap_idx = 0};
	xen_domain_handle_t handle = {0};
	xen_capabilities_info_t caps = "";

	check_eq("xen_version: 4.17", HYPERVISOR_xen_version(XENVER_version, NULL), 4 << 16 | 17);
	check_eq("xen_version: page size", HYPERVISOR_xen_version(XENVER_pagesize, NULL),
		 PAGE_SIZE);
	check_eq("xen_version: guest handle", HYPERVISOR_xen_version(XENVER_guest_handle, handle),
		 0);
	HYPERVISOR_xen_version(XENVER_capabilities, caps);
	check("xen_version: capabilities", strstr(caps, "xen-3.0-x86_64"));
	check_eq("xen_version: platform parameters",
		 HYPERVISOR_xen_version(XENVER_platform_parameters, &params), 0);
	check_eq("xen_version: where the hypervisor begins", (long)params.virt_start,
		 (long)0xffff800000000000ul);
	check_eq("xen_version: features", HYPERVISOR_xen_version(XENVER_get_features, &features),
		 0);
	check("xen_version: feature mmu_pt_update_preserve_ad",
	      features.submap >> XENFEAT_mmu_pt_update_preserve_ad & 1);
	check("xen_version: no auto_translated_physmap",
	      !(features.submap >> XENFEAT_auto_translated_physmap & 1));
	check("start_info: magic", !strncmp(start_info->magic, "xen-3.0-x86_64", 14));
}

static void memory(void)
{
	domid_t self = DOMID_SELF;
	long now = HYPERVISOR_memory_op(XENMEM_current_reservation, &self);

	check("memory_op: current reservation", now >= (long)start_info->nr_pages);
	check("memory_op: maximum reservation",
	      HYPERVISOR_memory_op(XENMEM_maximum_reservation, &self) >= now);
	check("memory_op: maximum_ram_page",
	      HYPERVISOR_memory_op(XENMEM_maximum_ram_page, NULL) > 0);
}

/* A page goes back to the hypervisor, and another one comes. */
static void exchange(void)
{
	void *page = page_alloc();
	pfn_t pfn = va_to_pfn(page);
	xen_pfn_t mfn = pfn_to_mfn(pfn);
	domid_t self = DOMID_SELF;
	long before = HYPERVISOR_memory_op(XENMEM_current_reservation, &self);
	struct xen_memory_reservation res = {.nr_extents = 1, .domid = DOMID_SELF};

	set_xen_guest_handle(res.extent_start, &mfn);
	check_eq("balloon: unmap", unmap_va((unsigned long)page), 0);
	check_eq("balloon: decrease_reservation",
		 HYPERVISOR_memory_op(XENMEM_decrease_reservation, &res), 1);
	check_eq("balloon: one page less", HYPERVISOR_memory_op(XENMEM_current_reservation, &self),
		 before - 1);
	check_eq("balloon: a frame that is not ours any more",
		 HYPERVISOR_memory_op(XENMEM_decrease_reservation, &res), 0);
	check("balloon: nor can be mapped", map_mfn((unsigned long)page, mfn, PTE_KERN) < 0);
	mfn = pfn;
	check_eq("balloon: populate_physmap", HYPERVISOR_memory_op(XENMEM_populate_physmap, &res),
		 1);
	check_eq("balloon: as many as before",
		 HYPERVISOR_memory_op(XENMEM_current_reservation, &self), before);
	((mfn_t *)start_info->mfn_list)[pfn] = mfn;
	check_eq("balloon: map", map_mfn((unsigned long)page, mfn, PTE_KERN), 0);
	*(volatile int *)page = 42;
	check_eq("balloon: use", *(volatile int *)page, 42);
	res.extent_order = 60;
	check("balloon: an absurd order", HYPERVISOR_memory_op(XENMEM_populate_physmap, &res) <= 0);
	page_free(page);
}

static void multicall(void)
{
	struct multicall_entry calls[4] = {
		{.op = __HYPERVISOR_xen_version, .args = {XENVER_version}},
		{.op = 62},
		{.op = __HYPERVISOR_xen_version, .args = {XENVER_pagesize}},
		{.op = __HYPERVISOR_sched_op, .args = {SCHEDOP_yield}},
	};

	calls[3].result = 1;
	check_eq("multicall: returns 0", HYPERVISOR_multicall(calls, 4), 0);
	check_eq("multicall: first result", (long)calls[0].result, 4 << 16 | 17);
	check_eq("multicall: unknown entry", (long)calls[1].result, -XEN_ENOSYS);
	check_eq("multicall: goes on behind a failure", (long)calls[2].result, PAGE_SIZE);
	check_eq("multicall: last result", (long)calls[3].result, 0);
	check_eq("multicall: empty", HYPERVISOR_multicall(NULL, 0), 0);
	check_eq("multicall: bad pointer", HYPERVISOR_multicall(BAD_POINTER, 1), -XEN_EFAULT);
}

void selftest_hypercalls(void)
{
	errors();
	version();
	memory();
	multicall();
	exchange();
	check_eq("sched_op: yield", HYPERVISOR_sched_op(SCHEDOP_yield, NULL), 0);
}

static uint64_t gs_target = 0x123456789abcdef0;

static uint64_t read_gs(void)
{
	uint64_t value;

	__asm__ volatile("movq %%gs:0, %0" : "=r"(value));
	return value;
}

void selftest_vcpu(void)
{
	static struct vcpu_runstate_info runstate __attribute__((aligned(128)));
	struct vcpu_register_runstate_memory_area area = {.addr.v = &runstate};
	struct vcpu_set_singleshot_timer single = {.timeout_abs_ns = 1,
						   .flags = VCPU_SSHOTTMR_future};
	struct vcpu_set_periodic_timer short_period = {.period_ns = 1000};
	struct callback_unregister event = {.type = CALLBACKTYPE_event};
	struct vcpu_register_vcpu_info where = {.mfn = va_to_mfn(&runstate), .offset = 4088};
	unsigned long this_vcpu_gs = this_cpu->id * VCPU_BYTES;
	uint64_t seen;
	long rc;

	check_eq("vcpu_op: is_up", HYPERVISOR_vcpu_op(VCPUOP_is_up, 0, NULL), 1);
	check_eq("vcpu_op: stop_periodic_timer",
		 HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0);
	/* Since 4.17 Xen ignores VCPU_SSHOTTMR_future: the event comes instead of -ETIME. */
	check_eq("vcpu_op: a timer already over",
		 HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, 0, &single), 0);
	check_eq("vcpu_op: a period too short",
		 HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &short_period), -XEN_EINVAL);
	check_eq("vcpu_op: initialise a running vcpu",
		 HYPERVISOR_vcpu_op(VCPUOP_initialise, 0, NULL), -XEN_EFAULT);
	check_eq("vcpu_op: up a running vcpu", HYPERVISOR_vcpu_op(VCPUOP_up, 0, NULL), 0);
	check_eq("callback_op: unregister the event callback",
		 HYPERVISOR_callback_op(CALLBACKOP_unregister, &event), -XEN_EINVAL);
	check_eq("vcpu_op: register_runstate_memory_area",
		 HYPERVISOR_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), 0);
	check_eq("vcpu_op: the runstate is running", runstate.state, RUNSTATE_running);
	runstate.state = 99;
	check_eq("vcpu_op: get_runstate_info",
		 HYPERVISOR_vcpu_op(VCPUOP_get_runstate_info, 0, &runstate), 0);
	check_eq("vcpu_op: and says the same", runstate.state, RUNSTATE_running);
	area.addr.v = NULL;
	check_eq("vcpu_op: runstate area taken back",
		 HYPERVISOR_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &area), 0);
	check_eq("vcpu_op: register_vcpu_info across a page",
		 HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, &where), -ENXIO);
	/* GS tells what belongs to this vCPU: no upcall and no printf before it is right again. */
	upcalls_disable();
	rc = HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, (unsigned long)&gs_target);
	seen = read_gs();
	HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, this_vcpu_gs);
	upcalls_enable();
	check_eq("set_segment_base: GS", rc, 0);
	check_eq("set_segment_base: GS took effect", (long)seen, (long)gs_target);
	check_eq("stack_switch", HYPERVISOR_stack_switch(FLAT_KERNEL_SS, (unsigned long)&gs_target),
		 0);
	check_eq("fpu_taskswitch: set", HYPERVISOR_fpu_taskswitch(1), 0);
	check_eq("fpu_taskswitch: clear", HYPERVISOR_fpu_taskswitch(0), 0);
	check_eq("vm_assist: runstate_update_flag",
		 HYPERVISOR_vm_assist(VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0);
}
