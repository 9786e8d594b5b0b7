/* SPDX-License-Identifier: MIT */
#include "user.h"

TEST("vm-assist", "which assists there are, and m2p_strict: the machine-to-physical table's slot");

#define SLOT 256 /* of an L4: 0xffff800000000000 */
#define M2P  ((const volatile unsigned long *)0xffff800000000000ul)

static const uint32_t types[] = {
	VMASST_TYPE_4gb_segments,	 VMASST_TYPE_4gb_segments_notify,
	VMASST_TYPE_writable_pagetables, VMASST_TYPE_pae_extended_cr3,
	VMASST_TYPE_architectural_iopl,	 VMASST_TYPE_runstate_update_flag,
	VMASST_TYPE_m2p_strict,
};

static bool known(unsigned int type)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i] == type)
			return true;
	return false;
}

static void assists(void)
{
	for (unsigned int i = 0; i < 70; i++) {
		const long want = known(i) ? 0 : -XEN_EINVAL;

		check_eq("enable", HYPERVISOR_vm_assist(VMASST_CMD_enable, i), want);
		check_eq("disable", HYPERVISOR_vm_assist(VMASST_CMD_disable, i), want);
		check_eq("no such command", HYPERVISOR_vm_assist(2, i),
			 known(i) ? -XEN_ENOSYS : -XEN_EINVAL);
	}
}

/* A pinned L4 with what the boot one has in the lower half. */
static volatile uint64_t *root(void)
{
	uint64_t *l4 = page_alloc();

	l4[0] = *(uint64_t *)start_info->pt_base;
	page_set_ro(l4, true);
	check_eq("pin", mmuext(MMUEXT_PIN_L4_TABLE, va_to_mfn(l4)), 0);
	return l4;
}

static void kernel(const volatile uint64_t *l4)
{
	check_eq("kernel root", mmuext(MMUEXT_NEW_BASEPTR, va_to_mfn((const void *)l4)), 0);
}

static void user(const volatile uint64_t *l4)
{
	check_eq("user root", mmuext(MMUEXT_NEW_USER_BASEPTR, va_to_mfn((const void *)l4)), 0);
}

static void shows(const char *what, const volatile uint64_t *l4, bool yes)
{
	check_eq(what, l4[SLOT] != 0, yes);
}

static void table(void)
{
	for (pfn_t pfn = 0; pfn < 100; pfn++)
		if (M2P[pfn_to_mfn(pfn)] != pfn)
			check("a frame of ours", false);
	check_eq("read-only", vector_of(do_write, (void *)M2P), 14);
}

void test_main(void)
{
	const volatile uint64_t *boot = (const volatile uint64_t *)start_info->pt_base, *a, *b, *c;

	assists();
	user_init();
	table();
	a = root();
	shows("pinned", a, false);
	user(a);
	shows("a user's", a, false);
	kernel(a);
	shows("a kernel's", a, true);
	user(boot);
	user(a);
	shows("a user's again", a, true);

	HYPERVISOR_vm_assist(VMASST_CMD_enable, VMASST_TYPE_m2p_strict);
	b = root();
	shows("strict: pinned", b, true);
	kernel(b);
	shows("strict: a kernel's", b, true);
	table();
	user(b);
	shows("strict: a user's", b, false);
	kernel(boot);
	kernel(b);
	shows("strict: a kernel's again", b, false);
	kernel(boot);
	c = root();
	user(c);
	shows("strict: only a user's", c, false);

	HYPERVISOR_vm_assist(VMASST_CMD_disable, VMASST_TYPE_m2p_strict);
	shows("as it was", c, false);
	kernel(c);
	shows("a kernel's after that", c, true);
	table();
	kernel(boot);
	shows("the boot one", boot, true);
}
