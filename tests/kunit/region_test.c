// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: the bookkeeping of regions, and what PVHOST_ADD_REGION accepts. */
#include <kunit/test.h>

#include <linux/mm.h>

#include "../../host-driver/linux/driver.h"

#define GPA_END (1ULL << 36)
#define HVA_END 0x7ffffffff000ULL
#define K64	0x10000ULL
#define MIB2	0x200000ULL

static int try(const struct regions *all, u64 gpa, u64 hva, u64 size)
{
	const struct pvhost_region r = {.gpa = gpa, .hva = hva, .size = size};

	return region_check(all, &r, GPA_END, HVA_END);
}

static int empty_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct regions), GFP_KERNEL);
	return test->priv ? 0 : -ENOMEM;
}

static void add(struct regions *all, u64 gpa, u64 hva, u64 size)
{
	all->r[all->nr++] = (struct pvhost_region){.gpa = gpa, .hva = hva, .size = size};
}

static void takes_whole_pages_only(struct kunit *test)
{
	struct regions *all = test->priv;

	KUNIT_EXPECT_EQ(test, try(all, 0, K64, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, try(all, 0, K64, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, 1, K64, PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, 0, K64 + 0x800, PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, 0, K64, PAGE_SIZE + 8), -EINVAL);
}

static void wants_the_reserved_field_zero(struct kunit *test)
{
	const struct pvhost_region r = {.hva = K64, .size = PAGE_SIZE, .reserved = 1ULL << 63};

	KUNIT_EXPECT_EQ(test, region_check(test->priv, &r, GPA_END, HVA_END), -EINVAL);
}

static void stays_within_both_spaces(struct kunit *test)
{
	struct regions *all = test->priv;

	KUNIT_EXPECT_EQ(test, try(all, GPA_END - K64, K64, K64), 0);
	KUNIT_EXPECT_EQ(test, try(all, GPA_END - K64, K64, K64 + PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, GPA_END, K64, PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, 0, HVA_END - K64, K64), 0);
	KUNIT_EXPECT_EQ(test, try(all, 0, HVA_END - K64, K64 + PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, 0, HVA_END, PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, 0, 0xffff888000000000ULL, PAGE_SIZE), -EINVAL);
}

/* Sums that wrap around to something small and harmless, where only that sum can tell. */
static void no_sum_wraps(struct kunit *test)
{
	const struct pvhost_region in_gpa = {.gpa = PAGE_SIZE, .hva = 0, .size = -PAGE_SIZE};
	const struct pvhost_region in_hva = {.gpa = 0, .hva = PAGE_SIZE, .size = -PAGE_SIZE};
	struct regions *all = test->priv;

	KUNIT_EXPECT_EQ(test, region_check(all, &in_gpa, GPA_END, -PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, region_check(all, &in_hva, -PAGE_SIZE, HVA_END), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, -PAGE_SIZE, K64, 2 * PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, 0, -PAGE_SIZE, 2 * PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, try(all, -PAGE_SIZE, -PAGE_SIZE, PAGE_SIZE), -EINVAL);
}

static void no_two_overlap(struct kunit *test)
{
	struct regions *all = test->priv;

	add(all, K64, K64, K64);
	KUNIT_EXPECT_EQ(test, try(all, K64, K64, K64), -EEXIST);
	KUNIT_EXPECT_EQ(test, try(all, 0, K64, 3 * K64), -EEXIST);
	KUNIT_EXPECT_EQ(test, try(all, K64 + PAGE_SIZE, K64, PAGE_SIZE), -EEXIST);
	KUNIT_EXPECT_EQ(test, try(all, 0, K64, K64 + PAGE_SIZE), -EEXIST);
	KUNIT_EXPECT_EQ(test, try(all, 2 * K64 - PAGE_SIZE, K64, K64), -EEXIST);
	/* Neighbours do not; and memory may be seen in two places. */
	KUNIT_EXPECT_EQ(test, try(all, 0, K64, K64), 0);
	KUNIT_EXPECT_EQ(test, try(all, 2 * K64, K64, K64), 0);
}

static void there_is_room_for_as_many_as_info_says(struct kunit *test)
{
	struct regions *all = test->priv;
	unsigned int i;

	for (i = 0; i < MAX_REGIONS; i++) {
		KUNIT_EXPECT_EQ(test, try(all, i * K64, K64, K64), 0);
		add(all, i * K64, K64, K64);
	}
	KUNIT_EXPECT_EQ(test, try(all, i * K64, K64, K64), -ENOSPC);
	KUNIT_EXPECT_EQ(test, try(all, 0, K64, K64), -EEXIST);
}

static void finds_the_region_of_an_address(struct kunit *test)
{
	struct regions *all = test->priv;

	KUNIT_EXPECT_EQ(test, region_find(all, 0), -1);
	add(all, 4 * K64, K64, K64);
	add(all, 0, 2 * K64, K64);
	add(all, GPA_END - PAGE_SIZE, 4 * K64, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, region_find(all, 0), 1);
	KUNIT_EXPECT_EQ(test, region_find(all, K64 - 1), 1);
	KUNIT_EXPECT_EQ(test, region_find(all, K64), -1);
	KUNIT_EXPECT_EQ(test, region_find(all, 4 * K64 - 1), -1);
	KUNIT_EXPECT_EQ(test, region_find(all, 4 * K64), 0);
	KUNIT_EXPECT_EQ(test, region_find(all, 5 * K64 - 1), 0);
	KUNIT_EXPECT_EQ(test, region_find(all, GPA_END - 1), 2);
	KUNIT_EXPECT_EQ(test, region_find(all, GPA_END), -1);
	KUNIT_EXPECT_EQ(test, region_find(all, ~0ULL), -1);
}

static void a_region_is_named_by_all_three_numbers(struct kunit *test)
{
	struct regions *all = test->priv;
	struct pvhost_region r = {.gpa = 4 * K64, .hva = K64, .size = K64};

	add(all, 0, 2 * K64, K64);
	add(all, r.gpa, r.hva, r.size);
	KUNIT_EXPECT_EQ(test, region_exact(all, &r), 1);
	r.gpa += PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, region_exact(all, &r), -1);
	r.gpa -= PAGE_SIZE;
	r.hva += PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, region_exact(all, &r), -1);
	r.hva -= PAGE_SIZE;
	r.size -= PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, region_exact(all, &r), -1);
}

static void a_large_page_lies_inside_and_matches_the_host(struct kunit *test)
{
	struct pvhost_region r = {.gpa = 4 * MIB2, .hva = 64 * MIB2, .size = 2 * MIB2};

	KUNIT_EXPECT_TRUE(test, region_large(&r, 4 * MIB2));
	KUNIT_EXPECT_TRUE(test, region_large(&r, 6 * MIB2 - 1));
	r.hva += K64; /* one's 2 MiB are never the other's */
	KUNIT_EXPECT_FALSE(test, region_large(&r, 4 * MIB2));
	r.gpa += K64; /* alike again, but the ends are no whole large pages */
	KUNIT_EXPECT_FALSE(test, region_large(&r, r.gpa));
	KUNIT_EXPECT_TRUE(test, region_large(&r, 5 * MIB2));
	KUNIT_EXPECT_FALSE(test, region_large(&r, 6 * MIB2));
	r.size += MIB2 - K64;
	KUNIT_EXPECT_TRUE(test, region_large(&r, 6 * MIB2));
	KUNIT_EXPECT_FALSE(test, region_large(&r, 4 * MIB2 + K64));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(takes_whole_pages_only),
	KUNIT_CASE(wants_the_reserved_field_zero),
	KUNIT_CASE(stays_within_both_spaces),
	KUNIT_CASE(no_sum_wraps),
	KUNIT_CASE(no_two_overlap),
	KUNIT_CASE(there_is_room_for_as_many_as_info_says),
	KUNIT_CASE(finds_the_region_of_an_address),
	KUNIT_CASE(a_region_is_named_by_all_three_numbers),
	KUNIT_CASE(a_large_page_lies_inside_and_matches_the_host),
	{},
};

static struct kunit_suite suite = {.name = "region", .test_cases = cases, .init = empty_init};
kunit_test_suite(suite);
