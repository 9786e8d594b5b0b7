// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: choosing controls from capability MSRs. */
#include <kunit/test.h>

#include <asm/vmx.h>

#include "../../host-driver/linux/driver.h"

#define PIN_NEED  (PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING)
#define PIN_NEVER (PIN_BASED_VIRTUAL_NMIS | PIN_BASED_VMX_PREEMPTION_TIMER | PIN_BASED_POSTED_INTR)
#define PROC_NEVER                                                                             \
	(CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING | CPU_BASED_INVLPG_EXITING | \
	 CPU_BASED_TPR_SHADOW | CPU_BASED_USE_IO_BITMAPS | CPU_BASED_INTR_WINDOW_EXITING)
#define PROC_NEED                                                                             \
	(CPU_BASED_HLT_EXITING | CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |        \
	 CPU_BASED_RDPMC_EXITING | CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING | \
	 CPU_BASED_MOV_DR_EXITING | CPU_BASED_UNCOND_IO_EXITING | CPU_BASED_USE_MSR_BITMAPS | \
	 CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
#define PROC2_LIKE                                                       \
	(SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_ENABLE_RDTSCP |     \
	 SECONDARY_EXEC_ENABLE_INVPCID | SECONDARY_EXEC_WBINVD_EXITING | \
	 SECONDARY_EXEC_ENCLS_EXITING)
#define EXIT_NEED   (VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_DEBUG_CONTROLS)
#define EXIT_NEVER  (VM_EXIT_ACK_INTR_ON_EXIT | VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_EFER)
#define ENTRY_NEED  (VM_ENTRY_IA32E_MODE | VM_ENTRY_LOAD_DEBUG_CONTROLS)
#define ENTRY_NEVER (VM_ENTRY_SMM | VM_ENTRY_DEACT_DUAL_MONITOR | VM_ENTRY_LOAD_IA32_EFER)
#define EPT_NEED                                                                     \
	(VMX_EPT_INVEPT_BIT | VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_PAGE_WALK_4_BIT | \
	 VMX_EPTP_WB_BIT)
#define INVVPID (VMX_VPID_INVVPID_BIT | VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT)

/* The bits that the TRUE MSRs of every CPU so far have as 1 (SDM vol. 3, A.3 to A.5). */
#define PIN_MUST   0x16
#define PROC_MUST  0x04006172
#define EXIT_MUST  0x00036dfb
#define ENTRY_MUST 0x000011fb

static u64 ctl(u32 must, u32 may)
{
	return (u64)may << 32 | must;
}

/* A CPU that can do everything and insists on no more than CPUs do. */
static const struct vmx_msrs all = {
	.basic = 6ULL << 50 | 0x400ULL << 32 | 0x12,
	.pin = ~0ULL << 32 | PIN_MUST,
	.proc = ~0ULL << 32 | PROC_MUST,
	.proc2 = ~0ULL << 32,
	.exit = ~0ULL << 32 | (EXIT_MUST & ~0x200),
	.entry = ~0ULL << 32 | (ENTRY_MUST & ~VM_ENTRY_IA32E_MODE),
	.ept_vpid = ~0ULL,
	.cr0_fixed0 = 0x80000021,
	.cr0_fixed1 = 0xffffffff,
	.cr4_fixed0 = 0x2000,
	.cr4_fixed1 = 0x3727ff,
};

static void takes_what_it_needs_and_no_more(struct kunit *test)
{
	struct controls c;

	KUNIT_ASSERT_PTR_EQ(test, controls_choose(&all, &c), NULL);
	KUNIT_EXPECT_EQ(test, c.revision, 0x12);
	KUNIT_EXPECT_EQ(test, c.pin, PIN_NEED | PIN_MUST);
	KUNIT_EXPECT_EQ(test, c.proc, PROC_NEED | PROC_MUST);
	KUNIT_EXPECT_EQ(test, c.proc2, SECONDARY_EXEC_ENABLE_EPT | PROC2_LIKE);
	KUNIT_EXPECT_EQ(test, c.exit, EXIT_NEED | EXIT_MUST);
	KUNIT_EXPECT_EQ(test, c.entry, ENTRY_NEED | ENTRY_MUST);
	KUNIT_EXPECT_EQ(test, c.features, PVHOST_F_VPID | PVHOST_F_LARGE | PVHOST_F_INVPCID);
	KUNIT_EXPECT_TRUE(test, c.invvpid_single);
}

static void keeps_to_what_the_cpu_allows(struct kunit *test)
{
	struct vmx_msrs m = all;
	struct controls c;

	m.pin = ctl(PIN_MUST, PIN_MUST | PIN_NEED);
	m.proc = ctl(PROC_MUST, PROC_MUST | PROC_NEED);
	m.proc2 = ctl(0, SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_RDTSCP);
	m.exit = ctl(EXIT_MUST, EXIT_MUST | EXIT_NEED);
	m.entry = ctl(ENTRY_MUST, ENTRY_MUST | ENTRY_NEED);
	m.ept_vpid = EPT_NEED;
	KUNIT_ASSERT_PTR_EQ(test, controls_choose(&m, &c), NULL);
	KUNIT_EXPECT_EQ(test, c.pin & ~(u32)(m.pin >> 32), 0);
	KUNIT_EXPECT_EQ(test, c.proc & ~(u32)(m.proc >> 32), 0);
	KUNIT_EXPECT_EQ(test, c.proc2, SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_RDTSCP);
	KUNIT_EXPECT_EQ(test, c.exit & ~(u32)(m.exit >> 32), 0);
	KUNIT_EXPECT_EQ(test, c.entry & ~(u32)(m.entry >> 32), 0);
	KUNIT_EXPECT_EQ(test, c.features, 0);
	KUNIT_EXPECT_FALSE(test, c.invvpid_single);
}

/* Every control in its turn: one that is needed and missing, one that is forced on us. */
static void try_bits(struct kunit *test, size_t field, u32 bits, bool forced, const char *name)
{
	struct controls c;
	u32 bit;

	for (bit = 1; bit; bit <<= 1) {
		struct vmx_msrs m = all;
		u64 *msr = (void *)&m + field;

		if (!(bits & bit))
			continue;
		if (forced)
			*msr |= bit;
		else
			*msr &= ~((u64)bit << 32 | bit);
		KUNIT_EXPECT_PTR_NE_MSG(test, controls_choose(&m, &c), NULL, "%s bit %#x %s", name,
					bit, forced ? "forced" : "missing");
	}
}

#define TRY(field, bits, forced) \
	try_bits(test, offsetof(struct vmx_msrs, field), bits, forced, #field)

static void refuses_a_cpu_without_a_needed_control(struct kunit *test)
{
	TRY(pin, PIN_NEED, false);
	TRY(proc, PROC_NEED, false);
	TRY(proc2, SECONDARY_EXEC_ENABLE_EPT, false);
	TRY(exit, EXIT_NEED, false);
	TRY(entry, ENTRY_NEED, false);
}

static void refuses_a_cpu_that_insists_on_the_wrong_thing(struct kunit *test)
{
	TRY(pin, PIN_NEVER, true);
	TRY(proc, PROC_NEVER, true);
	TRY(proc2, SECONDARY_EXEC_XSAVES, true);
	TRY(exit, EXIT_NEVER, true);
	TRY(entry, ENTRY_NEVER, true);
}

static void refuses_a_cpu_without_the_ept_it_needs(struct kunit *test)
{
	struct controls c;
	u32 bit;

	for (bit = 1; bit; bit <<= 1) {
		struct vmx_msrs m = all;

		m.ept_vpid &= ~(u64)bit;
		KUNIT_EXPECT_EQ_MSG(test, !controls_choose(&m, &c), !(EPT_NEED & bit), "bit %#x",
				    bit);
	}
}

static void refuses_an_odd_vmcs_region(struct kunit *test)
{
	struct vmx_msrs m = all;
	struct controls c;

	m.basic = 0ULL << 50 | 0x400ULL << 32 | 0x12; /* uncached */
	KUNIT_EXPECT_PTR_NE(test, controls_choose(&m, &c), NULL);
	m.basic = 6ULL << 50 | 0x1001ULL << 32 | 0x12; /* more than a page */
	KUNIT_EXPECT_PTR_NE(test, controls_choose(&m, &c), NULL);
	m.basic = 6ULL << 50 | 0x1000ULL << 32 | 0x12;
	KUNIT_EXPECT_PTR_EQ(test, controls_choose(&m, &c), NULL);
}

static void says_what_is_missing(struct kunit *test)
{
	struct vmx_msrs m = all;
	struct controls c;

	m.proc2 = 0;
	KUNIT_EXPECT_STREQ(test, controls_choose(&m, &c), "EPT");
	m = all;
	m.exit &= ~((u64)EXIT_NEED << 32);
	KUNIT_EXPECT_STREQ(test, controls_choose(&m, &c), "a 64-bit host");
	m = all;
	m.proc |= CPU_BASED_CR3_LOAD_EXITING; /* as the MSRs before the TRUE ones have it */
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, strstr(controls_choose(&m, &c), "CR3"));
}

/* A tag that cannot be flushed would bring stale translations back. */
static void uses_vpid_only_with_all_of_invvpid(struct kunit *test)
{
	struct controls c;
	u64 bit;

	for (bit = 1; bit; bit <<= 1) {
		struct vmx_msrs m = all;

		if (!(INVVPID & bit))
			continue;
		m.ept_vpid &= ~(bit << 32);
		KUNIT_EXPECT_PTR_EQ(test, controls_choose(&m, &c), NULL);
		KUNIT_EXPECT_FALSE(test, c.proc2 & SECONDARY_EXEC_ENABLE_VPID);
		KUNIT_EXPECT_FALSE(test, c.features & PVHOST_F_VPID);
	}
}

static void tells_features_as_they_are(struct kunit *test)
{
	struct vmx_msrs m = all;
	struct controls c;

	m.ept_vpid &= ~VMX_EPT_2MB_PAGE_BIT;
	controls_choose(&m, &c);
	KUNIT_EXPECT_EQ(test, c.features, PVHOST_F_VPID | PVHOST_F_INVPCID);
	m = all;
	m.proc2 &= ~((u64)SECONDARY_EXEC_ENABLE_RDTSCP << 32);
	controls_choose(&m, &c);
	KUNIT_EXPECT_EQ(test, c.features, PVHOST_F_VPID | PVHOST_F_LARGE);
	m = all;
	m.ept_vpid &= ~((u64)VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT << 32);
	controls_choose(&m, &c);
	KUNIT_EXPECT_FALSE(test, c.invvpid_single);
	KUNIT_EXPECT_TRUE(test, c.features & PVHOST_F_VPID);
}

static void cr0_keeps_what_vmx_and_the_host_need(struct kunit *test)
{
	struct controls c;

	controls_choose(&all, &c);
	KUNIT_EXPECT_EQ(test, controls_cr0(&c, 0), 0x80000031); /* PG NE ET PE */
	/* AM WP TS EM MP are the guest's; caching (CD NW) and the unknown are not. */
	KUNIT_EXPECT_EQ(test, controls_cr0(&c, ~0ULL), 0x8005003f);
	c.cr0_fixed1 &= ~0x40000ULL; /* a CPU that forbids AM */
	KUNIT_EXPECT_EQ(test, controls_cr0(&c, ~0ULL), 0x8001003f);
}

static void cr4_keeps_what_vmx_and_the_host_need(struct kunit *test)
{
	struct controls c;

	controls_choose(&all, &c);
	/* VMXE, and OSXSAVE OSXMMEXCPT OSFXSR MCE PAE. */
	KUNIT_EXPECT_EQ(test, controls_cr4(&c, 0), 0x42660 & all.cr4_fixed1);
	/* No LA57 (bit 12), SMXE (14); no PKE (22), which this CPU has not. */
	KUNIT_EXPECT_EQ(test, controls_cr4(&c, ~0ULL), 0x372eee & all.cr4_fixed1);
	c.cr4_fixed1 |= 1ULL << 22;
	KUNIT_EXPECT_TRUE(test, controls_cr4(&c, ~0ULL) & (1ULL << 22));
	KUNIT_EXPECT_FALSE(test, controls_cr4(&c, ~0ULL) & (1ULL << 12 | 1ULL << 14));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(takes_what_it_needs_and_no_more),
	KUNIT_CASE(keeps_to_what_the_cpu_allows),
	KUNIT_CASE(refuses_a_cpu_without_a_needed_control),
	KUNIT_CASE(refuses_a_cpu_that_insists_on_the_wrong_thing),
	KUNIT_CASE(refuses_a_cpu_without_the_ept_it_needs),
	KUNIT_CASE(refuses_an_odd_vmcs_region),
	KUNIT_CASE(says_what_is_missing),
	KUNIT_CASE(uses_vpid_only_with_all_of_invvpid),
	KUNIT_CASE(tells_features_as_they_are),
	KUNIT_CASE(cr0_keeps_what_vmx_and_the_host_need),
	KUNIT_CASE(cr4_keeps_what_vmx_and_the_host_need),
	{},
};

static struct kunit_suite suite = {.name = "caps", .test_cases = cases};
kunit_test_suite(suite);
