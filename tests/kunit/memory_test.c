// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: EPT under a running guest follows the process's memory. */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pfn.h>
#include <linux/uaccess.h>

#include "guest.h"

#define OUTSIDE GUEST_SIZE /* mapped by the guest's tables, in no region */

static u64 frame(struct guest *g, unsigned long gpa)
{
	struct page *page;
	u64 pa;

	if (get_user_pages_fast(g->mem + gpa, 1, 0, &page) != 1)
		return 0;
	pa = PFN_PHYS(page_to_pfn(page));
	put_page(page);
	return pa;
}

static u64 entry(struct guest *g, unsigned long gpa)
{
	return ept_lookup(&g->vm->ept, gpa);
}

static void a_write_gives_the_processs_own_page(struct kunit *test)
{
	struct guest *g = test->priv;
	u32 value = 0;

	KUNIT_EXPECT_EQ(test, entry(g, GUEST_DATA), 0);
	KUNIT_EXPECT_EQ(test, RUN(g, MOV_EAX(0x5678), STORE_EAX(GUEST_DATA), VMCALL),
			PVHOST_EXIT_VMCALL);
	KUNIT_EXPECT_EQ(test, entry(g, GUEST_DATA), frame(g, GUEST_DATA) | EPT_ALL | EPT_WB);
	KUNIT_EXPECT_EQ(test, entry(g, GUEST_DATA + PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, get_user(value, (u32 __user *)(g->mem + GUEST_DATA)), 0);
	KUNIT_EXPECT_EQ(test, value, 0x5678);
}

/* The host's zero page is everybody's. */
static void a_read_gives_no_right_to_write(struct kunit *test)
{
	const u64 zero_frame = PFN_PHYS(page_to_pfn(ZERO_PAGE(0)));
	struct guest *g = test->priv;

	KUNIT_EXPECT_EQ(test, RUN(g, LOAD_EAX(GUEST_DATA), VMCALL), PVHOST_EXIT_VMCALL);
	KUNIT_EXPECT_EQ(test, entry(g, GUEST_DATA), zero_frame | EPT_READ | EPT_EXEC | EPT_WB);
	KUNIT_EXPECT_EQ(test, RUN(g, STORE_EAX(GUEST_DATA), VMCALL), PVHOST_EXIT_VMCALL);
	KUNIT_EXPECT_NE(test, frame(g, GUEST_DATA), zero_frame);
	KUNIT_EXPECT_EQ(test, entry(g, GUEST_DATA), frame(g, GUEST_DATA) | EPT_ALL | EPT_WB);
}

static void what_the_process_unmaps_is_gone(struct kunit *test)
{
	struct guest *g = test->priv;

	KUNIT_EXPECT_EQ(test,
			RUN(g, STORE_EAX(GUEST_DATA), STORE_EAX(GUEST_DATA + PAGE_SIZE), VMCALL),
			PVHOST_EXIT_VMCALL);
	KUNIT_ASSERT_EQ(test, vm_munmap(g->mem + GUEST_DATA, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, entry(g, GUEST_DATA), 0);
	KUNIT_EXPECT_NE(test, entry(g, GUEST_DATA + PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, RUN(g, STORE_EAX(GUEST_DATA), VMCALL), PVHOST_EXIT_EPT_VIOLATION);
	KUNIT_EXPECT_EQ(test, g->run->gpa, GUEST_DATA);
	KUNIT_EXPECT_EQ(test, g->run->linear, GUEST_DATA);
	KUNIT_EXPECT_EQ(test, g->run->rip, GUEST_CODE);
}

static void nothing_is_outside_the_regions(struct kunit *test)
{
	struct guest *g = test->priv;
	const struct pvhost_region r = {.hva = g->mem, .size = GUEST_SIZE};

	KUNIT_EXPECT_EQ(test, RUN(g, LOAD_EAX(OUTSIDE), VMCALL), PVHOST_EXIT_EPT_VIOLATION);
	KUNIT_EXPECT_EQ(test, g->run->gpa, OUTSIDE);
	KUNIT_EXPECT_EQ(test, entry(g, OUTSIDE), 0);
	KUNIT_ASSERT_EQ(test, vm_region_del(g->vm, &r), 0);
	KUNIT_EXPECT_EQ(test, entry(g, GUEST_CODE), 0);
	KUNIT_EXPECT_EQ(test, entry(g, GUEST_TABLES), 0);
	KUNIT_EXPECT_EQ(test, RUN(g, VMCALL), PVHOST_EXIT_EPT_VIOLATION);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(a_write_gives_the_processs_own_page),
	KUNIT_CASE(a_read_gives_no_right_to_write),
	KUNIT_CASE(what_the_process_unmaps_is_gone),
	KUNIT_CASE(nothing_is_outside_the_regions),
	{},
};

static struct kunit_suite suite = {
	.name = "memory", .test_cases = cases, .init = guest_init, .exit = guest_exit};
kunit_test_suite(suite);
