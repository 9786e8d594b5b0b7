/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("vcpu-op", "a vCPU's state, its runstate clock, and moving vcpu_info exactly once");

static struct vcpu_runstate_info area __attribute__((aligned(256)));
static struct vcpu_guest_context context;

static void runstate(void)
{
	struct vcpu_register_runstate_memory_area reg = {.addr.v = &area};
	struct vcpu_runstate_info now, later;
	uint64_t start = time_ns();
	struct sched_poll poll = {.timeout = start + 10 * MSEC};

	check_eq("get_runstate_info", HYPERVISOR_vcpu_op(VCPUOP_get_runstate_info, 0, &now), 0);
	check_eq("running", now.state, RUNSTATE_running);
	check("times add up to the entry time",
	      now.time[0] + now.time[1] + now.time[2] + now.time[3] > 0);
	HYPERVISOR_sched_op(SCHEDOP_poll, &poll);
	HYPERVISOR_vcpu_op(VCPUOP_get_runstate_info, 0, &later);
	check("sleeping counts as blocked",
	      later.time[RUNSTATE_blocked] - now.time[RUNSTATE_blocked] >= 5 * MSEC);
	check("and no time goes back", later.time[RUNSTATE_running] >= now.time[RUNSTATE_running]);
	check_eq("register the area",
		 HYPERVISOR_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &reg), 0);
	check_eq("filled at once", area.state, RUNSTATE_running);
	now = area;
	poll.timeout = time_ns() + 5 * MSEC;
	HYPERVISOR_sched_op(SCHEDOP_poll, &poll);
	check("kept up to date", area.time[RUNSTATE_blocked] > now.time[RUNSTATE_blocked]);
	check_eq("vm_assist: update flag",
		 HYPERVISOR_vm_assist(VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0);
	poll.timeout = time_ns() + MSEC;
	HYPERVISOR_sched_op(SCHEDOP_poll, &poll);
	check("no update in progress when we run", !(area.state_entry_time >> 63));
	reg.addr.v = NULL;
	check_eq("take the area back",
		 HYPERVISOR_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &reg), 0);
	check_eq("no such vcpu", HYPERVISOR_vcpu_op(VCPUOP_get_runstate_info, 1, &now),
		 -XEN_ENOENT);
}

/* Last: from here on events come by the new place, which the library does not know. */
static void move_info(void)
{
	static char page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	struct vcpu_register_vcpu_info where = {.mfn = va_to_mfn(page), .offset = PAGE_SIZE - 56};
	struct vcpu_info *info = (struct vcpu_info *)(page + 128);

	upcalls_disable();
	check_eq("across a page", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, &where),
		 -XEN_ENXIO);
	where.offset = 130;
	check_eq("misaligned", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, &where),
		 -XEN_ENXIO);
	where.offset = 128;
	where.mfn = BAD_MFN;
	check_eq("no such frame", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, &where),
		 -XEN_EINVAL);
	where.mfn = va_to_mfn((void *)start_info->pt_base);
	check_eq("a page table", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, &where),
		 -XEN_EINVAL);
	where.mfn = va_to_mfn(page);
	check_eq("no such vcpu", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 1, &where),
		 -XEN_ENOENT);
	this_vcpu->arch.cr2 = 0x4711;
	check_eq("register", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, &where), 0);
	check_eq("contents came along", (long)info->arch.cr2, 0x4711);
	check_eq("the mask came along", info->evtchn_upcall_mask, 1);
	check_eq("all selectors set", (long)info->evtchn_pending_sel, ~0l);
	check_eq("an upcall pending", info->evtchn_upcall_pending, 1);
	check("time goes on there", info->time.tsc_to_system_mul != 0);
	check_eq("a second time", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, &where),
		 -XEN_EINVAL);
	info->evtchn_pending_sel = 0;
	info->evtchn_upcall_pending = 0;
	event_unmask(5);
	check_eq("read a hole", vector_of(do_read, (void *)NOWHERE), 14);
	check_eq("cr2 goes to the new place", (long)info->arch.cr2, (long)NOWHERE);
}

void test_main(void)
{
	check_eq("is_up", HYPERVISOR_vcpu_op(VCPUOP_is_up, 0, NULL), 1);
	check_eq("is_up: none such", HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL), -XEN_ENOENT);
	check_eq("up: is up", HYPERVISOR_vcpu_op(VCPUOP_up, 0, NULL), 0);
	check_eq("up: none such", HYPERVISOR_vcpu_op(VCPUOP_up, 1, NULL), -XEN_ENOENT);
	check_eq("initialise: a second time", HYPERVISOR_vcpu_op(VCPUOP_initialise, 0, &context),
		 -XEN_EEXIST);
	check_eq("initialise: none such", HYPERVISOR_vcpu_op(VCPUOP_initialise, 1, &context),
		 -XEN_ENOENT);
	runstate();
	move_info();
}
