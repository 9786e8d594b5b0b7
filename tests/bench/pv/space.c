/* SPDX-License-Identifier: MIT */
/*
 * Two address spaces, each with a root for its kernel and one for its user, as a kernel has one of
 * each for every process. What the roots name below is the same.
 */
#include <pv/lib.h>
#include <pv/mm.h>

#include "tests/bench/pv/bench.h"

#define SLOT (USER_CODE >> 39)

static uint64_t *roots[2][2]; /* [space][user] */

/* A page with one entry in it, or with one more than `like` has. */
static uint64_t *table(unsigned int index, void *below, uint64_t flags, const uint64_t *like)
{
	uint64_t *t = page_alloc();

	if (like)
		t[0] = like[0];
	t[index] = mfn_pte(va_to_mfn(below), flags);
	return t;
}

static long pin(uint64_t *root)
{
	struct mmuext_op op = {.cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = va_to_mfn(root)};
	long rc = page_set_ro(root, true);

	return rc ? rc : HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

long spaces_make(void)
{
	const uint64_t *boot = (const uint64_t *)start_info->pt_base;
	uint64_t *l1, *l2, *l3;
	void *code = page_alloc();
	long rc;

	memcpy(code, user_code, user_code_end - user_code);
	l1 = table(0, code, PTE_KERN & ~PTE_RW, NULL);
	l2 = table(0, l1, PTE_KERN, NULL);
	l3 = table(0, l2, PTE_KERN, NULL);
	rc = page_set_ro(l1, true);
	if (!rc)
		rc = page_set_ro(l2, true);
	if (!rc)
		rc = page_set_ro(l3, true);
	for (unsigned int i = 0; i < 4 && !rc; i++) {
		roots[i / 2][i % 2] = table(SLOT, l3, PTE_KERN, i % 2 ? NULL : boot);
		rc = pin(roots[i / 2][i % 2]);
	}
	return rc;
}

long space_load(unsigned int nr)
{
	struct mmuext_op ops[2] = {
		{.cmd = MMUEXT_NEW_BASEPTR, .arg1.mfn = va_to_mfn(roots[nr][0])},
		{.cmd = MMUEXT_NEW_USER_BASEPTR, .arg1.mfn = va_to_mfn(roots[nr][1])},
	};

	return HYPERVISOR_mmuext_op(ops, 2, NULL, DOMID_SELF);
}
