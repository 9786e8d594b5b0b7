/* SPDX-License-Identifier: MIT */
/* Self-test: grant table. A domain may grant to itself, so one is enough to test with. */
#include <pv/event.h>
#include <pv/grant.h>
#include "kernel.h"

static long copy(grant_ref_t from, unsigned int offset, void *to, unsigned int len)
{
	struct gnttab_copy op = {
		.source = {.u.ref = from, .domid = DOMID_SELF, .offset = (uint16_t)offset},
		.dest = {.u.gmfn = va_to_mfn(to), .domid = DOMID_SELF},
		.len = (uint16_t)len,
		.flags = GNTCOPY_source_gref,
	};

	return grant_copy(&op);
}

static long copy_to(void *from, grant_ref_t to, unsigned int len)
{
	struct gnttab_copy op = {
		.source = {.u.gmfn = va_to_mfn(from), .domid = DOMID_SELF},
		.dest = {.u.ref = to, .domid = DOMID_SELF, .offset = 512},
		.len = (uint16_t)len,
		.flags = GNTCOPY_dest_gref,
	};

	return grant_copy(&op);
}

static void set_up(void)
{
	struct gnttab_query_size query = {.dom = DOMID_SELF};
	struct gnttab_get_version version = {.dom = DOMID_SELF};

	check_eq("grant: set up", grant_init(), 0);
	check_eq("grant: query_size", HYPERVISOR_grant_table_op(GNTTABOP_query_size, &query, 1), 0);
	check_eq("grant: query_size: status", query.status, GNTST_okay);
	check("grant: frames", query.nr_frames >= 1 && query.max_nr_frames >= query.nr_frames);
	check_eq("grant: get_version", HYPERVISOR_grant_table_op(GNTTABOP_get_version, &version, 1),
		 0);
	check_eq("grant: version 1", version.version, 1);
}

/* Mapping a grant of our own at an address of ours. */
static void map(grant_ref_t ref, grant_ref_t ro, const char *page)
{
	unsigned long va = va_alloc(1);
	struct gnttab_map_grant_ref op = {
		.host_addr = va, .flags = GNTMAP_host_map, .ref = ref, .dom = own_domid()};
	struct gnttab_unmap_grant_ref unmap = {.host_addr = va};

	/* The table for va has to exist. */
	map_mfn(va, va_to_mfn(page), PTE_KERN);
	unmap_va(va);
	check_eq("grant: map", HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, &op, 1), 0);
	check_eq("grant: map: status", op.status, GNTST_okay);
	if (op.status)
		return;
	check("grant: map shows the page", !strcmp((char *)va + 256, "granted"));
	*(volatile char *)(va + 300) = 'x';
	check_eq("grant: map is writable", page[300], 'x');
	check("grant: cannot end while mapped", !grant_end(ref));
	unmap.handle = op.handle;
	check_eq("grant: unmap", HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, &unmap, 1), 0);
	check_eq("grant: unmap: status", unmap.status, GNTST_okay);
	HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, &unmap, 1);
	check_eq("grant: unmap twice", unmap.status, GNTST_bad_handle);
	op.ref = ro;
	HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, &op, 1);
	check_eq("grant: map a read-only grant writable", op.status, GNTST_general_error);
	op.ref = 400;
	HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, &op, 1);
	check_eq("grant: map without a grant", op.status, GNTST_general_error);
}

void selftest_grants(void)
{
	char *a = page_alloc(), *b = page_alloc();
	domid_t self = own_domid();
	long ref, ro;

	set_up();
	memset(a, 'a', PAGE_SIZE);
	strlcpy(a + 256, "granted", 16);
	ref = grant_access(self, va_to_mfn(a), false);
	ro = grant_access(self, va_to_mfn(a), true);
	check("grant: access", ref > 0 && ro > 0 && ref != ro);
	check_eq("grant: copy from a grant", copy((grant_ref_t)ref, 256, b, 16), GNTST_okay);
	check("grant: copied", !strcmp(b, "granted"));
	check_eq("grant: copy to a grant", copy_to(b, (grant_ref_t)ref, 16), GNTST_okay);
	check("grant: copied there", !strcmp(a + 512, "granted"));
	check_eq("grant: copy from a read-only grant", copy((grant_ref_t)ro, 0, b, 16), GNTST_okay);
	check_eq("grant: copy to a read-only grant", copy_to(b, (grant_ref_t)ro, 16),
		 GNTST_general_error);
	check_eq("grant: copy without a grant", copy(500, 0, b, 16), GNTST_general_error);
	check_eq("grant: copy of no such reference", copy(1u << 30, 0, b, 16), GNTST_bad_gntref);
	check_eq("grant: copy across a page's end", copy((grant_ref_t)ref, 4090, b, 16),
		 GNTST_bad_copy_arg);
	map((grant_ref_t)ref, (grant_ref_t)ro, a);
	check("grant: end", grant_end((grant_ref_t)ref));
	check("grant: end read-only", grant_end((grant_ref_t)ro));
	page_free(a);
	page_free(b);
}
