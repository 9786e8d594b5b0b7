/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory, for two runs of a block that nobody else is to see: a page is copied when it
 * is first asked for, once for each of them, and so are the answers of the page tables.
 */
#include <sys/mman.h>

#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/step.h"

/*
 * Below what the upper half of a guest is read at, and low enough for each base to be canonical.
 */
#define PLACES	     (1UL << 41)
#define PLACES_BYTES (CHECK_PAGES * CHECK_STRIDE) /* of a vCPU: nothing else may be in between */

_Static_assert(PLACES + PVDOM_MAX_VCPUS * PLACES_BYTES < HYPERVISOR_END + UPPER_BASE, "no room");

bool check_memory_init(struct check *c, unsigned id)
{
	c->places = (uint8_t *)(PLACES + id * PLACES_BYTES);
	if (mmap(c->places, PLACES_BYTES, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		 0) != c->places)
		return false;
	for (unsigned i = 0; i < CHECK_PAGES; i++)
		if (mmap(check_copy(c, TRANSLATED, i), PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return false;
	return true;
}

void check_memory_begin(struct vcpu *v, struct check *c)
{
	c->looks = c->pages = 0;
	c->lost = false;
	c->context.tlb = c->context.own;
	if (!v->kernel_mode)
		return;
	/* The kernel's code has but one place for a TLB. */
	mmu_tlb_empty(tr.context);
	c->context.tlb = tr_kernel_tlb;
}

bool check_memory_again(struct check *c)
{
	if (!tr_enter())
		return false;
	for (unsigned i = 0; i < c->pages; i++)
		step_bytes(check_copy(c, TRANSLATED, i), c->page[i], PAGE_SIZE);
	tr_left();
	for (unsigned i = 0; i < c->pages; i++)
		step_bytes(check_copy(c, REFERENCE, i), check_copy(c, TRANSLATED, i), PAGE_SIZE);
	return true;
}

void check_memory_fill(struct check *c)
{
	for (const struct check_look *l = c->look; l < c->look + c->looks; l++) {
		const uint8_t *page = check_copy(c, TRANSLATED, l->copy);

		if (l->copy < 0)
			continue;
		mmu_tlb_set(&c->context, l->va, page, false);
		if (l->how == ACCESS_WRITE)
			mmu_tlb_set(&c->context, l->va, page, true);
	}
}

void check_memory_end(struct check *c)
{
	for (unsigned i = 0; i < c->looks; i++)
		mmu_tlb_set(&c->context, c->look[i].va, NULL, false);
}

/* The number of the page's copies; -1: there is no room, or the page may be gone. */
static int copies_of(struct check *c, const uint8_t *page, uint64_t va)
{
	unsigned i = 0;

	while (i < c->pages && c->page[i] != page)
		i++;
	if (i < c->pages)
		return i;
	if (i == CHECK_PAGES || !tr_enter())
		return -1;
	step_bytes(check_copy(c, TRANSLATED, i), page, PAGE_SIZE);
	tr_left();
	step_bytes(check_copy(c, REFERENCE, i), check_copy(c, TRANSLATED, i), PAGE_SIZE);
	c->page[i] = page;
	c->page_va[i] = va;
	c->pages++;
	return i;
}

static const struct check_look *look_at(struct vcpu *v, struct check *c, uint64_t va,
					enum access how)
{
	struct check_look *l = c->look;
	const uint8_t *page;

	for (; l < c->look + c->looks; l++)
		if (l->va == va && l->how == how)
			return l;
	if (c->looks == CHECK_LOOKS)
		return NULL;
	page = mmu_page(v, va, how);
	*l = (struct check_look){va, -1, how};
	if (page) {
		l->copy = copies_of(c, page, va);
		if (l->copy < 0)
			return NULL;
	}
	c->looks++;
	return l;
}

uint8_t *check_memory(struct vcpu *v, uint64_t va, enum access how)
{
	const uint64_t offset = va & ~PAGE_MASK;
	struct check *c = tr.check;
	const struct check_look *l;
	uint8_t *p;

	if (how == ACCESS_FETCH) {
		p = mmu_page(v, va, how);
		return p ? p + offset : NULL;
	}
	l = look_at(v, c, va & PAGE_MASK, how);
	c->lost |= !l;
	return l && l->copy >= 0 ? check_copy(c, c->side, l->copy) + offset : NULL;
}
