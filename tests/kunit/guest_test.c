// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: running a guest, seen from the host; and that nothing of it stays in the CPU. */
#include <linux/file.h>
#include <linux/hw_breakpoint.h>
#include <linux/sched.h>

#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/msr.h>

#include "guest.h"

static void a_guest_runs_and_calls_out(struct kunit *test)
{
	struct guest *g = test->priv;

	KUNIT_EXPECT_EQ(test, RUN(g, MOV_EBX(0x1234), VMCALL), PVHOST_EXIT_VMCALL);
	KUNIT_EXPECT_EQ(test, g->run->rbx, 0x1234);
	KUNIT_EXPECT_EQ(test, g->run->rip, GUEST_CODE + 5);
	KUNIT_EXPECT_EQ(test, g->run->rsp, GUEST_STACK);
	KUNIT_EXPECT_EQ(test, g->run->instruction_length, 3);
	KUNIT_EXPECT_EQ(test, g->run->cs, guest_flat.cs);
}

static void the_null_call_stays_in_the_driver(struct kunit *test)
{
	struct guest *g = test->priv;
	u64 exits;

	RUN(g, VMCALL); /* its pages are there from now on */
	exits = g->run->exits;
	KUNIT_EXPECT_EQ(test,
			RUN(g, 0x48, 0xb8, LE32(PVHOST_NOP & 0xffffffff), LE32(PVHOST_NOP >> 32),
			    VMCALL, VMCALL, MOV_EAX(0), 0x0f, 0xa2),
			PVHOST_EXIT_CPUID);
	KUNIT_EXPECT_GE(test, g->run->exits, exits + 3); /* more if an interrupt came */
	KUNIT_EXPECT_EQ(test, g->run->rip, GUEST_CODE + 10 + 3 + 3 + 5);
}

static void state_is_kept_in_the_vmcs(struct kunit *test)
{
	struct guest *g = test->priv;
	const struct pvhost_state s = {
		.cr0 = 1,
		.cr3 = GUEST_TABLES,
		.cr4 = X86_CR4_TSD,
		.gdt_base = 0x5000,
		.idt_base = 0xffff800000006000,
		.tss_base = 0x7000,
		.gdt_limit = 0x37,
		.idt_limit = 0xfff,
		.tss_limit = 0x67,
		.cs = 8,
		.ss = 16,
		.tr = 24,
		.fs_base = 0x7fffdeadb000,
		.gs_base = 0xffff888812345000,
		.kernel_gs_base = 0x1000,
		.lstar = 0xffff800000000100,
		.star = 0x0018000800000000,
		.sfmask = 0x700,
	};
	struct pvhost_state back, want = s;

	KUNIT_ASSERT_EQ(test, guest_set_state(g, &s), 0);
	KUNIT_ASSERT_EQ(test, guest_get_state(g, &back), 0);
	want.cr0 = controls_cr0(&vmx, s.cr0);
	want.cr4 = controls_cr4(&vmx, s.cr4) & ~X86_CR4_VMXE;
	KUNIT_EXPECT_EQ(test, back.cr0, want.cr0);
	KUNIT_EXPECT_EQ(test, back.cr4, want.cr4);
	KUNIT_EXPECT_EQ(test, memcmp(&back, &want, sizeof(want)), 0);
}

static void a_bad_state_changes_nothing(struct kunit *test)
{
	struct guest *g = test->priv;
	struct pvhost_state s = guest_flat, before, after;

	KUNIT_ASSERT_EQ(test, guest_get_state(g, &before), 0);
	s.cr3 = 0x9000;
	s.lstar = 1ULL << 47;
	KUNIT_EXPECT_EQ(test, guest_set_state(g, &s), -EINVAL);
	KUNIT_EXPECT_EQ(test, guest_ioctl(g, PVHOST_SET_STATE, TASK_SIZE_MAX), -EFAULT);
	KUNIT_EXPECT_EQ(test, guest_ioctl(g, PVHOST_RUN, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, guest_ioctl(g, PVHOST_INFO, g->mem), -ENOTTY);
	KUNIT_ASSERT_EQ(test, guest_get_state(g, &after), 0);
	KUNIT_EXPECT_EQ(test, memcmp(&before, &after, sizeof(after)), 0);
}

static void a_bad_event_is_refused_before_an_entry(struct kunit *test)
{
	struct guest *g = test->priv;

	g->run->inject = PVHOST_VALID | INTR_TYPE_NMI_INTR | 2;
	KUNIT_EXPECT_EQ(test, RUN(g, VMCALL), -EINVAL);
	KUNIT_EXPECT_EQ(test, g->run->exits, 0);
	g->run->inject = 0;
	KUNIT_EXPECT_EQ(test, RUN(g, VMCALL), PVHOST_EXIT_VMCALL);
}

static void a_failed_entry_is_told_and_survived(struct kunit *test)
{
	struct guest *g = test->priv;

	KUNIT_EXPECT_EQ(test, RUN(g, VMCALL), PVHOST_EXIT_VMCALL);
	g->run->rflags = 0; /* bit 1 is always 1 */
	KUNIT_EXPECT_EQ(test, guest_run(g), PVHOST_VALID | EXIT_REASON_INVALID_STATE);
	KUNIT_EXPECT_EQ(test, RUN(g, VMCALL), PVHOST_EXIT_VMCALL);
}

static void each_vcpu_has_a_tag_of_its_own(struct kunit *test)
{
	struct guest *g = test->priv, second = *g;

	KUNIT_EXPECT_NE(test, g->v->vpid, 0);
	KUNIT_ASSERT_EQ(test, guest_vcpu(&second), 0);
	KUNIT_EXPECT_NE(test, second.v->vpid, 0);
	KUNIT_EXPECT_NE(test, second.v->vpid, g->v->vpid);
	KUNIT_EXPECT_EQ(test, RUN(&second, MOV_EBX(2), VMCALL), PVHOST_EXIT_VMCALL);
	KUNIT_EXPECT_EQ(test, RUN(g, VMCALL), PVHOST_EXIT_VMCALL);
	KUNIT_EXPECT_EQ(test, g->run->rbx, 0);
	__fput_sync(second.file);
}

struct host {
	u64 lstar, star, sfmask, fs, gs, kernel_gs, efer, debugctl, cr0, cr4, dr7;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	unsigned long tr, gdt, idt;
	u16 gdt_limit, ldt;
};

static void host_read(struct host *h)
{
	struct desc_ptr table;

	memset(h, 0, sizeof(*h));
	rdmsrl(MSR_LSTAR, h->lstar);
	rdmsrl(MSR_STAR, h->star);
	rdmsrl(MSR_SYSCALL_MASK, h->sfmask);
	rdmsrl(MSR_FS_BASE, h->fs);
	rdmsrl(MSR_GS_BASE, h->gs);
	rdmsrl(MSR_KERNEL_GS_BASE, h->kernel_gs);
	rdmsrl(MSR_EFER, h->efer);
	rdmsrl(MSR_IA32_DEBUGCTLMSR, h->debugctl);
	rdmsrl(MSR_IA32_SYSENTER_CS, h->sysenter_cs);
	rdmsrl(MSR_IA32_SYSENTER_ESP, h->sysenter_esp);
	rdmsrl(MSR_IA32_SYSENTER_EIP, h->sysenter_eip);
	get_debugreg(h->dr7, 7);
	h->cr0 = read_cr0();
	h->cr4 = native_read_cr4();
	store_tr(h->tr);
	store_ldt(h->ldt);
	native_store_gdt(&table);
	h->gdt = table.address;
	h->gdt_limit = table.size;
	store_idt(&table);
	h->idt = table.address;
}

#define SAME(member) KUNIT_EXPECT_EQ(test, after.member, before.member)

static void the_hosts_registers_are_as_before(struct kunit *test)
{
	struct guest *g = test->priv;
	struct pvhost_state s = guest_flat;
	struct host before, after;

	s.lstar = 0xffff800000000100;
	s.star = 0x0018000800000000;
	s.sfmask = 0x700;
	s.fs_base = 0x1000;
	s.gs_base = 0x2000;
	s.kernel_gs_base = 0x3000;
	KUNIT_ASSERT_EQ(test, guest_set_state(g, &s), 0);
	host_read(&before);
	/* The guest's `wrmsr` to its own kernel GS base does not exit. */
	KUNIT_EXPECT_EQ(test,
			RUN(g, MOV_ECX(MSR_KERNEL_GS_BASE), MOV_EAX(0x4000), MOV_EDX(0), 0x0f, 0x30,
			    VMCALL),
			PVHOST_EXIT_VMCALL);
	host_read(&after);
	SAME(lstar);
	SAME(star);
	SAME(sfmask);
	SAME(fs);
	SAME(gs);
	SAME(kernel_gs);
	SAME(efer);
	SAME(debugctl);
	SAME(cr0);
	SAME(cr4);
	SAME(dr7);
	SAME(sysenter_cs);
	SAME(sysenter_esp);
	SAME(sysenter_eip);
	SAME(tr);
	SAME(ldt);
	SAME(gdt);
	KUNIT_EXPECT_EQ(test, after.gdt_limit, GDT_SIZE - 1); /* an exit makes it 0xffff */
	SAME(idt);
	KUNIT_ASSERT_EQ(test, guest_get_state(g, &s), 0);
	KUNIT_EXPECT_EQ(test, s.kernel_gs_base, 0x4000);
}

static u64 current_vmcs(void)
{
	u64 pa;

	asm volatile("vmptrst %0" : "=m"(pa) : : "cc");
	return pa;
}

/* So that no other CPU ever has to be asked for it. */
static void no_vmcs_stays_in_the_cpu(struct kunit *test)
{
	struct guest *g = test->priv;

	KUNIT_EXPECT_EQ(test, current_vmcs(), ~0ULL);
	KUNIT_EXPECT_EQ(test, RUN(g, VMCALL), PVHOST_EXIT_VMCALL);
	KUNIT_EXPECT_EQ(test, current_vmcs(), ~0ULL);
}

static void a_vcpu_moves_between_cpus(struct kunit *test)
{
	struct guest *g = test->priv;
	struct host before, after;

	KUNIT_EXPECT_EQ(test, RUN(g, MOV_EBX(7), VMCALL), PVHOST_EXIT_VMCALL);
	KUNIT_EXPECT_EQ(test, g->v->cpu, 0);
	set_cpus_allowed_ptr(current, cpumask_of(1));
	host_read(&before);
	KUNIT_EXPECT_EQ(test, RUN(g, VMCALL), PVHOST_EXIT_VMCALL);
	host_read(&after);
	KUNIT_EXPECT_EQ(test, g->v->cpu, 1);
	KUNIT_EXPECT_EQ(test, g->run->rbx, 7);
	SAME(gs);
	SAME(gdt);
	SAME(sysenter_esp);
	KUNIT_EXPECT_TRUE(test, cpumask_test_cpu(0, &g->vm->cpus));
	KUNIT_EXPECT_TRUE(test, cpumask_test_cpu(1, &g->vm->cpus));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(a_guest_runs_and_calls_out),
	KUNIT_CASE(the_null_call_stays_in_the_driver),
	KUNIT_CASE(state_is_kept_in_the_vmcs),
	KUNIT_CASE(a_bad_state_changes_nothing),
	KUNIT_CASE(a_bad_event_is_refused_before_an_entry),
	KUNIT_CASE(a_failed_entry_is_told_and_survived),
	KUNIT_CASE(each_vcpu_has_a_tag_of_its_own),
	KUNIT_CASE(the_hosts_registers_are_as_before),
	KUNIT_CASE(no_vmcs_stays_in_the_cpu),
	KUNIT_CASE(a_vcpu_moves_between_cpus),
	{},
};

static struct kunit_suite suite = {
	.name = "guest", .test_cases = cases, .init = guest_init, .exit = guest_exit};
kunit_test_suite(suite);
