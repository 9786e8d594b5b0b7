/* SPDX-License-Identifier: MIT */
#include "common.h"
#include <pv/grant.h>

TEST("grant-table", "the table itself, and mapping one's own grant as a back end would");

static domid_t self;

static void versions(void)
{
	struct gnttab_get_version get = {.dom = DOMID_SELF};
	struct gnttab_set_version set = {.version = 3};

	check_eq("get_version", HYPERVISOR_grant_table_op(GNTTABOP_get_version, &get, 1), 0);
	check_eq("version 1", get.version, 1);
	check_eq("set_version: 3", HYPERVISOR_grant_table_op(GNTTABOP_set_version, &set, 1),
		 -XEN_EINVAL);
	set.version = 1;
	check_eq("set_version: 1", HYPERVISOR_grant_table_op(GNTTABOP_set_version, &set, 1), 0);
	get.dom = 0x7abc;
	check_eq("get_version: of nobody", HYPERVISOR_grant_table_op(GNTTABOP_get_version, &get, 1),
		 -XEN_ESRCH);
}

static void sizes(void)
{
	xen_pfn_t frames[64];
	struct gnttab_query_size query = {.dom = DOMID_SELF};
	struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 2};

	set_xen_guest_handle(setup.frame_list, frames);
	check_eq("setup", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
	check_eq("setup: status", setup.status, GNTST_okay);
	check("setup: two different frames", frames[0] && frames[1] && frames[0] != frames[1]);
	check_eq("query", HYPERVISOR_grant_table_op(GNTTABOP_query_size, &query, 1), 0);
	check_eq("query: status", query.status, GNTST_okay);
	check("query: grown", query.nr_frames >= 2 && query.max_nr_frames >= query.nr_frames);
	setup.nr_frames = query.max_nr_frames + 1;
	check_eq("setup: too many", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
	check_eq("setup: too many: status", setup.status, GNTST_general_error);
	setup.nr_frames = 1;
	setup.dom = 0x7abc;
	check_eq("setup: of nobody", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1), 0);
	check_eq("setup: of nobody: status", setup.status, GNTST_bad_domain);
	query.dom = 0x7abc;
	HYPERVISOR_grant_table_op(GNTTABOP_query_size, &query, 1);
	check_eq("query: of nobody", query.status, GNTST_bad_domain);
}

static long map(unsigned long va, long ref, unsigned int flags, uint32_t *handle)
{
	struct gnttab_map_grant_ref op = {
		.host_addr = va, .flags = flags, .ref = (grant_ref_t)ref, .dom = self};

	check_eq("map: hypercall", HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, &op, 1), 0);
	*handle = op.handle;
	return op.status;
}

static long unmap(unsigned long va, uint32_t handle)
{
	struct gnttab_unmap_grant_ref op = {.host_addr = va, .handle = handle};

	check_eq("unmap: hypercall", HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1),
		 0);
	return op.status;
}

static void maps(void)
{
	unsigned long va = va_alloc(1);
	char *page = page_alloc();
	long rw = grant_access(self, va_to_mfn(page), false);
	long ro = grant_access(self, va_to_mfn(page), true);
	uint32_t handle, second;

	map_mfn(va, va_to_mfn(page), PTE_KERN); /* makes the tables exist */
	unmap_va(va);
	check_eq("map", map(va, rw, GNTMAP_host_map, &handle), GNTST_okay);
	*(volatile char *)(va + 9) = 'x';
	check_eq("map: the same memory", page[9], 'x');
	check("map: in use", !grant_end((grant_ref_t)rw));
	check_eq("unmap: wrong handle", unmap(va, handle + 1000), GNTST_bad_handle);
	check_eq("unmap: wrong address", unmap(va + PAGE_SIZE * 3, handle), GNTST_general_error);
	check_eq("unmap", unmap(va, handle), GNTST_okay);
	check_eq("unmap: gone", vector_of(do_read, (void *)va), 14);
	check_eq("unmap: twice", unmap(va, handle), GNTST_bad_handle);
	check_eq("read-only for writing", map(va, ro, GNTMAP_host_map, &second),
		 GNTST_general_error);
	check_eq("read-only", map(va, ro, GNTMAP_host_map | GNTMAP_readonly, &handle), GNTST_okay);
	check_eq("read-only: reads", vector_of(do_read, (void *)va), -1);
	check_eq("read-only: does not write", vector_of(do_write, (void *)va), 14);
	check_eq("read-only: unmap", unmap(va, handle), GNTST_okay);
	check_eq("where no table is", map(NOWHERE, rw, GNTMAP_host_map, &handle),
		 GNTST_general_error);
	check_eq("no such reference", map(va, 1l << 30, GNTMAP_host_map, &handle),
		 GNTST_bad_gntref);
	check_eq("an empty one", map(va, 500, GNTMAP_host_map, &handle), GNTST_general_error);
	check("all free again", grant_end((grant_ref_t)rw) && grant_end((grant_ref_t)ro));
}

void test_main(void)
{
	versions();
	check_eq("set up", grant_init(), 0);
	self = own_domid();
	sizes();
	maps();
}
