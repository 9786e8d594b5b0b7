/* SPDX-License-Identifier: MIT */
/*
 * Address spaces. Pages are shared between spaces after a fork, read-only and marked PTE_COW if
 * they were writable: who writes first copies. A space is its process's alone, which runs on one
 * vCPU at a time, so its tables need no lock, and since loading a root flushes the TLB, neither
 * do its changes have to be told to any other vCPU.
 */
#include <pv/process.h>
#include "kernel.h"

#define PTE_COW	  0x200ull /* one of the bits that belong to software */
#define USER_BITS (PTE_MFN | PTE_KERN | PTE_NX | PTE_COW)
#define ENTRIES	  512
#define SLOT	  (USER_BASE >> 39)
#define STACK_LOW (USER_END - USER_STACK_SIZE)
#define BATCH	  64

/* How many spaces have each page of ours. */
static uint16_t *shares;

void space_init(void)
{
	unsigned long n = (start_info->nr_pages * sizeof(*shares) + PAGE_SIZE - 1) / PAGE_SIZE;
	unsigned long va;

	if (shares)
		return;
	va = va_alloc(n);
	shares = (uint16_t *)va;
	for (; n--; va += PAGE_SIZE)
		if (map_mfn(va, va_to_mfn(page_alloc()), PTE_KERN))
			panic("no memory for processes");
}

static void *user_page_alloc(void)
{
	void *page = page_try_alloc();

	if (page)
		shares[va_to_pfn(page)] = 1;
	return page;
}

static void user_page_put(void *page)
{
	if (!__atomic_sub_fetch(&shares[va_to_pfn(page)], 1, __ATOMIC_ACQ_REL))
		page_free(page);
}

/* The page or the table that an entry names. */
static void *target(uint64_t entry)
{
	return pfn_to_va(mfn_to_pfn((entry & PTE_MFN) >> PAGE_SHIFT));
}

static uint64_t entry_for(const void *page, uint64_t flags)
{
	return mfn_pte(va_to_mfn(page), flags);
}

static uint64_t *l1_of(const struct space *s, unsigned long va)
{
	uint64_t entry = s->l2[va >> 21 & (ENTRIES - 1)];

	return entry & PTE_PRESENT ? target(entry) : NULL;
}

static uint64_t pte_of(const struct space *s, unsigned long va)
{
	const uint64_t *l1 = l1_of(s, va);

	return l1 ? READ_ONCE(l1[va >> PAGE_SHIFT & (ENTRIES - 1)]) : 0;
}

static bool add_l1(struct space *s, unsigned long va)
{
	uint64_t *entry = &s->l2[va >> 21 & (ENTRIES - 1)], value;
	void *l1 = page_try_alloc();

	if (!l1)
		return false;
	value = entry_for(l1, PTE_KERN);
	if (!s->live) {
		*entry = value;
		return true;
	}
	pages_set_ro(&l1, 1, true);
	if (pt_set(((uint64_t)va_to_mfn(s->l2) << PAGE_SHIFT) + (va >> 21 & (ENTRIES - 1)) * 8,
		   value))
		panic("a page table for a user");
	return true;
}

/* Of a live space, the current one: then one call changes the entry and the TLB. */
static bool set_pte(struct space *s, unsigned long va, uint64_t pte)
{
	if (!l1_of(s, va) && !add_l1(s, va))
		return false;
	if (!s->live)
		l1_of(s, va)[va >> PAGE_SHIFT & (ENTRIES - 1)] = pte;
	else if (HYPERVISOR_update_va_mapping(va, pte, UVMF_INVLPG | UVMF_LOCAL))
		panic("a page for a user");
	return true;
}

struct space *space_create(void)
{
	const uint64_t *boot_root = (const uint64_t *)start_info->pt_base;
	struct space *s = page_try_alloc();
	uint64_t **tables[] = {&s->kernel_root, &s->user_root, &s->l3, &s->l2};

	if (!s)
		return NULL;
	for (unsigned int i = 0; i < ARRAY_SIZE(tables); i++) {
		*tables[i] = page_try_alloc();
		if (!*tables[i]) {
			while (i--)
				page_free(*tables[i]);
			page_free(s);
			return NULL;
		}
	}
	s->kernel_root[0] = boot_root[0];
	s->kernel_root[SLOT] = s->user_root[SLOT] = entry_for(s->l3, PTE_KERN);
	s->l3[0] = entry_for(s->l2, PTE_KERN);
	return s;
}

static void set_tables_ro(const struct space *s, bool ro)
{
	void *tables[PAGES_SET_MAX] = {s->kernel_root, s->user_root, s->l3, s->l2};
	unsigned int n = 4;

	for (unsigned int i = 0; i < ENTRIES; i++) {
		if (!(s->l2[i] & PTE_PRESENT))
			continue;
		if (n == PAGES_SET_MAX) {
			pages_set_ro(tables, n, ro);
			n = 0;
		}
		tables[n++] = target(s->l2[i]);
	}
	pages_set_ro(tables, n, ro);
}

static void mmuext2(unsigned int cmd1, mfn_t mfn1, unsigned int cmd2, mfn_t mfn2)
{
	struct mmuext_op ops[2] = {
		{.cmd = cmd1, .arg1.mfn = mfn1},
		{.cmd = cmd2, .arg1.mfn = mfn2},
	};
	long rc = HYPERVISOR_mmuext_op(ops, 2, NULL, DOMID_SELF);

	if (rc)
		panic("mmuext_op %u: %ld", cmd1, rc);
}

void space_finish(struct space *s)
{
	set_tables_ro(s, true);
	mmuext2(MMUEXT_PIN_L4_TABLE, va_to_mfn(s->kernel_root), MMUEXT_PIN_L4_TABLE,
		va_to_mfn(s->user_root));
	s->live = true;
}

void space_load(const struct space *s)
{
	const void *kernel_root = s ? s->kernel_root : (void *)start_info->pt_base;

	mmuext2(MMUEXT_NEW_BASEPTR, va_to_mfn(kernel_root), MMUEXT_NEW_USER_BASEPTR,
		s ? va_to_mfn(s->user_root) : 0);
}

void space_destroy(struct space *s)
{
	if (s->live) {
		mmuext2(MMUEXT_UNPIN_TABLE, va_to_mfn(s->kernel_root), MMUEXT_UNPIN_TABLE,
			va_to_mfn(s->user_root));
		set_tables_ro(s, false);
	}
	for (unsigned int i = 0; i < ENTRIES; i++) {
		uint64_t *l1 = s->l2[i] & PTE_PRESENT ? target(s->l2[i]) : NULL;

		for (unsigned int j = 0; l1 && j < ENTRIES; j++)
			if (l1[j] & PTE_PRESENT)
				user_page_put(target(l1[j]));
		if (l1)
			page_free(l1);
	}
	page_free(s->l2);
	page_free(s->l3);
	page_free(s->user_root);
	page_free(s->kernel_root);
	page_free(s);
}

void *space_page(struct space *s, unsigned long va, bool write, bool execute)
{
	uint64_t pte = pte_of(s, va), flags = PTE_PRESENT | PTE_USER | PTE_ACCESS;
	void *page;

	if (pte & PTE_PRESENT)
		return target(pte);
	page = user_page_alloc();
	flags |= (write ? PTE_RW | PTE_DIRTY : 0) | (execute ? 0 : PTE_NX);
	if (page && !set_pte(s, va, entry_for(page, flags))) {
		user_page_put(page);
		page = NULL;
	}
	return page;
}

static bool copy_on_write(struct space *s, unsigned long va, uint64_t pte)
{
	void *old = target(pte), *page = old;
	uint64_t flags = (pte & USER_BITS & ~(PTE_MFN | PTE_COW)) | PTE_RW | PTE_DIRTY;

	/* Alone with it? Then nobody can come to share it meanwhile: that would be our own fork. */
	if (__atomic_load_n(&shares[va_to_pfn(old)], __ATOMIC_ACQUIRE) > 1) {
		page = user_page_alloc();
		if (!page)
			return false;
		page_copy(page, old);
	}
	set_pte(s, va, entry_for(page, flags));
	if (page != old)
		user_page_put(old);
	return true;
}

bool space_fault(struct space *s, unsigned long va, bool write)
{
	uint64_t pte;

	va &= PAGE_MASK;
	if (!is_user(va, PAGE_SIZE))
		return false;
	pte = pte_of(s, va);
	if (pte & PTE_PRESENT)
		return write && pte & PTE_COW && copy_on_write(s, va, pte);
	if ((va < s->heap || va >= s->brk) && va < STACK_LOW)
		return false;
	return space_page(s, va, true, false);
}

long space_sbrk(struct space *s, long by)
{
	unsigned long old = s->brk, new = old + (unsigned long)by;

	/* A gap below the stack, so that an overflow of it is noticed. */
	if (new < s->heap || new > STACK_LOW - USER_STACK_SIZE)
		return -XEN_ENOMEM;
	for (unsigned long va = (new + PAGE_SIZE - 1) & PAGE_MASK; va < old; va += PAGE_SIZE) {
		uint64_t pte = pte_of(s, va);

		if (pte & PTE_PRESENT) {
			set_pte(s, va, 0);
			user_page_put(target(pte));
		}
	}
	s->brk = new;
	return (long)old;
}

/* Writes that wait to go into the parent's tables. */
struct updates {
	struct mmu_update req[BATCH];
	unsigned int n;
};

static void updates_flush(struct updates *u)
{
	if (u->n && HYPERVISOR_mmu_update(u->req, u->n, NULL, DOMID_SELF))
		panic("copy-on-write");
	u->n = 0;
}

static bool fork_l1(struct space *child, unsigned int index, uint64_t *from, struct updates *u)
{
	uint64_t *to;

	if (!add_l1(child, (unsigned long)index << 21))
		return false;
	to = target(child->l2[index]);
	for (unsigned int i = 0; i < ENTRIES; i++) {
		uint64_t pte = from[i] & USER_BITS;

		if (!(pte & PTE_PRESENT))
			continue;
		if (pte & PTE_RW) {
			pte = (pte & ~PTE_RW) | PTE_COW;
			u->req[u->n++] = (struct mmu_update){
				.ptr = ((uint64_t)va_to_mfn(from) << PAGE_SHIFT) + i * 8,
				.val = pte,
			};
			if (u->n == BATCH)
				updates_flush(u);
		}
		to[i] = pte;
		__atomic_add_fetch(&shares[va_to_pfn(target(pte))], 1, __ATOMIC_RELAXED);
	}
	return true;
}

struct space *space_fork(struct space *parent)
{
	struct mmuext_op flush = {.cmd = MMUEXT_TLB_FLUSH_LOCAL};
	struct space *child = space_create();
	struct updates u = {.n = 0};
	bool done = child;

	for (unsigned int i = 0; done && i < ENTRIES; i++)
		if (parent->l2[i] & PTE_PRESENT)
			done = fork_l1(child, i, target(parent->l2[i]), &u);
	updates_flush(&u);
	HYPERVISOR_mmuext_op(&flush, 1, NULL, DOMID_SELF);
	if (done) {
		child->heap = parent->heap;
		child->brk = parent->brk;
		space_finish(child);
	} else if (child) {
		space_destroy(child);
		child = NULL;
	}
	return child;
}
