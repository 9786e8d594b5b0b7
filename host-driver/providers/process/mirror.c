/* SPDX-License-Identifier: MIT */
/*
 * The guest's page tables, mirrored as mappings of its RAM memfd.
 *
 * Like a TLB: filled when a native access faults, and kept exact by the monitor, which calls
 * mirror_forget() whenever a present entry changes. A fault maps the run of entries around
 * it that are contiguous in both address and frame, within one L1 table: few host mappings and
 * few faults. d->lock is held by every caller.
 */
#include <sys/mman.h>

#include "host-driver/providers/process/direct.h"

#define L1_SPAN (512 * PAGE_SIZE)

static uint64_t *table(struct domain *d, uint64_t mfn)
{
	return frame_ptr(d, mfn);
}

/* The L1 table that maps va, and the rights (PTE_RW, PTE_NX) of the levels above it. */
static uint64_t find_l1(struct vcpu *v, uint64_t va, uint64_t *rights)
{
	uint64_t mfn = v->cr3_mfn, nx = 0, rw = PTE_RW;

	for (int shift = 39; shift > 12; shift -= 9) {
		uint64_t *t = table(v->d, mfn), e;

		if (!t)
			return INVALID_MFN;
		e = __atomic_load_n(&t[(va >> shift) & 511], __ATOMIC_RELAXED);
		if (!(e & PTE_P) || (e & PTE_PS && shift < 39))
			return INVALID_MFN;
		nx |= e & PTE_NX;
		rw &= e;
		mfn = pte_mfn(e);
	}
	*rights = rw | nx;
	return mfn;
}

static int prot_of(uint64_t pte, uint64_t rights)
{
	int prot = PROT_READ;

	if (pte & rights & PTE_RW)
		prot |= PROT_WRITE;
	if (!((pte | rights) & PTE_NX))
		prot |= PROT_EXEC;
	return prot;
}

/* Do entries a and b, `pages` apart, belong to one mapping of the memfd? */
static bool same_run(struct domain *d, uint64_t a, uint64_t b, int64_t pages)
{
	const uint64_t attr = PTE_P | PTE_RW | PTE_NX;

	return (a & attr) == (b & attr) && pte_mfn(b) == pte_mfn(a) + pages &&
	       pte_mfn(b) < d->nr_frames && !d->frame[pte_mfn(b)].elsewhere;
}

bool mirror_fault(struct vcpu *v, uint64_t va, bool write, bool exec)
{
	struct domain *d = v->d;
	uint64_t rights, l1_mfn = find_l1(v, va, &rights), pte, *l1, base, offset;
	int i = (va >> PAGE_SHIFT) & 511, lo = i, hi = i, prot, fd;

	if (l1_mfn == INVALID_MFN)
		return false;
	l1 = table(d, l1_mfn);
	if (!l1)
		return false;
	pte = __atomic_load_n(&l1[i], __ATOMIC_RELAXED);
	prot = prot_of(pte, rights);
	if (!(pte & PTE_P) || pte_mfn(pte) >= d->nr_frames || (write && !(prot & PROT_WRITE)) ||
	    (exec && !(prot & PROT_EXEC)))
		return false;

	base = va & ~(L1_SPAN - 1);
	if (d->frame[l1_mfn].va_hint == ~0UL)
		d->frame[l1_mfn].va_hint = base;
	else if (d->frame[l1_mfn].va_hint != base)
		d->frame[l1_mfn].va_hint = VA_HINT_MANY;

	fd = frame_backing(d, pte_mfn(pte), &offset);
	while (fd == d->ram_fd && lo > 0 && same_run(d, pte, l1[lo - 1], lo - 1 - i) &&
	       base + (lo - 1) * PAGE_SIZE >= GUEST_LO)
		lo--;
	while (fd == d->ram_fd && hi < 511 && same_run(d, pte, l1[hi + 1], hi + 1 - i))
		hi++;
	/* The hardware would set these one by one; early is within the architecture. */
	for (int j = lo; j <= hi; j++)
		__atomic_or_fetch(&l1[j], PTE_A | (prot & PROT_WRITE ? PTE_D : 0),
				  __ATOMIC_RELAXED);

	for (int tries = 0; tries < 2; tries++) {
		if (mmap((void *)(base + lo * PAGE_SIZE), (hi - lo + 1) * PAGE_SIZE, prot,
			 MAP_SHARED | MAP_FIXED, fd, offset - (i - lo) * PAGE_SIZE) != MAP_FAILED)
			return true;
		/* Out of host mappings (vm.max_map_count): start over with an empty mirror. */
		mirror_forget(d, FLUSH_ALL);
		lo = hi = i;
	}
	domain_crash(v, "the host has no mapping left for the guest's page");
	return true;
}

void mirror_forget(struct domain *d, uint64_t va)
{
	if (va == FLUSH_ALL)
		munmap((void *)GUEST_LO, GUEST_HI - GUEST_LO);
	else if (va >= GUEST_LO && va < GUEST_HI)
		munmap((void *)(va & PAGE_MASK), PAGE_SIZE);
}
