/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
#include "user.h"
#include "vcpu.h"

TEST("smp-ldt",
     "a vCPU that was down still has its segments, of an LDT nobody has looked at since");

#define LDT_DATA 7		    /* the first descriptor, ring 3 */
#define FLAT	 0x00cff3000000ffff /* data, ring 3 */

static char stack[PAGE_SIZE] __attribute__((aligned(16)));
static uint64_t ldt[512] __attribute__((aligned(PAGE_SIZE)));
static unsigned int step;
static long set_first, set_again;
static uint16_t ds_then;

static long ldt_load(void)
{
	struct mmuext_op op = {
		.cmd = MMUEXT_SET_LDT,
		.arg1.linear_addr = (unsigned long)ldt,
		.arg2.nr_ents = ARRAY_SIZE(ldt),
	};

	return HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static void main1(void)
{
	set_first = ldt_load();
	__asm__ volatile("movl %0, %%ds" : : "r"(LDT_DATA));
	set_again = ldt_load(); /* the hypervisor forgets what it knew of its pages */
	WRITE_ONCE(step, 1);
	while (READ_ONCE(step) == 1)
		;
	__asm__ volatile("movw %%ds, %0" : "=r"(ds_then));
	WRITE_ONCE(step, 3);
	for (;;)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
}

static void wait_for(unsigned int what)
{
	while (READ_ONCE(step) != what)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
}

void test_main(void)
{
	static struct vcpu_guest_context c;
	struct vcpu_runstate_info run;

	if (HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL) == -XEN_ENOENT)
		skip("the domain has one vCPU");
	if (!user_try())
		skip("an ordinary process has no descriptor tables");
	ldt[0] = FLAT;
	check_eq("read-only", page_set_ro(ldt, true), 0);
	vcpu_context(&c, (void *)main1, stack, sizeof(stack));
	vcpu_start(1, &c);
	wait_for(1);
	check_eq("set_ldt", set_first, 0);
	check_eq("set_ldt again", set_again, 0);
	check_eq("down", HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL), 0);
	do
		HYPERVISOR_vcpu_op(VCPUOP_get_runstate_info, 1, &run);
	while (run.state != RUNSTATE_offline);
	check_eq("up again", HYPERVISOR_vcpu_op(VCPUOP_up, 1, NULL), 0);
	WRITE_ONCE(step, 2);
	wait_for(3);
	check_eq("ds", ds_then, LDT_DATA);
}
