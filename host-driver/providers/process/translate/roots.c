/* SPDX-License-Identifier: MIT */
/*
 * Do all kernel roots show the same code in the upper half? Jumps from page to page are chained
 * there, and flags judged by the page that is gone on in, for whichever root is loaded: that is
 * Linux' way to have its roots. Where another root shows other code, all that is translated goes;
 * of a kernel that does so again and again, or on two vCPUs at once, nothing is chained so any
 * more.
 */
#include "host-driver/providers/process/translate/context.h"
#include "hypercalls/monitor/mm.h"

#define MAX_CHANGES \
	16 /* a kernel that boots leaves the roots of its domain's builder, once or twice */

static uint64_t shown[UPPER_ENTRIES]; /* by the root that was loaded last */
static uint64_t with_code[(UPPER_ENTRIES + 63) / 64];
static unsigned changes;
static volatile bool differ; /* as all here, under d->lock */

bool roots_agree(void)
{
	return !differ;
}

void roots_code(struct domain *d, uint64_t rip)
{
	const unsigned i = (rip >> 39 & (L1_ENTRIES - 1)) - UPPER_FIRST;

	if (rip < HYPERVISOR_END || in_set(with_code, i))
		return;
	with_code[i / 64] |= 1UL << (i % 64);
	/* They have not been compared in that yet: they are as if one of them had changed. */
	__atomic_store_n(&l4_changes, l4_changes + 1, __ATOMIC_RELEASE);
	mmu_flush(d, ALL_VCPUS, FLUSH_ALL);
}

/* Do the entries lead to other code? */
static bool other_code(const uint64_t *a, const uint64_t *b)
{
	for (unsigned i = 0; i < UPPER_ENTRIES; i++)
		if (in_set(with_code, i) && (a[i] ^ b[i]) & (PTE_P | PTE_MFN_MASK))
			return true;
	return false;
}

static bool other_on_vcpu(struct vcpu *v, const uint64_t *entries)
{
	for (uint32_t i = 0; i < v->d->nr_vcpus; i++) {
		const struct vcpu *other = v->d->vcpu[i];
		const uint64_t *root = other && other != v && other->online
					       ? frame_ptr(v->d, other->cr3_mfn)
					       : NULL;

		if (root && other_code(root + UPPER_FIRST, entries))
			return true;
	}
	return false;
}

void roots_loaded(struct vcpu *v, const uint64_t *entries)
{
	bool changed, apart;

	pthread_mutex_lock(&v->d->lock);
	changed = other_code(shown, entries);
	apart = other_on_vcpu(v, entries);
	memcpy(shown, entries, sizeof(shown));
	if (!differ && (changed || apart)) {
		differ = apart || ++changes > MAX_CHANGES;
		code_forget_all(v->d);
	}
	pthread_mutex_unlock(&v->d->lock);
}
