/* SPDX-License-Identifier: MIT */
#include "common.h"
#include <pv/grant.h>

TEST("grant-copy", "every byte between domains passes the rules of grant copy");

#define NOBODY 0x7abc

static char *a, *b;
static domid_t self;

static struct gnttab_copy op(grant_ref_t ref, unsigned int offset, unsigned int len)
{
	return (struct gnttab_copy){
		.source = {.u.ref = ref, .domid = DOMID_SELF, .offset = (uint16_t)offset},
		.dest = {.u.gmfn = va_to_mfn(b), .domid = DOMID_SELF},
		.len = (uint16_t)len,
		.flags = GNTCOPY_source_gref,
	};
}

static long from(long ref, unsigned int offset, unsigned int len)
{
	struct gnttab_copy c = op((grant_ref_t)ref, offset, len);

	return grant_copy(&c);
}

static long to(long ref, unsigned int offset, unsigned int len)
{
	struct gnttab_copy c = {
		.source = {.u.gmfn = va_to_mfn(b), .domid = DOMID_SELF},
		.dest = {.u.ref = (grant_ref_t)ref,
			 .domid = DOMID_SELF,
			 .offset = (uint16_t)offset},
		.len = (uint16_t)len,
		.flags = GNTCOPY_dest_gref,
	};

	return grant_copy(&c);
}

static void rules(long rw, long ro, long other)
{
	struct gnttab_copy c;

	strlcpy(a + 256, "granted", 16);
	check_eq("from", from(rw, 256, 16), GNTST_okay);
	check("from: the bytes", !strcmp(b, "granted"));
	check_eq("from read-only", from(ro, 256, 16), GNTST_okay);
	check_eq("to", to(rw, 512, 16), GNTST_okay);
	check("to: the bytes", !strcmp(a + 512, "granted"));
	check_eq("to read-only", to(ro, 512, 16), GNTST_general_error);
	check_eq("a whole page", from(rw, 0, PAGE_SIZE), GNTST_okay);
	check("a whole page: the bytes", !memcmp(a, b, PAGE_SIZE));
	check_eq("nothing", from(rw, 0, 0), GNTST_okay);
	check_eq("across the end", from(rw, 4090, 16), GNTST_bad_copy_arg);
	check_eq("behind the end", from(rw, 4097, 1), GNTST_bad_copy_arg);
	check_eq("no entry", from(500, 0, 16), GNTST_general_error);
	check_eq("no such reference", from(1l << 30, 0, 16), GNTST_bad_gntref);
	check_eq("granted to another", from(other, 0, 16), GNTST_general_error);
	c = op((grant_ref_t)rw, 0, 16);
	c.source.domid = NOBODY;
	check_eq("of nobody", grant_copy(&c), GNTST_bad_domain);
	c = op((grant_ref_t)rw, 0, 16);
	c.dest.u.gmfn = BAD_MFN;
	check_eq("to no frame", grant_copy(&c), GNTST_bad_page);
	c = op((grant_ref_t)rw, 0, 16);
	c.dest.u.gmfn = va_to_mfn((void *)start_info->pt_base);
	check_eq("to a page table", grant_copy(&c), GNTST_general_error);
}

static void batch(long rw)
{
	struct gnttab_copy list[3];

	for (int i = 0; i < 3; i++)
		list[i] = op(i == 1 ? 500 : (grant_ref_t)rw, 0, 16);
	list[2].status = 77;
	check_eq("batch", HYPERVISOR_grant_table_op(GNTTABOP_copy, list, 3), 0);
	check_eq("batch: first", list[0].status, GNTST_okay);
	check_eq("batch: bad", list[1].status, GNTST_general_error);
	check_eq("batch: goes on", list[2].status, GNTST_okay);
	check_eq("batch of none", HYPERVISOR_grant_table_op(GNTTABOP_copy, list, 0), 0);
}

static void life(void)
{
	long ref = grant_access(self, va_to_mfn(a), false);

	check("end", grant_end((grant_ref_t)ref));
	check_eq("ended", from(ref, 0, 16), GNTST_general_error);
	ref = grant_access(self, BAD_MFN & 0xffffffff, false);
	check_eq("of a frame not ours", from(ref, 0, 16), GNTST_bad_page);
	grant_end((grant_ref_t)ref);
}

void test_main(void)
{
	long rw, ro, other;

	check_eq("set up", grant_init(), 0);
	self = own_domid();
	a = page_alloc();
	b = page_alloc();
	memset(a, 'a', PAGE_SIZE);
	rw = grant_access(self, va_to_mfn(a), false);
	ro = grant_access(self, va_to_mfn(a), true);
	other = grant_access(0x5555, va_to_mfn(a), false);
	rules(rw, ro, other);
	batch(rw);
	life();
	check("nobody holds them", grant_end((grant_ref_t)rw) && grant_end((grant_ref_t)ro));
}
