/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as the guest's own page tables map it, read and written through the monitor's
 * mapping of the domain's frames: a bad pointer is an error, never a fault.
 */
#include "hypercalls/monitor/monitor.h"

/* The compiler's own copies, without vector registers (see monitor.h). */
void *memcpy(void *dst, const void *src, size_t n)
{
	size_t words = n / 8;
	void *d = dst;

	n &= 7;
	asm volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
	asm volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *d = dst;

	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return dst;
}

void *frame_ptr(struct domain *d, uint64_t mfn)
{
	return d->ram && mfn < d->nr_frames ? d->ram + (mfn << PAGE_SHIFT) : NULL;
}

static uint64_t walk_root(struct vcpu *v, uint64_t mfn, uint64_t va)
{
	uint64_t e = 0, rw = PTE_RW, nx = 0;

	if ((uint64_t)((int64_t)(va << 16) >> 16) != va ||
	    (va >= HYPERVISOR_START && va < HYPERVISOR_END))
		return 0;
	for (int shift = 39; shift >= 12; shift -= 9) {
		const uint64_t *table = frame_ptr(v->d, mfn);

		if (!table)
			return 0;
		e = __atomic_load_n(&table[(va >> shift) & 511], __ATOMIC_RELAXED);
		if (!(e & PTE_P) || (shift > 12 && shift < 39 && e & PTE_PS))
			return 0;
		rw &= e;
		nx |= e & PTE_NX;
		mfn = pte_mfn(e);
	}
	return mfn < v->d->nr_frames ? (e & ~(PTE_RW | PTE_NX)) | rw | nx : 0;
}

uint64_t walk(struct vcpu *v, uint64_t va)
{
	return walk_root(v, v->kernel_mode ? v->cr3_mfn : v->user_cr3_mfn, va);
}

uint64_t walk_kernel(struct vcpu *v, uint64_t va)
{
	return walk_root(v, v->cr3_mfn, va);
}

enum direction { READ, WRITE, CLEAR };
typedef uint64_t (*walk_fn)(struct vcpu *v, uint64_t va);

static inline int access_by(walk_fn by, struct vcpu *v, uint8_t *buf, uint64_t va, size_t n,
			    enum direction dir)
{
	if (n && va + (n - 1) < va) /* a buffer does not go round the end of the address space */
		return -EFAULT;
	while (n) {
		uint64_t e = by(v, va), off = va & (PAGE_SIZE - 1);
		size_t len = PAGE_SIZE - off < n ? PAGE_SIZE - off : n;
		uint8_t *p;

		if (!(e & PTE_P) || (dir != READ && !(e & PTE_RW)))
			return -EFAULT;
		p = (uint8_t *)frame_ptr(v->d, pte_mfn(e)) + off;
		if (dir == READ)
			memcpy(buf, p, len);
		else if (dir == WRITE)
			memcpy(p, buf, len);
		else
			memset(p, 0, len);
		buf += len;
		va += len;
		n -= len;
	}
	return 0;
}

int copy_from_guest(struct vcpu *v, void *dst, uint64_t va, size_t n)
{
	return access_by(walk, v, dst, va, n, READ);
}

int copy_to_guest(struct vcpu *v, uint64_t va, const void *src, size_t n)
{
	return access_by(walk, v, (void *)src, va, n, WRITE);
}

int copy_to_kernel(struct vcpu *v, uint64_t va, const void *src, size_t n)
{
	return access_by(walk_kernel, v, (void *)src, va, n, WRITE);
}

int clear_guest(struct vcpu *v, uint64_t va, size_t n)
{
	return access_by(walk, v, NULL, va, n, CLEAR);
}
