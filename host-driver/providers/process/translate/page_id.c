/* SPDX-License-Identifier: MIT */
/*
 * Which page is where: each pair of a guest page's number and the frame that was found there gets a
 * number of its own. Every context says of which numbers that is so in its address space, and code
 * that jumps from one page to another looks that up (lower_insn.c). So a chained jump is good
 * for all address spaces, and a change of one of them changes no code.
 */
#include <sys/mman.h>

#include "host-driver/providers/process/translate/block.h"

#define HASH_SIZE PAGE_IDS
#define FRAMES	  (1UL << 28)

static struct page_id {
	uint64_t page; /* the guest address */
	uint32_t mfn, next;
} * ids;
static uint32_t *hash;	  /* the first of each; 0: none */
static uint8_t *is_given; /* by frame */
static uint32_t nr_ids = 1;

int page_id_init(void)
{
	const size_t size = PAGE_IDS * sizeof(*ids) + HASH_SIZE * sizeof(*hash) + FRAMES;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	ids = p;
	hash = (uint32_t *)(ids + PAGE_IDS);
	is_given = (uint8_t *)(hash + HASH_SIZE);
	return 0;
}

static uint32_t *first_of(uint64_t va, uint32_t mfn)
{
	const uint64_t key = (va >> PAGE_SHIFT ^ (uint64_t)mfn << 32) * 0x9e3779b97f4a7c15UL;

	return &hash[key >> 32 & (HASH_SIZE - 1)];
}

uint32_t page_id_find(uint64_t va, uint32_t mfn)
{
	uint32_t id = __atomic_load_n(first_of(va, mfn), __ATOMIC_ACQUIRE);

	while (id && (ids[id].page != (va & PAGE_MASK) || ids[id].mfn != mfn))
		id = ids[id].next;
	return id;
}

uint32_t page_id_make(uint64_t va, uint32_t mfn)
{
	uint32_t id = page_id_find(va, mfn), *first = first_of(va, mfn);

	if (id || nr_ids == PAGE_IDS)
		return id;
	id = nr_ids++;
	ids[id] = (struct page_id){.page = va & PAGE_MASK, .mfn = mfn, .next = *first};
	__atomic_store_n(&is_given[mfn], 1, __ATOMIC_RELEASE);
	__atomic_store_n(first, id, __ATOMIC_RELEASE);
	return id;
}

uint64_t page_id_address(uint32_t id)
{
	return ids[id].page;
}

bool page_id_given(uint32_t mfn)
{
	return __atomic_load_n(&is_given[mfn], __ATOMIC_ACQUIRE);
}

void page_id_forget_all(void)
{
	for (uint32_t id = 1; id < nr_ids; id++)
		is_given[ids[id].mfn] = 0;
	memset(hash, 0, HASH_SIZE * sizeof(*hash));
	nr_ids = 1;
}
