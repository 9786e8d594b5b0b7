/* SPDX-License-Identifier: MIT */
/* Frames, the p2m, and page tables that only hypercalls change. */
#ifndef PV_MM_H
#define PV_MM_H

#include <pv/arch.h>

#define PTE_PRESENT 0x001ull
#define PTE_RW	    0x002ull
#define PTE_USER    0x004ull
#define PTE_ACCESS  0x020ull
#define PTE_DIRTY   0x040ull
#define PTE_MFN	    0x000ffffffffff000ull
#define PTE_NX	    0x8000000000000000ull
#define PTE_KERN    (PTE_PRESENT | PTE_RW | PTE_USER | PTE_ACCESS | PTE_DIRTY)

typedef unsigned long pfn_t;
typedef unsigned long mfn_t;

extern char _virt_base[], _text[], _etext[], _end[];

static inline void *pfn_to_va(pfn_t pfn)
{
	return _virt_base + (pfn << PAGE_SHIFT);
}

static inline pfn_t va_to_pfn(const void *va)
{
	return ((const char *)va - _virt_base) >> PAGE_SHIFT;
}

static inline mfn_t pfn_to_mfn(pfn_t pfn)
{
	return ((mfn_t *)start_info->mfn_list)[pfn];
}

static inline mfn_t va_to_mfn(const void *va)
{
	return pfn_to_mfn(va_to_pfn(va));
}

static inline uint64_t mfn_pte(mfn_t mfn, uint64_t flags)
{
	return (uint64_t)mfn << PAGE_SHIFT | flags;
}

/* No machine_to_phys table: a guest in an ordinary process cannot see one. ~0ul if not ours. */
pfn_t mfn_to_pfn(mfn_t mfn);

/* Sets one page-table entry, named by the machine address of the entry. */
long pt_set(uint64_t pte_maddr, uint64_t value);
/* The entry of the given level (1-4) for va: its machine address, and its value if wanted. */
bool pt_find(unsigned long va, unsigned int level, uint64_t *maddr, uint64_t *value);

/* ---- with the page allocator (not needed by guests that only boot) ---- */

void mm_init(void);
static inline void *page_clear(void *page)
{
	void *at = page;
	unsigned long n = PAGE_SIZE / 8;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(n) : "a"(0) : "memory");
	return page;
}

static inline void page_copy(void *to, const void *from)
{
	unsigned long n = PAGE_SIZE / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n)::"memory");
}

/* A zeroed page. NULL, or a panic, when there is none: nobody could be asked to give one back. */
void *page_try_alloc(void);
void *page_alloc(void);
void page_free(void *page);
unsigned long page_total(void), page_free_count(void);
/* Makes the L1 entry for va exist, then maps mfn there; 0 or -errno. */
long map_mfn(unsigned long va, mfn_t mfn, uint64_t flags);
long unmap_va(unsigned long va);
/* A range of unused addresses of n pages, never given back. */
unsigned long va_alloc(unsigned long n);
/* Makes a page of ours read-only or writable where the direct map shows it. */
long page_set_ro(void *page, bool ro);
#define PAGES_SET_MAX 16
void pages_set_ro(void *const *pages, unsigned int n, bool ro);

#endif
