/* SPDX-License-Identifier: MIT */
/*
 * The guest's pages: in its page tables, and at the same addresses in this process. Each vCPU has
 * its own tables and frames.
 *
 * A case may begin with some of them mapped differently; the tables are changed as the monitor
 * changes them at a guest's wish (mmu.c), with the flush that the guest then asks for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "hypercalls/monitor/mm.h"
#include "tests/translate/filter.h"

#define FIRST_USED 8 /* frames of the pages, of a vCPU's; the tables come before */
#define L4	   0
#define L3	   1
#define L2	   2
#define L1_CODE	   3 /* then of the data, of the stack, of the page far away */
#define TABLES	   7

#define RW  (PROT_READ | PROT_WRITE)
#define RX  (PROT_READ | PROT_EXEC)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

static const struct page {
	uint64_t va;
	uint8_t frame; /* of the NR_FRAMES_USED */
	uint8_t prot;
} pages[] = {
	{CODE_VA, 0, RWX},
	{CODE_VA + PAGE, 1, RWX},
	{CODE_VA + 2 * PAGE, 2, RX},
	{CODE_VA + 3 * PAGE, 3, RW},
	{DATA_VA, 4, RW},
	{DATA_VA + PAGE, 5, RW},
	{DATA_VA + 2 * PAGE, 6, RW},
	{DATA_VA + 3 * PAGE, 7, PROT_READ},
	{DATA_VA + 5 * PAGE, 8, RW},
	{DATA_VA + 6 * PAGE, 4, RW},
	{DATA_VA + 7 * PAGE, 1, RW},
	{FAR_VA, 11, RW},
	{STACK_VA + PAGE, 9, RW},
	{STACK_VA + 2 * PAGE, 10, RW},
};
#define NR_PAGES     (sizeof(pages) / sizeof(pages[0]))
#define FIRST_CHANGE 2 /* the cases' code stays where it is */

static __thread struct page now[NR_PAGES]; /* what of them is mapped differently: prot 0, nothing */

/* Neighbours in the guest's address space are none in memory: what crosses a page must notice. */
static uint64_t mfn_of(unsigned frame)
{
	return PVDOM_MFN_RAM + current->id * NR_FRAMES + FIRST_USED +
	       frame * 5 % NR_FRAMES_USED * 2;
}

static uint64_t table_mfn(unsigned table)
{
	return PVDOM_MFN_RAM + current->id * NR_FRAMES + table;
}

uint64_t pages_root(void)
{
	return table_mfn(L4);
}

uint8_t *guest_frame(unsigned frame)
{
	return frame_ptr(the_domain, mfn_of(frame));
}

static void entry(unsigned table, unsigned index, uint64_t mfn, uint64_t flags)
{
	uint64_t *t = frame_ptr(the_domain, table_mfn(table));

	t[index] = mfn << PAGE_SHIFT | flags;
}

static unsigned table_of(const struct page *p)
{
	return L1_CODE + (p->va == FAR_VA ? 3 : (p->va - CODE_VA) >> 28);
}

static uint64_t pte_of(const struct page *p)
{
	if (!p->prot)
		return 0;
	return mfn_of(p->frame) << PAGE_SHIFT | PTE_P | PTE_US |
	       (p->prot & PROT_WRITE ? PTE_RW : 0) | (p->prot & PROT_EXEC ? 0 : PTE_NX);
}

/* Of the calling vCPU. */
void pages_init(void)
{
	const uint64_t all = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D;
	static const uint64_t base[] = {CODE_VA, DATA_VA, STACK_VA, FAR_VA};
	static const enum frame_type type[TABLES] = {FT_L4, FT_L3, FT_L2, FT_L1,
						     FT_L1, FT_L1, FT_L1};

	for (unsigned i = 0; i < NR_FRAMES; i++)
		the_domain->frame[table_mfn(i)] =
			(struct frame){.kind = FRAME_RAM,
				       .type = i < TABLES ? type[i] : FT_WRITABLE,
				       .type_count = 1,
				       .ref_count = 1,
				       .va_hint = VA_HINT_NONE};
	entry(L4, 0, table_mfn(L3), all);
	entry(L3, CODE_VA >> 30 & 511, table_mfn(L2), all);
	if (va_delta) { /* the same pages again */
		entry(L4, 511, table_mfn(L3), all);
		entry(L3, 511, table_mfn(L2), all);
	}
	for (unsigned i = 0; i < 4; i++)
		entry(L2, base[i] >> 21 & 511, table_mfn(L1_CODE + i), all);
	for (unsigned i = 0; i < NR_PAGES; i++) {
		now[i] = pages[i];
		entry(table_of(&pages[i]), pages[i].va >> 12 & 511, 0, pte_of(&pages[i]));
	}
}

static void map_native(const struct page *p)
{
	void *va = (void *)p->va;

	if (p->prot ? mmap(va, PAGE, p->prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
			   the_domain->ram_fd, mfn_of(p->frame) * PAGE) == MAP_FAILED
		    : munmap(va, PAGE)) {
		perror("translate: the guest's addresses");
		exit(2);
	}
}

/* At their own addresses, which nobody else may have. */
void pages_map_native(void)
{
	for (unsigned i = 0; i < NR_PAGES; i++) {
		if (mmap((void *)pages[i].va, PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED) {
			perror("translate: the guest's addresses");
			exit(2);
		}
		map_native(&pages[i]);
	}
}

static void change(unsigned i, const struct page *to, bool native)
{
	const unsigned index = to->va >> 12 & 511;
	uint64_t *slot, old;

	pthread_mutex_lock(&the_domain->lock);
	slot = (uint64_t *)frame_ptr(the_domain, table_mfn(table_of(to))) + index;
	old = __atomic_exchange_n(slot, pte_of(to), __ATOMIC_SEQ_CST);
	map_changed(the_domain); /* copy.c remembers */
	if (old & PTE_P) {
		the_domain->provider->entry_changed(the_domain, table_mfn(table_of(to)), index,
						    old);
		the_domain->provider->flush(the_domain, 1U << current->id, to->va + va_delta);
	}
	pthread_mutex_unlock(&the_domain->lock);
	now[i] = *to;
	if (native)
		map_native(to);
}

void pages_change(struct rng *r, bool native)
{
	static const uint8_t prot[] = {0, PROT_READ, RW, RW, RX};

	for (unsigned n = 1 + below(r, 3); n; n--) {
		const unsigned i = FIRST_CHANGE + below(r, NR_PAGES - FIRST_CHANGE);
		struct page to = {pages[i].va, DATA_FIRST + below(r, NR_FRAMES_USED - DATA_FIRST),
				  prot[below(r, sizeof(prot))]};

		if (chance(r, 40))
			to.frame = now[i].frame;
		change(i, &to, native);
	}
}

bool pages_code_moved(void)
{
	return now[FIRST_CHANGE].frame != pages[FIRST_CHANGE].frame || !now[FIRST_CHANGE].prot;
}

void pages_restore(bool native)
{
	for (unsigned i = FIRST_CHANGE; i < NR_PAGES; i++)
		if (now[i].frame != pages[i].frame || now[i].prot != pages[i].prot)
			change(i, &pages[i], native);
}
