/* SPDX-License-Identifier: MIT */
/* vcpus: 2 */
#include "common.h"
#include "vcpu.h"

TEST("smp-iopl",
     "a vCPU starts with the I/O privilege that its context's flags name, as Linux does");

#define IOPL1 0x1000

static char stack[4096] __attribute__((aligned(16)));
static volatile uint32_t before, faults, after, read;

static uint32_t __attribute__((noinline)) forbidden_in(void)
{
	uint8_t al;

	__asm__ volatile("inb $0xed, %0" : "=a"(al));
	return al;
}

/* Of vCPU 1: its `in` faults without privilege. */
void fault1(void);
void counted(void);
__asm__("fault1: call counted; ud2");

void counted(void)
{
	faults++;
	HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL);
}

static void main1(void)
{
	struct physdev_set_iopl none = {.iopl = 0};

	before++;
	read = forbidden_in();
	after++;
	HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &none);
	forbidden_in();
	after++;
}

void test_main(void)
{
	static struct vcpu_guest_context c;

	vcpu_context(&c, (void *)main1, stack, sizeof(stack));
	c.user_regs.rflags |= IOPL1;
	for (unsigned int i = 0; i < ARRAY_SIZE(c.trap_ctxt); i++)
		c.trap_ctxt[i].vector = (uint8_t)i;
	c.trap_ctxt[13].cs = FLAT_KERNEL_CS;
	c.trap_ctxt[13].address = (unsigned long)fault1;
	vcpu_start(1, &c);
	while (HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL))
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	check_eq("it ran", before, 1);
	check_eq("in, as the context allows", after, 1);
	check_eq("and not when it gave that up", faults, 1);
}
