/* SPDX-License-Identifier: MIT */
/*
 * Where translated code goes to from a context: the IBTC, returns by their stack slot, and the
 * pages that jumps from one to another may rely on.
 */
#include "host-driver/providers/process/translate/context.h"

/* An empty entry is one for 0, and leads to where all go that are not known. */
void returns_clear(struct tr_context *c)
{
	for (unsigned i = 0; i < RET_SIZE; i++)
		c->returns[i] = (struct ibtc_entry){.code = tr_indirect_miss};
}

void ibtc_clear(struct tr_context *c)
{
	returns_clear(c);
	if (c->ibtc_used > IBTC_LIST) {
		memset(c->ibtc, 0, sizeof(c->ibtc));
		target_clear(c, 0);
		target_clear(c, IBTC_SIZE - 1);
	} else {
		for (unsigned k = 0; k < c->ibtc_used; k++)
			target_clear(c, c->ibtc_list[k]);
	}
	c->ibtc_used = 0;
}

void pages_clear(struct tr_context *c)
{
	if (c->pages_first < c->pages_end)
		memset(c->page_here + c->pages_first, 0, c->pages_end - c->pages_first);
	c->pages_first = PAGE_IDS;
	c->pages_end = 0;
}

void mmu_return_forget(struct tr_context *c, uint64_t slot)
{
	c->returns[slot >> 3 & (RET_SIZE - 1)] = (struct ibtc_entry){.code = tr_indirect_miss};
}

/* Pages of these indices are not relied on any longer. */
static void pages_forget(struct tr_context *c, const struct index_set *changed)
{
	for (uint32_t id = c->pages_first; id < c->pages_end; id++)
		if (c->page_here[id] &&
		    in_set(changed->bits, page_id_address(id) >> PAGE_SHIFT & (L1_ENTRIES - 1)))
			c->page_here[id] = 0;
}

void targets_clear(struct tr_context *c, const struct index_set *changed)
{
	const bool all = c->ibtc_used > IBTC_LIST;
	bool any = false;

	for (unsigned i = 0; i < L1_ENTRIES / 64; i++)
		any |= c->code_pages[i] & changed->bits[i];
	if (any)
		pages_forget(c, changed);
	for (unsigned k = 0; any && k < (all ? IBTC_SIZE : c->ibtc_used); k++) {
		const unsigned i = all ? k : c->ibtc_list[k];
		const uint64_t rip = -c->ibtc[i].neg;

		if (in_set(changed->bits, rip >> PAGE_SHIFT & (L1_ENTRIES - 1)) ||
		    in_set(changed->bits, (rip + INSN_MAX - 1) >> PAGE_SHIFT & (L1_ENTRIES - 1)))
			target_clear(c, i);
	}
	for (unsigned i = 0; i < L1_ENTRIES / 64; i++)
		c->code_pages[i] &= ~changed->bits[i];
}

/* No vCPU's IBTC leads from rip to `code` any longer. Another one may have just jumped there. */
void mmu_forget_code(struct domain *d, uint64_t rip, const void *code)
{
	const unsigned j = rip >> IBTC_SHIFT & (IBTC_SIZE - 1);

	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct tr *t = d->vcpu[i] ? d->vcpu[i]->provider : NULL;

		for (unsigned c = 0; t && c < CONTEXTS; c++)
			if (t->pool[c].ibtc[j].code == code)
				target_clear(&t->pool[c], j);
	}
}

void mmu_ibtc_for(struct tr_context *c, bool code32)
{
	if (c->code32 == code32)
		return;
	ibtc_clear(c);
	c->code32 = code32;
}

void *mmu_ibtc_find(const struct tr_context *c, uint64_t rip)
{
	const unsigned i = rip >> IBTC_SHIFT & (IBTC_SIZE - 1);

	return c->ibtc[i].neg == -rip ? c->ibtc[i].code : NULL;
}

static inline void page_of_code(struct tr_context *c, uint64_t va)
{
	const unsigned index = va >> PAGE_SHIFT & (L1_ENTRIES - 1);

	c->low_code |= va < HYPERVISOR_START;
	c->code_pages[index / 64] |= 1UL << (index % 64);
}

void mmu_ibtc_add(struct tr_context *c, uint64_t rip, void *code, bool two)
{
	const unsigned i = rip >> IBTC_SHIFT & (IBTC_SIZE - 1);

	page_of_code(c, rip);
	if (two)
		page_of_code(c, rip + PAGE_SIZE);
	if (c->ibtc[i].neg == nothing(i, IBTC_SIZE, IBTC_SHIFT) && c->ibtc_used <= IBTC_LIST) {
		if (c->ibtc_used < IBTC_LIST)
			c->ibtc_list[c->ibtc_used] = i;
		c->ibtc_used++;
	}
	c->ibtc[i].code = code;
	c->ibtc[i].neg = -rip;
}

void mmu_page_here(struct tr_context *c, uint32_t id, uint64_t va, bool here)
{
	page_of_code(c, va);
	c->pages_first = id < c->pages_first ? id : c->pages_first;
	c->pages_end = id >= c->pages_end ? id + 1 : c->pages_end;
	c->page_here[id] = here;
}
