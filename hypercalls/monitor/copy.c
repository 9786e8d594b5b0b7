/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as the guest's own page tables map it, read and written through the monitor's
 * mapping of the domain's frames: a bad pointer is an error, never a fault.
 *
 * Most calls write without the domain's lock, while another vCPU may make a page table of the page,
 * or something else of a table on the way to it. So a write is announced from before its look at
 * the tables until its end, and a frame gets another type only when those have ended that began
 * before (tlb.c). What a read meanwhile finds is the guest's own in any case.
 */
#include "hypercalls/monitor/mm.h"

#define SHORT 128 /* bytes: less than what it takes `rep movs` to begin */

/* The compiler's own copies, without vector registers (see monitor.h). */
void *memcpy(void *dst, const void *src, size_t n)
{
	size_t words = n / 8;
	const uint8_t *s = src;
	uint8_t *d = dst;

	if (n > SHORT) {
		asm volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words) : : "memory");
	} else {
		for (; words; words--, d += 8, s += 8) {
			uint64_t word;

			__builtin_memcpy(&word, s, 8);
			__builtin_memcpy(d, &word, 8);
		}
	}
	if (n & 4) {
		uint32_t half;

		__builtin_memcpy(&half, s, 4);
		__builtin_memcpy(d, &half, 4);
		s += 4;
		d += 4;
	}
	for (n &= 3; n; n--)
		*d++ = *s++;
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
	uint64_t rights, *slot = walk_to(v->d, mfn, va, &rights), e;

	if (!slot)
		return 0;
	e = __atomic_load_n(slot, __ATOMIC_RELAXED);
	if (!(e & PTE_P) || pte_mfn(e) >= v->d->nr_frames)
		return 0;
	return (e & ~PTE_RW) | (e & rights & PTE_RW) | (rights & PTE_NX);
}

uint64_t walk(struct vcpu *v, uint64_t va)
{
	return walk_root(v, root_of(v), va);
}

uint64_t walk_kernel(struct vcpu *v, uint64_t va)
{
	return walk_root(v, v->cr3_mfn, va);
}

uint64_t walk_any(struct vcpu *v, uint64_t va)
{
	const uint64_t e = walk(v, va), other = v->kernel_mode ? v->user_cr3_mfn : v->cr3_mfn;

	return e & PTE_P || !other ? e : walk_root(v, other, va);
}

/* Where guest_page() does not know it. Apart, so that it need not save registers for this. */
static __attribute__((noinline)) uint8_t *find_page(struct vcpu *v, uint64_t root, uint64_t va,
						    bool write)
{
	const uint64_t clock = __atomic_load_n(&v->d->map_clock, __ATOMIC_ACQUIRE);
	struct known_page *k = &v->known[va >> PAGE_SHIFT & (KNOWN_PAGES - 1)];
	const uint64_t e = walk_root(v, root, va);

	if (!(e & PTE_P) || (write && !(e & PTE_RW)))
		return NULL;
	*k = (struct known_page){(va & PAGE_MASK) | (e & PTE_RW ? KNOWN_WRITABLE : 0), root, clock,
				 frame_ptr(v->d, pte_mfn(e))};
	if (write)
		frame_written(v->d, pte_mfn(e));
	return k->p;
}

/*
 * The page of va, or NULL. What walk() said lately is remembered for as long as no page table
 * changes: most accesses are to the guest kernel's stack, again and again.
 */
static inline __attribute__((always_inline)) uint8_t *guest_page(struct vcpu *v, uint64_t root,
								 uint64_t va, bool write)
{
	const struct known_page *k = &v->known[va >> PAGE_SHIFT & (KNOWN_PAGES - 1)];
	const uint64_t any = write ? 0 : KNOWN_WRITABLE;

	if ((k->va | any) != ((va & PAGE_MASK) | KNOWN_WRITABLE) || k->root != root ||
	    k->clock != __atomic_load_n(&v->d->map_clock, __ATOMIC_ACQUIRE))
		return find_page(v, root, va, write);
	if (write)
		frame_written(v->d, (k->p - v->d->ram) >> PAGE_SHIFT);
	return k->p;
}

static inline void write_begin(struct vcpu *v)
{
	__atomic_fetch_add(&v->writes, 1, __ATOMIC_SEQ_CST);
}

static inline void write_end(struct vcpu *v)
{
	__atomic_store_n(&v->writes, v->writes + 1, __ATOMIC_RELEASE);
}

/* Page by page. */
static int access_pages(struct vcpu *v, uint64_t root, uint8_t *buf, uint64_t va, size_t n,
			bool write)
{
	if (n && va + (n - 1) < va) /* a buffer does not go round the end of the address space */
		return -EFAULT;
	while (n) {
		uint64_t off = va & (PAGE_SIZE - 1);
		size_t len = PAGE_SIZE - off < n ? PAGE_SIZE - off : n;
		uint8_t *p = guest_page(v, root, va, write);

		if (!p)
			return -EFAULT;
		p += off;
		if (write)
			memcpy(p, buf, len);
		else
			memcpy(buf, p, len);
		buf += len;
		va += len;
		n -= len;
	}
	return 0;
}

static int write_pages(struct vcpu *v, uint64_t root, const void *buf, uint64_t va, size_t n)
{
	int rc;

	write_begin(v);
	rc = access_pages(v, root, (void *)buf, va, n, true);
	write_end(v);
	return rc;
}

/* Within one page, as nearly all are; and not empty. */
static inline bool in_one_page(uint64_t va, size_t n)
{
	return n - 1 < PAGE_SIZE - (va & (PAGE_SIZE - 1));
}

const void *guest_ptr(struct vcpu *v, uint64_t va, size_t n)
{
	const uint8_t *p = in_one_page(va, n) ? guest_page(v, root_of(v), va, false) : NULL;

	return p ? p + (va & (PAGE_SIZE - 1)) : NULL;
}

int copy_from_guest(struct vcpu *v, void *dst, uint64_t va, size_t n)
{
	const uint8_t *p;

	if (!in_one_page(va, n))
		return access_pages(v, root_of(v), dst, va, n, false);
	p = guest_page(v, root_of(v), va, false);
	if (!p)
		return -EFAULT;
	memcpy(dst, p + (va & (PAGE_SIZE - 1)), n);
	return 0;
}

int copy_to_guest(struct vcpu *v, uint64_t va, const void *src, size_t n)
{
	uint8_t *p;

	if (!in_one_page(va, n))
		return write_pages(v, root_of(v), src, va, n);
	write_begin(v);
	p = guest_page(v, root_of(v), va, true);
	if (p) {
		p += va & (PAGE_SIZE - 1);
		if (n == sizeof(uint64_t)) /* a result, most often */
			__builtin_memcpy(p, src, sizeof(uint64_t));
		else
			memcpy(p, src, n);
	}
	write_end(v);
	return p ? 0 : -EFAULT;
}

int copy_to_kernel(struct vcpu *v, uint64_t va, const void *src, size_t n)
{
	return write_pages(v, v->cr3_mfn, src, va, n);
}
