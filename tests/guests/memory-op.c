/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("memory-op", "ballooning: a page given back is gone, a page asked for is new and ours");

static long reservation(unsigned int cmd, xen_pfn_t *frames, unsigned long n, unsigned int order)
{
	struct xen_memory_reservation r = {
		.nr_extents = n, .extent_order = order, .domid = DOMID_SELF};

	set_xen_guest_handle(r.extent_start, frames);
	return HYPERVISOR_memory_op(cmd, &r);
}

static long current_pages(void)
{
	domid_t self = DOMID_SELF;

	return HYPERVISOR_memory_op(XENMEM_current_reservation, &self);
}

static mfn_t *p2m(void)
{
	return (mfn_t *)start_info->mfn_list;
}

static void balloon(void)
{
	unsigned long *page = page_alloc();
	pfn_t pfn = va_to_pfn(page);
	xen_pfn_t old = va_to_mfn(page), frame = old;
	long before = current_pages();
	unsigned long va = (unsigned long)page;

	page[0] = 0x5ec2e7;
	check_eq("decrease, still mapped", reservation(XENMEM_decrease_reservation, &frame, 1, 0),
		 1);
	check_eq("a mapping keeps it readable", (long)page[0], 0x5ec2e7);
	check_eq("unmap", unmap_va(va), 0);
	check_eq("one less", current_pages(), before - 1);
	check_eq("decrease again", reservation(XENMEM_decrease_reservation, &frame, 1, 0), 0);
	frame = pfn;
	check_eq("populate", reservation(XENMEM_populate_physmap, &frame, 1, 0), 1);
	check_eq("as many as before", current_pages(), before);
	p2m()[pfn] = frame;
	check_eq("map what came", map_mfn(va, frame, PTE_KERN), 0);
	/* Scrubbed or not is Xen's choice for one's own memory; using it must work. */
	page[0] = 1;
	page[511] = 2;
	check_eq("it is memory", (long)(page[0] + page[511]), 3);
	page_free(page);
}

static void refused(void)
{
	xen_pfn_t frame = BAD_MFN;
	domid_t nobody = 0x7abc;
	xen_pfn_t table = va_to_mfn((void *)start_info->pt_base);
	struct xen_memory_reservation r = {.nr_extents = 1, .domid = 0x7abc};

	check_eq("decrease: no such frame", reservation(XENMEM_decrease_reservation, &frame, 1, 0),
		 0);
	check_eq("decrease: nothing", reservation(XENMEM_decrease_reservation, &frame, 0, 0), 0);
	check_eq("decrease: a page table stays in use",
		 reservation(XENMEM_decrease_reservation, &table, 1, 0), 1);
	check("and the machine goes on", *(volatile uint64_t *)start_info->pt_base);
	check_eq("decrease: order too large",
		 reservation(XENMEM_decrease_reservation, &frame, 1, 60), 0);
	check_eq("populate: order too large", reservation(XENMEM_populate_physmap, &frame, 1, 60),
		 0);
	set_xen_guest_handle(r.extent_start, &frame);
	check_eq("of nobody", HYPERVISOR_memory_op(XENMEM_decrease_reservation, &r), 0);
	check_eq("current: of nobody", HYPERVISOR_memory_op(XENMEM_current_reservation, &nobody),
		 -XEN_ESRCH);
	check_eq("maximum: of nobody", HYPERVISOR_memory_op(XENMEM_maximum_reservation, &nobody),
		 -XEN_ESRCH);
}

static void exchange(void)
{
	unsigned long *page = page_alloc();
	unsigned long va = (unsigned long)page;
	xen_pfn_t in = va_to_mfn(page), out = va_to_pfn(page);
	struct xen_memory_exchange ex = {
		.in = {.nr_extents = 1, .domid = DOMID_SELF},
		.out = {.nr_extents = 1, .domid = DOMID_SELF},
	};
	long before = current_pages();

	set_xen_guest_handle(ex.in.extent_start, &in);
	set_xen_guest_handle(ex.out.extent_start, &out);
	unmap_va(va);
	check_eq("exchange", HYPERVISOR_memory_op(XENMEM_exchange, &ex), 0);
	check_eq("exchange: one", (long)ex.nr_exchanged, 1);
	check_eq("exchange: as many as before", current_pages(), before);
	p2m()[va_to_pfn(page)] = out;
	check_eq("exchange: map what came", map_mfn(va, out, PTE_KERN), 0);
	page[0] = 7;
	check_eq("exchange: it is memory", (long)page[0], 7);
	ex.nr_exchanged = 0;
	ex.out.nr_extents = 2;
	check_eq("exchange: sizes differ", HYPERVISOR_memory_op(XENMEM_exchange, &ex), -XEN_EINVAL);
	ex.out.nr_extents = 1;
	ex.out.domid = 99;
	check_eq("exchange: for two domains", HYPERVISOR_memory_op(XENMEM_exchange, &ex),
		 -XEN_EINVAL);
	ex.out.domid = DOMID_SELF;
	page_free(page);
}

void test_main(void)
{
	domid_t self = DOMID_SELF;

	check("current >= what we were told", current_pages() >= (long)start_info->nr_pages);
	check("maximum >= current",
	      HYPERVISOR_memory_op(XENMEM_maximum_reservation, &self) >= current_pages());
	check("the largest frame", HYPERVISOR_memory_op(XENMEM_maximum_ram_page, NULL) > 0);
	balloon();
	exchange();
	refused();
}
