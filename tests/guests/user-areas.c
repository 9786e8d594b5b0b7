/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("user-areas", "areas registered by the kernel are kept up to date while a user program runs");

static struct vcpu_time_info *const time_area = (void *)(KERNEL_ONLY + 64);
static struct vcpu_runstate_info *const run_area = (void *)(KERNEL_ONLY + 256);

/* Until the time of the shared page has been written again. */
static void spin(void *arg)
{
	const volatile struct vcpu_time_info *t = &pv_shared_info.vcpu_info[0].time;
	const uint32_t version = t->version;
	const uint64_t start = rdtsc();

	while (t->version == version && rdtsc() - start < 100 * SEC)
		;
}

static void touch(void *arg)
{
	*(volatile uint32_t *)arg = 0;
}

static void register_areas(void)
{
	struct vcpu_register_time_memory_area t = {.addr.p = (unsigned long)time_area};
	struct vcpu_register_runstate_memory_area r = {.addr.p = (unsigned long)run_area};

	check_eq("time area", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &t), 0);
	check_eq("runstate area", HYPERVISOR_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &r),
		 0);
	check_eq("running", run_area->state, RUNSTATE_running);
}

void test_main(void)
{
	const volatile struct vcpu_time_info *t = &pv_shared_info.vcpu_info[0].time;
	struct vcpu_set_singleshot_timer timer = {0};
	struct trap_regs regs;
	uint32_t before;

	user_init();
	check_eq("a page of the kernel's", map_mfn(KERNEL_ONLY, va_to_mfn(page_alloc()), PTE_KERN),
		 0);
	user_run(touch, (void *)KERNEL_ONLY, &regs);
	check_eq("which the user has not", (long)regs.vector, 14);
	check_eq("as the fault says, too", (long)(regs.error & 7), 6);
	register_areas();
	before = t->version;
	/* A reason to look at the clock in the middle of it: here it is published then. */
	timer.timeout_abs_ns = time_ns() + SEC * 3 / 4;
	HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer);
	user_run(spin, NULL, &regs);
	check_eq("the user returned", (long)regs.rax, USER_RETURNED);
	check("the time was written meanwhile", t->version != before);
	check_eq("in the area, too", time_area->version, t->version);
	check_eq("the same", (long)time_area->tsc_timestamp, (long)t->tsc_timestamp);
	check_eq("still running", run_area->state, RUNSTATE_running);
}
