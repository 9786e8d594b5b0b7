/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("pt-root", "switching address spaces, and descriptor tables in typed frames");

static void roots(void)
{
	uint64_t *copy = page_alloc();
	mfn_t old = va_to_mfn((void *)start_info->pt_base), new = va_to_mfn(copy);
	volatile uint64_t *page = page_alloc();
	long rc;

	memcpy(copy, (void *)start_info->pt_base, PAGE_SIZE / 2);
	check_eq("writable", mmuext(MMUEXT_NEW_BASEPTR, new), -XEN_EINVAL);
	check_eq("still the old one", (long)page[0], 0);
	check_eq("read-only", page_set_ro(copy, true), 0);
	check_eq("pin", mmuext(MMUEXT_PIN_L4_TABLE, new), 0);
	for (int i = 0; i < 50; i++) {
		if (mmuext(MMUEXT_NEW_BASEPTR, new))
			check("switch", false);
		page[i]++;
		if (mmuext(MMUEXT_NEW_BASEPTR, old))
			check("switch back", false);
		page[i]++;
	}
	check_eq("memory is the same", (long)(page[0] + page[49]), 4);
	check_eq("to the current one", mmuext(MMUEXT_NEW_BASEPTR, old), 0);
	mmuext(MMUEXT_NEW_BASEPTR, new);
	check_eq("unpin in use", mmuext(MMUEXT_UNPIN_TABLE, new), 0);
	check_eq("in use it keeps its type", page_set_ro(copy, false), -XEN_EBUSY);
	check_eq("back", mmuext(MMUEXT_NEW_BASEPTR, old), 0);
	check_eq("a plain page again", page_set_ro(copy, false), 0);
	check_eq("no such frame", mmuext(MMUEXT_NEW_BASEPTR, BAD_MFN), -XEN_EINVAL);
	check_eq("user: none", mmuext(MMUEXT_NEW_USER_BASEPTR, 0), 0);
	rc = mmuext(MMUEXT_NEW_USER_BASEPTR, old);
	check("user: the same, unless there is no user mode", rc == 0 || rc == -XEN_EOPNOTSUPP);
	check_eq("user: none again", mmuext(MMUEXT_NEW_USER_BASEPTR, 0), 0);
	check_eq("user: no such frame", mmuext(MMUEXT_NEW_USER_BASEPTR, BAD_MFN), -XEN_EINVAL);
}

static void flushes(void)
{
	struct mmuext_op op[3] = {
		{.cmd = MMUEXT_TLB_FLUSH_LOCAL},
		{.cmd = 99},
		{.cmd = MMUEXT_TLB_FLUSH_ALL},
	};
	unsigned int done = 77;
	void *page = page_alloc();

	check_eq("flush: all", mmuext(MMUEXT_TLB_FLUSH_ALL, 0), 0);
	check_eq("flush: one", mmuext(MMUEXT_INVLPG_ALL, NOWHERE >> PAGE_SHIFT), 0);
	check_eq("flush: one, not canonical", mmuext(MMUEXT_INVLPG_LOCAL, NON_CANON), 0);
	check_eq("stops at the bad one", HYPERVISOR_mmuext_op(op, 3, &done, DOMID_SELF),
		 -XEN_ENOSYS);
	check_eq("done before", done, 1);
	check_eq("of nobody", HYPERVISOR_mmuext_op(op, 1, &done, 0x7abc), -XEN_ESRCH);
	memset(page, 1, PAGE_SIZE);
	check_eq("clear a page that is mapped writable", mmuext(MMUEXT_CLEAR_PAGE, va_to_mfn(page)),
		 0);
	check_eq("cleared", *(char *)page, 0);
	check_eq("clear a page table",
		 mmuext(MMUEXT_CLEAR_PAGE, va_to_mfn((void *)start_info->pt_base)), -XEN_EINVAL);
}

static void descriptors(void)
{
	uint64_t *gdt = page_alloc();
	unsigned long frame = va_to_mfn(gdt);
	uint64_t at = (uint64_t)frame << PAGE_SHIFT;
	const uint64_t data = 0x00cff3000000ffff, tss = 0x0080890000000067;

	check_eq("gdt: a writable page", HYPERVISOR_set_gdt(&frame, 512), -XEN_EINVAL);
	page_set_ro(gdt, true);
	check_eq("gdt", HYPERVISOR_set_gdt(&frame, 512), 0);
	check_eq("gdt: writable while in use", page_set_ro(gdt, false), -XEN_EBUSY);
	check_eq("descriptor", HYPERVISOR_update_descriptor(at + 8 * 4, data), 0);
	check_eq("descriptor: reads back", (long)(gdt[4] | 1ull << 40), (long)(data | 1ull << 40));
	check_eq("descriptor: a system segment", HYPERVISOR_update_descriptor(at + 8 * 5, tss),
		 -XEN_EINVAL);
	check_eq("descriptor: misaligned", HYPERVISOR_update_descriptor(at + 4, data), -XEN_EINVAL);
	check_eq("descriptor: no such frame",
		 HYPERVISOR_update_descriptor(BAD_MFN << PAGE_SHIFT, data), -XEN_EINVAL);
	check_eq("descriptor: privilege is lowered",
		 HYPERVISOR_update_descriptor(at + 8 * 6, data & ~(3ull << 45)), 0);
	check_eq("to the guest kernel's", (long)(gdt[6] >> 45 & 3), 3);
	check_eq("gdt: none", HYPERVISOR_set_gdt(NULL, 0), 0);
	check_eq("gdt: writable again", page_set_ro(gdt, false), 0);
}

void test_main(void)
{
	roots();
	flushes();
	descriptors();
}
