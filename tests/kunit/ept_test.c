// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: building extended page tables and taking entries back. */
#include <kunit/test.h>

#include <linux/mm.h>
#include <linux/prandom.h>

#include "../../host-driver/linux/driver.h"

#define PAGE   0x1000ULL
#define MIB2   0x200000ULL
#define GIB    0x40000000ULL
#define END    (1ULL << 48)
#define FRAME  0x123456000ULL
#define LFRAME 0x345600000ULL /* a large page's */
#define RW     (EPT_ALL | EPT_WB)
#define RO     (EPT_READ | EPT_EXEC | EPT_WB)

struct fixture {
	struct ept ept;
	struct ept_reserve reserve;
	struct list_head dead;
	unsigned int taken; /* tables that ept_map took */
};

static int setup(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	test->priv = f;
	if (!f)
		return -ENOMEM;
	INIT_LIST_HEAD(&f->dead);
	return ept_init(&f->ept, true);
}

static void teardown(struct kunit *test)
{
	struct fixture *f = test->priv;

	if (!f)
		return;
	ept_free_tables(&f->dead);
	ept_reserve_drop(&f->reserve);
	ept_destroy(&f->ept);
}

static void map(struct fixture *f, u64 gpa, u64 hpa, bool large, bool write)
{
	if (ept_reserve_fill(&f->reserve))
		return;
	ept_map(&f->ept, &f->reserve, gpa, hpa, large, write);
	f->taken += ARRAY_SIZE(f->reserve.page) - f->reserve.nr;
}

static bool zap(struct fixture *f, u64 gpa, u64 end)
{
	return ept_zap(&f->ept, gpa, end, &f->dead);
}

static unsigned int dead(struct fixture *f)
{
	struct list_head *p;
	unsigned int n = 0;

	list_for_each(p, &f->dead) n++;
	return n;
}

static void the_pointer_is_as_the_cpu_wants_it(struct kunit *test)
{
	struct fixture *f = test->priv;
	const u64 p = ept_pointer(&f->ept);

	KUNIT_EXPECT_EQ(test, p & 7, 6);      /* write-back */
	KUNIT_EXPECT_EQ(test, p >> 3 & 7, 3); /* levels less one */
	KUNIT_EXPECT_EQ(test, p & 0xfc0, 0);
	KUNIT_EXPECT_EQ(test, p & ~0xfffULL, __pa(f->ept.root));
}

static void a_page_is_mapped_and_its_neighbours_are_not(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 5 * PAGE, FRAME, false, true);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 5 * PAGE), FRAME | RW);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 6 * PAGE - 1), FRAME | RW);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 4 * PAGE), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 6 * PAGE), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 5 * PAGE + MIB2), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 5 * PAGE + GIB), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 5 * PAGE + 512 * GIB), 0);
}

static void both_ends_of_the_space_can_be_mapped(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 0, FRAME, false, true);
	map(f, END - PAGE, FRAME + PAGE, false, true);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), FRAME | RW);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, END - 1), (FRAME + PAGE) | RW);
	KUNIT_EXPECT_TRUE(test, zap(f, END - PAGE, END));
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, END - 1), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), FRAME | RW);
}

static void the_right_to_write_is_given_and_taken(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 0, FRAME, false, false);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), FRAME | RO);
	map(f, 0, FRAME + PAGE, false, true); /* copy on write */
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), (FRAME + PAGE) | RW);
	map(f, 0, FRAME, false, false);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), FRAME | RO);
}

/* What may not sleep must not run out: three pages are enough, and neighbours share tables. */
static void a_full_reserve_is_enough(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 0, FRAME, false, true);
	KUNIT_EXPECT_EQ(test, f->taken, 3);
	map(f, 511 * PAGE, FRAME, false, true);
	KUNIT_EXPECT_EQ(test, f->taken, 3);
	map(f, MIB2, FRAME, false, true);
	KUNIT_EXPECT_EQ(test, f->taken, 4);
	map(f, GIB, FRAME, false, true);
	KUNIT_EXPECT_EQ(test, f->taken, 6);
	map(f, 2 * MIB2, LFRAME, true, true);
	KUNIT_EXPECT_EQ(test, f->taken, 6);
}

static void a_large_page_maps_all_its_two_mib(struct kunit *test)
{
	struct fixture *f = test->priv;

	/* The fault was somewhere in the middle. */
	map(f, 3 * MIB2 + 7 * PAGE, LFRAME + 7 * PAGE, true, true);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 3 * MIB2), LFRAME | RW | EPT_LARGE);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 4 * MIB2 - 1), LFRAME | RW | EPT_LARGE);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 3 * MIB2 - 1), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 4 * MIB2), 0);
}

static void no_large_pages_where_the_cpu_has_none(struct kunit *test)
{
	struct fixture *f = test->priv;

	f->ept.large = false;
	map(f, 7 * PAGE, LFRAME + 7 * PAGE, true, true);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 7 * PAGE), (LFRAME + 7 * PAGE) | RW);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), 0);
}

/* A table in use is not dropped for a large page: who frees it, and when? */
static void small_pages_stay_small(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 0, FRAME, false, true);
	map(f, 7 * PAGE, LFRAME + 7 * PAGE, true, false);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), FRAME | RW);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 7 * PAGE), (LFRAME + 7 * PAGE) | RO);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 8 * PAGE), 0);
}

static void a_small_page_replaces_a_split_large_one(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 0, LFRAME, true, true);
	map(f, 7 * PAGE, FRAME, false, true);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 7 * PAGE), FRAME | RW);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 8 * PAGE), 0);
}

static void nothing_there_needs_no_flush(struct kunit *test)
{
	struct fixture *f = test->priv;

	KUNIT_EXPECT_FALSE(test, zap(f, 0, END));
	map(f, PAGE, FRAME, false, true);
	KUNIT_EXPECT_FALSE(test, zap(f, 0, PAGE));
	KUNIT_EXPECT_FALSE(test, zap(f, 2 * PAGE, MIB2));
	KUNIT_EXPECT_FALSE(test, zap(f, PAGE, PAGE));
	KUNIT_EXPECT_EQ(test, dead(f), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, PAGE), FRAME | RW);
}

static void a_zap_forgets_its_range_and_no_more(struct kunit *test)
{
	struct fixture *f = test->priv;
	u64 i;

	for (i = 0; i < 1024; i++)
		map(f, i * PAGE, FRAME + i * PAGE, false, true);
	KUNIT_EXPECT_TRUE(test, zap(f, 500 * PAGE, 530 * PAGE));
	for (i = 0; i < 1024; i++)
		KUNIT_EXPECT_EQ_MSG(test, ept_lookup(&f->ept, i * PAGE),
				    i >= 500 && i < 530 ? 0 : (FRAME + i * PAGE) | RW, "page %llu",
				    i);
	KUNIT_EXPECT_EQ(test, dead(f), 0);
}

static void a_large_page_is_forgotten_whole(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 0, LFRAME, true, true);
	map(f, MIB2, LFRAME + MIB2, true, true);
	KUNIT_EXPECT_TRUE(test, zap(f, 7 * PAGE, 8 * PAGE));
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, MIB2), (LFRAME + MIB2) | RW | EPT_LARGE);
}

/* They may be walked until INVEPT: the caller gets them, nobody frees them here. */
static void tables_wholly_in_range_are_handed_back(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 0, FRAME, false, true);
	map(f, MIB2, FRAME, false, true);
	KUNIT_EXPECT_TRUE(test, zap(f, 0, 2 * MIB2));
	KUNIT_EXPECT_EQ(test, dead(f), 2);
	KUNIT_EXPECT_TRUE(test, zap(f, 0, GIB)); /* the empty directory: a CPU may cache it too */
	KUNIT_EXPECT_EQ(test, dead(f), 3);
	KUNIT_EXPECT_FALSE(test, zap(f, 0, GIB));
	/* And what was taken away can be built again. */
	map(f, 0, FRAME, false, true);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), FRAME | RW);
}

/*
 * Two gibibytes' pages at random, against an array that says what must be there; in the end every
 * table that was taken comes back.
 */
#define MODEL_LARGE 8
#define MODEL_PAGES (512 * MODEL_LARGE)

static u64 model_gpa(unsigned int page)
{
	/* Each large page in another directory, or the next to it. */
	return (u64)(page / 512 / 2) * GIB + page / 512 % 2 * MIB2 + page % 512 * PAGE;
}

static void model_zap(struct fixture *f, u64 *want, unsigned int first, unsigned int nr)
{
	unsigned int i, j;

	for (i = first; i < first + nr; i++) {
		if (want[i] & EPT_LARGE)
			for (j = i & ~511; j < (i | 511) + 1; j++)
				want[j] = 0;
		want[i] = 0;
	}
	zap(f, model_gpa(first), model_gpa(first) + nr * PAGE);
}

static void model_map(struct fixture *f, u64 *want, unsigned int page, bool large, bool write)
{
	const u64 hpa = LFRAME + (u64)page * PAGE, entry = write ? RW : RO;
	const unsigned int first = page & ~511;
	unsigned int i;

	/* As the driver: before the host has other pages there, it asks for the old ones. */
	model_zap(f, want, large ? first : page, large ? 512 : 1);
	map(f, model_gpa(page), hpa, large, write);
	if (!large) {
		want[page] = hpa | entry;
		return;
	}
	for (i = first; i < first + 512; i++)
		want[i] = (hpa & ~(MIB2 - 1)) | entry | EPT_LARGE;
}

static void random_maps_and_zaps_agree_with_a_model(struct kunit *test)
{
	u64 *want = kunit_kcalloc(test, MODEL_PAGES, sizeof(*want), GFP_KERNEL);
	struct fixture *f = test->priv;
	struct rnd_state rnd;
	unsigned int i, step, wrong = 0;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, want);
	prandom_seed_state(&rnd, 1);
	for (step = 0; step < 3000; step++) {
		const u32 r = prandom_u32_state(&rnd);
		const unsigned int page = prandom_u32_state(&rnd) % MODEL_PAGES;

		if (r % 8 < 5)
			model_map(f, want, page, r % 8 == 0, r & 64);
		else
			model_zap(f, want, page, 1 + (r >> 8) % (512 - page % 512));
		if (step % 64)
			continue;
		for (i = 0; i < MODEL_PAGES; i++)
			wrong += ept_lookup(&f->ept, model_gpa(i)) != want[i];
		KUNIT_ASSERT_EQ_MSG(test, wrong, 0, "step %u", step);
	}
	zap(f, 0, END);
	for (i = 0; i < MODEL_PAGES; i++)
		wrong += ept_lookup(&f->ept, model_gpa(i)) != 0;
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_GT(test, f->taken, 10);
	KUNIT_EXPECT_EQ(test, dead(f), f->taken);
}

static void the_end_leaves_nothing(struct kunit *test)
{
	struct fixture *f = test->priv;

	map(f, 0, FRAME, false, true);
	map(f, MIB2, LFRAME, true, true);
	ept_destroy(&f->ept);
	KUNIT_EXPECT_PTR_EQ(test, f->ept.root, NULL);
	ept_destroy(&f->ept); /* of one that was never made: nothing */
	KUNIT_ASSERT_EQ(test, ept_init(&f->ept, true), 0);
	KUNIT_EXPECT_EQ(test, ept_lookup(&f->ept, 0), 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(the_pointer_is_as_the_cpu_wants_it),
	KUNIT_CASE(a_page_is_mapped_and_its_neighbours_are_not),
	KUNIT_CASE(both_ends_of_the_space_can_be_mapped),
	KUNIT_CASE(the_right_to_write_is_given_and_taken),
	KUNIT_CASE(a_full_reserve_is_enough),
	KUNIT_CASE(a_large_page_maps_all_its_two_mib),
	KUNIT_CASE(no_large_pages_where_the_cpu_has_none),
	KUNIT_CASE(small_pages_stay_small),
	KUNIT_CASE(a_small_page_replaces_a_split_large_one),
	KUNIT_CASE(nothing_there_needs_no_flush),
	KUNIT_CASE(a_zap_forgets_its_range_and_no_more),
	KUNIT_CASE(a_large_page_is_forgotten_whole),
	KUNIT_CASE(tables_wholly_in_range_are_handed_back),
	KUNIT_CASE(random_maps_and_zaps_agree_with_a_model),
	KUNIT_CASE(the_end_leaves_nothing),
	{},
};

static struct kunit_suite suite = {
	.name = "ept", .test_cases = cases, .init = setup, .exit = teardown};
kunit_test_suite(suite);
