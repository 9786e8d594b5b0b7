/* SPDX-License-Identifier: MIT */
/* Who owns a frame: given back, exchanged, ballooned away, never the guest's beyond its share. */
#include "tests/unit/fake_tables.h"

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

static void a_mapped_frame_given_back_lives_until_unmapped(void **state)
{
	uint64_t mfn = data + 3, before = dom.tot_pages;

	*(uint64_t *)frame_ptr(&dom, mfn) = 42;
	assert_int_equal(toolstack_decrease(&dom, 0, &mfn, 1), 1);
	assert_int_equal(toolstack_decrease(&dom, 0, &mfn, 1), 0);
	assert_int_equal(dom.tot_pages, before);
	assert_int_equal(*(uint64_t *)frame_ptr(&dom, mfn), 42);
	assert_int_equal(map(VA + 3 * PAGE_SIZE, 0), 0);
	assert_int_equal(dom.tot_pages, before - 1);
	assert_int_equal(dom.frame[mfn].kind, FRAME_FREE);
	assert_int_equal(map(VA + 3 * PAGE_SIZE, pte(mfn, PTE_RW)), -EBUSY);
	/* The root itself, too. */
	assert_int_equal(toolstack_decrease(&dom, 0, &l4, 1), 1);
	assert_int_equal(map(VA + 4 * PAGE_SIZE, 0), 0);
}

static long exchange(unsigned in_order, unsigned ins, unsigned out_order, unsigned outs)
{
	struct xen_memory_exchange x = {
		.in = {.nr_extents = ins, .extent_order = in_order, .domid = DOMID_SELF},
		.out = {.nr_extents = outs, .extent_order = out_order, .domid = DOMID_SELF},
	};

	set_xen_guest_handle(x.in.extent_start, (xen_pfn_t *)(VA + 1024));
	set_xen_guest_handle(x.out.extent_start, (xen_pfn_t *)(VA + 2048));
	memcpy(args(0), &x, sizeof(x));
	return do_memory_op(&vcpu, XENMEM_exchange, VA, 0, 0, 0);
}

static void exchange_is_all_or_nothing(void **state)
{
	uint64_t *in = args(1024), *out = args(2048), before;

	for (unsigned i = 0; i < 4; i++) {
		in[i] = frame_alloc(&dom, 0, 50 + i);
		*(uint64_t *)frame_ptr(&dom, in[i]) = i;
	}
	before = dom.tot_pages;
	out[0] = 100;
	in[3] = in[2]; /* twice */
	assert_int_equal(exchange(0, 4, 2, 1), -EINVAL);
	in[3] = data + 1; /* mapped */
	assert_int_equal(exchange(0, 4, 2, 1), -EINVAL);
	assert_int_equal(exchange(0, 4, 2, 2), -EINVAL);
	assert_int_equal(exchange(0, 4, 12, 1), -EPERM);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(frame_is_ram(&dom, in[i]));
		assert_int_equal(*(uint64_t *)frame_ptr(&dom, in[i]), i);
	}
	in[3] = in[2] + 1;
	assert_int_equal(exchange(0, 4, 2, 1), 0);
	assert_int_equal(((struct xen_memory_exchange *)args(0))->nr_exchanged, 4);
	assert_int_equal(out[0] % 4, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(frame_is_ram(&dom, out[0] + i));
		assert_int_equal(dom.m2p[out[0] + i], 100 + i);
		assert_int_equal(*(uint64_t *)frame_ptr(&dom, out[0] + i), 0);
	}
	assert_int_equal(dom.tot_pages, before);
}

static void an_exchange_without_room_changes_nothing(void **state)
{
	uint64_t *in = args(1024), *out = args(2048), before, mfn;

	while ((mfn = frame_alloc(&dom, 0, 50)) != INVALID_MFN)
		in[0] = mfn;
	in[1] = in[0] - 2; /* no two of them side by side */
	before = dom.tot_pages;
	out[0] = 100;
	*(uint64_t *)frame_ptr(&dom, in[0]) = 42;
	assert_int_equal(exchange(0, 2, 1, 1), -ENOMEM);
	assert_int_equal(((struct xen_memory_exchange *)args(0))->nr_exchanged, 0);
	assert_int_equal(dom.tot_pages, before);
	assert_true(frame_is_ram(&dom, in[0]) && frame_is_ram(&dom, in[1]));
	assert_int_equal(*(uint64_t *)frame_ptr(&dom, in[0]), 42);
	assert_int_equal(exchange(0, 2, 0, 2), 0);
	assert_int_equal(dom.tot_pages, before);
}

static long reservation(unsigned cmd, unsigned n, uint16_t domid)
{
	xen_memory_reservation_t r = {.nr_extents = n, .domid = domid};

	set_xen_guest_handle(r.extent_start, (xen_pfn_t *)(VA + 1024));
	memcpy(args(0), &r, sizeof(r));
	return do_memory_op(&vcpu, cmd, VA, 0, 0, 0);
}

static void the_guest_balloons(void **state)
{
	uint64_t *list = args(1024), before = dom.tot_pages;

	list[0] = 70;
	list[1] = 71;
	assert_int_equal(reservation(XENMEM_populate_physmap, 2, DOMID_SELF), 2);
	assert_int_equal(dom.m2p[list[1]], 71);
	*(uint16_t *)args(0) = DOMID_SELF;
	assert_int_equal(do_memory_op(&vcpu, XENMEM_current_reservation, VA, 0, 0, 0), before + 2);
	assert_int_equal(reservation(XENMEM_decrease_reservation, 2, DOMID_SELF), 2);
	assert_int_equal(reservation(XENMEM_decrease_reservation, 2, DOMID_SELF), 0);
	assert_int_equal(reservation(XENMEM_decrease_reservation, 2, 99), 0);
	assert_int_equal(dom.tot_pages, before);
	assert_int_equal(do_memory_op(&vcpu, XENMEM_populate_physmap, 0, 0, 0, 0), 0);
	assert_int_equal(do_memory_op(&vcpu, XENMEM_exchange, 0, 0, 0, 0), -EFAULT);
	assert_int_equal(do_memory_op(&vcpu, XENMEM_machine_memory_map, 0, 0, 0, 0), -EPERM);
	assert_int_equal(do_memory_op(&vcpu, 60, 0, 0, 0, 0), -ENOSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_frame_given_back_comes_again_zeroed),
		T(no_frame_beyond_the_reservation),
		T(a_mapped_frame_given_back_lives_until_unmapped),
		T(exchange_is_all_or_nothing),
		T(an_exchange_without_room_changes_nothing),
		T(the_guest_balloons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
