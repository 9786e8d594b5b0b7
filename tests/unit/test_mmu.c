/* SPDX-License-Identifier: MIT */
/* Direct paging keeps its promises: no page table is ever writable, counts return to zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hypercalls/monitor/mm.h"

#define RAM_FRAMES 64
#define FRAMES	   (PVDOM_MFN_RAM + RAM_FRAMES)
#define VA	   0x400000UL /* where the little address space maps its frames */
#define MAPPED	   16	      /* frames mapped from there */

struct domain *the_domain;
__thread struct vcpu *current;

static struct domain dom;
static struct vcpu vcpu;
static unsigned flushes, page_flushes;
static uint64_t data, l1, l2, l3, l4; /* frames: MAPPED data frames, then one table a level */

static void invalidate(struct domain *d, uint64_t va)
{
	page_flushes++;
}

static void invalidate_all(struct domain *d)
{
	flushes++;
}

static const struct provider provider = {.invalidate = invalidate,
					 .invalidate_all = invalidate_all};

static uint64_t *table(uint64_t mfn)
{
	return frame_ptr(&dom, mfn);
}

static uint64_t pte(uint64_t mfn, uint64_t flags)
{
	return mfn << PAGE_SHIFT | flags | PTE_P;
}

/* A pinned L4 that maps `data` writable and the L1 itself read-only. */
static int setup(void **state)
{
	dom = (struct domain){.id = 7,
			      .provider = &provider,
			      .nr_frames = FRAMES,
			      .max_pages = RAM_FRAMES,
			      .grant_frames = 1};
	vcpu = (struct vcpu){.d = &dom, .kernel_mode = true};
	dom.ram_fd = memfd_create("ram", 0);
	assert_int_equal(ftruncate(dom.ram_fd, FRAMES * PAGE_SIZE), 0);
	dom.ram = mmap(NULL, FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, dom.ram_fd, 0);
	assert_int_equal(frame_init(&dom), 0);
	data = frame_alloc(&dom, 4, 0);
	l1 = frame_alloc(&dom, 0, 16);
	l2 = frame_alloc(&dom, 0, 17);
	l3 = frame_alloc(&dom, 0, 18);
	l4 = frame_alloc(&dom, 0, 19);
	for (unsigned i = 0; i < MAPPED; i++)
		table(l1)[i] = pte(data + i, PTE_RW);
	table(l1)[MAPPED] = pte(l1, 0);
	table(l2)[VA >> 21 & 511] = pte(l1, PTE_RW);
	table(l3)[0] = pte(l2, PTE_RW);
	table(l4)[0] = pte(l3, PTE_RW);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L4_TABLE, l4), 0);
	assert_int_equal(root_load(&vcpu, l4), 0);
	flushes = page_flushes = 0;
	return 0;
}

static int teardown(void **state)
{
	munmap(dom.ram, FRAMES * PAGE_SIZE);
	munmap(dom.frame, FRAMES * sizeof(struct frame));
	close(dom.ram_fd);
	return 0;
}

static long map(uint64_t va, uint64_t val)
{
	return do_update_va_mapping(&vcpu, va, val, UVMF_INVLPG, 0, 0);
}

static void a_page_table_is_never_mapped_writable(void **state)
{
	assert_int_equal(map(VA, pte(l1, PTE_RW)), -EBUSY);
	assert_int_equal(map(VA, pte(l4, PTE_RW)), -EBUSY);
	assert_int_equal(map(VA, pte(l4, 0)), 0);
}

static void a_writable_page_never_becomes_a_page_table(void **state)
{
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, data), -EINVAL);
	assert_int_equal(map(VA, 0), 0);
	memset(frame_ptr(&dom, data), 0, PAGE_SIZE);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, data), 0);
	assert_int_equal(map(VA, pte(data, PTE_RW)), -EBUSY);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, data), 0);
	assert_int_equal(map(VA, pte(data, PTE_RW)), 0);
}

static void frames_that_are_not_the_guests_are_refused(void **state)
{
	assert_true(map(VA, pte(FRAMES, PTE_RW)) < 0);
	assert_true(map(VA, pte(PTE_MFN_MASK >> PAGE_SHIFT, PTE_RW)) < 0);
	assert_true(map(VA, pte(0, PTE_RW)) < 0);
	assert_true(map(VA, pte(FRAMES - 1, PTE_RW)) < 0); /* in the memfd, not allocated */
	assert_true(map(VA, pte(PVDOM_MFN_GRANT + 1, PTE_RW)) < 0);
	assert_int_equal(map(VA, pte(PVDOM_MFN_SHARED_INFO, PTE_RW)), 0);
	assert_int_equal(map(VA, pte(PVDOM_MFN_GRANT, PTE_RW)), 0);
}

static void the_hypervisors_slots_are_refused(void **state)
{
	assert_int_equal(pte_update(&vcpu, l4, 256, pte(l3, 0), false), -EINVAL);
	assert_int_equal(pte_update(&vcpu, l4, 271, 0, false), -EINVAL);
	assert_int_equal(map(HYPERVISOR_START, pte(data, 0)), -EINVAL);
	assert_int_equal(copy_from_guest(&vcpu, &(int){0}, HYPERVISOR_START, 4), -EFAULT);
}

static void a_table_that_maps_itself_writable_is_refused(void **state)
{
	uint64_t mfn = frame_alloc(&dom, 0, 30);

	table(mfn)[0] = pte(mfn, PTE_RW);
	assert_true(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, mfn) < 0);
	assert_int_equal(dom.frame[mfn].type_count, 0);
	assert_int_equal(dom.frame[mfn].ref_count, 0);
}

static void a_failed_validation_leaves_no_reference(void **state)
{
	uint64_t mfn = frame_alloc(&dom, 0, 30);
	uint32_t before = dom.frame[data + 1].ref_count;

	table(mfn)[0] = pte(data + 1, PTE_RW);
	table(mfn)[1] = pte(FRAMES + 5, PTE_RW);
	assert_true(toolstack_mmuext(&dom, MMUEXT_PIN_L1_TABLE, mfn) < 0);
	assert_int_equal(dom.frame[data + 1].ref_count, before);
}

static void unpinning_the_root_returns_all_counts_to_zero(void **state)
{
	frame_put_type(&dom, l4, FT_L4); /* the vCPU's own reference */
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, l4), 0);
	assert_int_equal(toolstack_mmuext(&dom, MMUEXT_UNPIN_TABLE, l4), -EINVAL);
	for (uint64_t i = PVDOM_MFN_RAM; i < FRAMES; i++) {
		assert_int_equal(dom.frame[i].ref_count, 0);
		assert_int_equal(dom.frame[i].type_count, 0);
	}
}

static void a_present_entry_that_changes_leaves_the_mirror(void **state)
{
	dom.frame[l1].va_hint = VA;
	assert_int_equal(map(VA, pte(data, 0)), 0);
	assert_true(page_flushes > 0);
	dom.frame[l1].va_hint = VA_HINT_MANY;
	assert_int_equal(map(VA + PAGE_SIZE, 0), 0);
	assert_true(flushes > 0);
}

static void copies_stop_at_what_the_guest_may_not_touch(void **state)
{
	uint8_t buf[64] = {1, 2, 3};

	assert_int_equal(copy_to_guest(&vcpu, VA + PAGE_SIZE - 8, buf, sizeof(buf)), 0);
	assert_int_equal(copy_from_guest(&vcpu, buf, VA + PAGE_SIZE - 8, sizeof(buf)), 0);
	assert_int_equal(buf[2], 3);
	assert_int_equal(copy_to_guest(&vcpu, VA + MAPPED * PAGE_SIZE, buf, 8), -EFAULT);
	assert_int_equal(copy_from_guest(&vcpu, buf, VA + MAPPED * PAGE_SIZE + 4092, 8), -EFAULT);
	assert_int_equal(copy_from_guest(&vcpu, buf, 1UL << 62, 8), -EFAULT);
	assert_int_equal(copy_from_guest(&vcpu, buf, ~0UL - 3, 8), -EFAULT);
}

static void a_frame_given_back_comes_again_zeroed(void **state)
{
	uint64_t mfn = frame_alloc(&dom, 0, 30), pfn = 31, again;
	uint64_t before = dom.tot_pages;

	memset(frame_ptr(&dom, mfn), 0xaa, PAGE_SIZE);
	assert_int_equal(toolstack_decrease(&dom, 0, &mfn, 1), 1);
	assert_int_equal(toolstack_decrease(&dom, 0, &mfn, 1), 0);
	dom.alloc_hint = mfn;
	assert_int_equal(toolstack_populate(&dom, 0, &pfn, &again, 1), 1);
	assert_int_equal(again, mfn);
	assert_int_equal(*(uint8_t *)frame_ptr(&dom, mfn), 0);
	assert_int_equal(dom.tot_pages, before);
}

static void no_frame_beyond_the_reservation(void **state)
{
	uint64_t pfn[RAM_FRAMES], mfn[RAM_FRAMES];

	memset(pfn, 0, sizeof(pfn));
	assert_int_equal(toolstack_populate(&dom, 0, pfn, mfn, RAM_FRAMES),
			 RAM_FRAMES - MAPPED - 4);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_page_table_is_never_mapped_writable),
		T(a_writable_page_never_becomes_a_page_table),
		T(frames_that_are_not_the_guests_are_refused),
		T(the_hypervisors_slots_are_refused),
		T(a_table_that_maps_itself_writable_is_refused),
		T(a_failed_validation_leaves_no_reference),
		T(unpinning_the_root_returns_all_counts_to_zero),
		T(a_present_entry_that_changes_leaves_the_mirror),
		T(copies_stop_at_what_the_guest_may_not_touch),
		T(a_frame_given_back_comes_again_zeroed),
		T(no_frame_beyond_the_reservation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
