// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: switching VMX on and off, on every CPU. */
#include <kunit/test.h>

#include <linux/cpu.h>

#include <asm/msr.h>
#include <asm/tlbflush.h>
#include <asm/vmx.h>

#include "guest.h"

static void count_vmxe(void *n)
{
	if (native_read_cr4() & X86_CR4_VMXE)
		atomic_inc(n);
}

unsigned int vmx_cpus(void)
{
	atomic_t n = ATOMIC_INIT(0);

	on_each_cpu(count_vmxe, &n, true);
	return atomic_read(&n);
}

static void expect_control(struct kunit *test, u32 msr, u32 chosen, const char *name)
{
	u64 value;

	rdmsrl(msr, value);
	KUNIT_EXPECT_EQ_MSG(test, (u32)value & ~chosen, 0, "%s lacks what the CPU insists on",
			    name);
	KUNIT_EXPECT_EQ_MSG(test, chosen & ~(u32)(value >> 32), 0, "%s has what the CPU has not",
			    name);
}

static void controls_are_what_this_cpu_allows(struct kunit *test)
{
	KUNIT_ASSERT_NE(test, vmx.pin, 0); /* else the driver refused this CPU */
	expect_control(test, MSR_IA32_VMX_TRUE_PINBASED_CTLS, vmx.pin, "pin");
	expect_control(test, MSR_IA32_VMX_TRUE_PROCBASED_CTLS, vmx.proc, "proc");
	expect_control(test, MSR_IA32_VMX_PROCBASED_CTLS2, vmx.proc2, "proc2");
	expect_control(test, MSR_IA32_VMX_TRUE_EXIT_CTLS, vmx.exit, "exit");
	expect_control(test, MSR_IA32_VMX_TRUE_ENTRY_CTLS, vmx.entry, "entry");
}

static void vmx_is_on_only_while_it_is_used(struct kunit *test)
{
	KUNIT_EXPECT_GE(test, num_online_cpus(), 2);
	KUNIT_EXPECT_EQ(test, vmx_cpus(), 0);
	KUNIT_ASSERT_EQ(test, vtx_get(), 0);
	KUNIT_EXPECT_EQ(test, vmx_cpus(), num_online_cpus());
	KUNIT_EXPECT_EQ(test, vtx_get(), 0);
	vtx_put();
	KUNIT_EXPECT_EQ(test, vmx_cpus(), num_online_cpus());
	vtx_put();
	KUNIT_EXPECT_EQ(test, vmx_cpus(), 0);
}

static void take_vmx(void *unused)
{
	cr4_set_bits(X86_CR4_VMXE);
}

static void give_vmx(void *unused)
{
	cr4_clear_bits(X86_CR4_VMXE);
}

static void another_hypervisor_is_left_alone(struct kunit *test)
{
	smp_call_function_single(1, take_vmx, NULL, true);
	KUNIT_EXPECT_EQ(test, vtx_get(), -EBUSY);
	KUNIT_EXPECT_EQ(test, vmx_cpus(), 1); /* its, and none of ours */
	smp_call_function_single(1, give_vmx, NULL, true);
	KUNIT_ASSERT_EQ(test, vtx_get(), 0);
	vtx_put();
}

/* With VMX on, a CPU would not take the INIT that brings it back. */
static void a_cpu_goes_and_comes_back_with_vmx(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, vtx_get(), 0);
	KUNIT_EXPECT_EQ(test, remove_cpu(1), 0);
	KUNIT_EXPECT_EQ(test, vmx_cpus(), 1);
	KUNIT_EXPECT_EQ(test, add_cpu(1), 0);
	KUNIT_EXPECT_EQ(test, vmx_cpus(), 2);
	vtx_put();
	KUNIT_EXPECT_EQ(test, vmx_cpus(), 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(controls_are_what_this_cpu_allows),
	KUNIT_CASE(vmx_is_on_only_while_it_is_used),
	KUNIT_CASE(another_hypervisor_is_left_alone),
	KUNIT_CASE(a_cpu_goes_and_comes_back_with_vmx),
	{},
};

static struct kunit_suite suite = {.name = "vmx", .test_cases = cases};
kunit_test_suite(suite);
