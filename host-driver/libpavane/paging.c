/* SPDX-License-Identifier: MIT */
/*
 * Page tables of the inside (Intel SDM vol. 3, 4.5). An address of the process is the same address
 * inside. Guest-physical space is smaller than that of addresses, so the process comes in by
 * chunks, each a region of the driver, in the order in which they are first used.
 *
 * Compiled without vector registers: paging_fill runs in exceptions.
 */
#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "host-driver/libpavane/internal.h"

#define ADDR	     0x000ffffffffff000ul
#define LARGE	     0x80ul
#define TABLE	     0x27ul /* present, write, user, accessed: the last level decides */
#define WHOLE	     0x63ul /* present, write, accessed, dirty */
#define PROCESS_END  0x7ffffffff000ul
#define REGION_LIMIT 63
#define POOL_SIZE    (256ul << 20) /* of addresses, not of memory */
#define CHUNK_SHIFT  33
#define GIB	     (1ul << 30)

struct pv_root {
	uint64_t *pml4;
};

static int vm;
static unsigned chunk_shift;
static bool has_1g;
static uint8_t *chunk_of; /* number by va >> chunk_shift; 0: none yet. Guest-physical alike */
static unsigned nr_chunks, first_chunk; /* chunk n lies at (first_chunk + n) << chunk_shift */
static uint64_t reserved;
static unsigned chunk_limit;
static uint64_t chunk_va[REGION_LIMIT + 1];
static uint8_t *pool, *pool_next;
static uint64_t *pool_free;
static struct pv_root *default_root;
static struct {
	uint64_t va, memory, size;
} replaced;

/* The lock is held without interrupts, and nothing is touched with it that may not be there. */
static bool lock_word;

static uint64_t take(void)
{
	uint64_t flags = 0;

	if (pv_self)
		__asm__ volatile("pushfq; pop %0; cli" : "=r"(flags) : : "memory");
	while (__atomic_test_and_set(&lock_word, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	return flags;
}

static void release(uint64_t flags)
{
	__atomic_clear(&lock_word, __ATOMIC_RELEASE);
	if (flags & 0x200)
		pv_sti();
}

static uint64_t *table_alloc(void)
{
	uint64_t *t = pool_free;

	if (t) {
		pool_free = (uint64_t *)t[0];
		t[0] = 0;
		return t;
	}
	if (pool_next == pool + POOL_SIZE)
		return NULL;
	t = (uint64_t *)pool_next;
	pool_next += 4096;
	return t;
}

static void table_free(uint64_t *t)
{
	for (int i = 0; i < 512; i++)
		t[i] = 0;
	t[0] = (uint64_t)pool_free;
	pool_free = t;
}

/* Guest-physical address, or 0: not in any chunk. */
static uint64_t gpa_of(uint64_t va)
{
	const uint64_t n = va < PROCESS_END ? chunk_of[va >> chunk_shift] : 0;

	return n ? (first_chunk + n) << chunk_shift | (va & ((1ul << chunk_shift) - 1)) : 0;
}

static uint64_t *table_at(uint64_t entry)
{
	const uint64_t gpa = entry & ADDR;

	return (uint64_t *)(chunk_va[(gpa >> chunk_shift) - first_chunk] +
			    (gpa & ((1ul << chunk_shift) - 1)));
}

static int chunk_add(uint64_t va)
{
	const uint64_t start = va >> chunk_shift << chunk_shift;
	const uint64_t rest = PROCESS_END - start, size = 1ul << chunk_shift;
	struct pvhost_region r = {.hva = start, .size = rest < size ? rest : size};
	int ret;

	if (nr_chunks == chunk_limit)
		return -ENOSPC;
	r.gpa = (uint64_t)(first_chunk + nr_chunks + 1) << chunk_shift;
	ret = pv_raw(SYS_ioctl, vm, PVHOST_ADD_REGION, (long)&r, 0, 0, 0);
	if (ret)
		return ret;
	nr_chunks++;
	chunk_va[nr_chunks] = start;
	chunk_of[va >> chunk_shift] = nr_chunks;
	return 0;
}

/* One large page becomes 512 smaller ones that say the same. */
static bool split(uint64_t *entry, unsigned level)
{
	const uint64_t step = 1ul << (12 + 9 * (level - 2)), old = *entry;
	uint64_t *table = table_alloc();

	if (!table)
		return false;
	for (uint64_t i = 0; i < 512; i++)
		table[i] = (old & ~(level == 2 ? LARGE : 0)) + i * step;
	*entry = gpa_of((uint64_t)table) | TABLE;
	return true;
}

/*
 * The entry of va at `level`, made if need be: NULL without memory. Large pages above it are
 * split.
 */
static uint64_t *entry_at(struct pv_root *root, uint64_t va, unsigned level)
{
	uint64_t *table = root->pml4, *e, *new;

	for (unsigned l = 4;; l--) {
		e = &table[va >> (12 + 9 * (l - 1)) & 511];
		if (l == level)
			return e;
		if (!*e) {
			new = table_alloc();
			if (!new)
				return NULL;
			*e = gpa_of((uint64_t) new) | TABLE;
		} else if (*e & LARGE && !split(e, l)) {
			return NULL;
		}
		table = table_at(*e);
	}
}

/* Before anything of [va, va + size) is changed: its GiB must say what the process has there. */
static int set(struct pv_root *root, uint64_t va, uint64_t memory, uint64_t size, int rights);

static bool fill(struct pv_root *root, uint64_t va)
{
	const uint64_t start = va & -GIB;
	uint64_t *e;

	if (va >= PROCESS_END || (!gpa_of(va) && chunk_add(va)))
		return false;
	e = entry_at(root, va, 3);
	if (!e || *e)
		return false;
	*e = gpa_of(start) | WHOLE | LARGE;
	if (!has_1g && !split(e, 3)) {
		*e = 0;
		return false;
	}
	if (replaced.size && (replaced.va & -GIB) == start)
		set(root, replaced.va, replaced.memory, replaced.size, PV_READ | PV_EXEC);
	return true;
}

bool paging_fill(struct pv_root *root, uint64_t va)
{
	const uint64_t flags = take();
	const bool done = fill(root, va);

	release(flags);
	return done;
}

/* memory 0: what is there already. */
static int set(struct pv_root *root, uint64_t va, uint64_t memory, uint64_t size, int rights)
{
	uint64_t gpa, bits = 0;
	uint64_t *e;

	if (rights)
		bits = PV_PTE_PRESENT | (rights & PV_WRITE ? PV_PTE_WRITE : 0) |
		       (rights & PV_USER ? PV_PTE_USER : 0) | (rights & PV_EXEC ? 0 : PV_PTE_NX);
	for (uint64_t at = 0; at < size; at += 4096) {
		fill(root, va + at);
		e = entry_at(root, va + at, 1);
		if (!e)
			return -ENOMEM;
		gpa = *e & ADDR;
		if (memory) {
			if (!gpa_of(memory + at) && chunk_add(memory + at))
				return -ENOSPC;
			gpa = gpa_of(memory + at);
		}
		*e = gpa | bits | (*e & (PV_PTE_ACCESSED | PV_PTE_DIRTY));
	}
	return 0;
}

static int change(struct pv_root *root, void *va, void *memory, size_t size, int rights)
{
	uint64_t flags;
	int ret;

	if (((uintptr_t)va | (uintptr_t)memory | size) & 4095 || (uintptr_t)va >= PROCESS_END ||
	    size > PROCESS_END - (uintptr_t)va ||
	    rights & ~(PV_READ | PV_WRITE | PV_EXEC | PV_USER))
		return -EINVAL;
	flags = take();
	ret = set(root, (uint64_t)va, (uint64_t)memory, size, rights);
	release(flags);
	return ret;
}

int pv_protect(struct pv_root *root, void *va, size_t size, int rights)
{
	return change(root, va, NULL, size, rights);
}

int pv_map_at(struct pv_root *root, void *va, void *memory, size_t size, int rights)
{
	return memory ? change(root, va, memory, size, rights) : -EINVAL;
}

uint64_t *pv_entry(struct pv_root *root, void *va)
{
	const uint64_t flags = take();
	uint64_t *e;

	fill(root, (uint64_t)va);
	e = (uint64_t)va < PROCESS_END ? entry_at(root, (uint64_t)va, 1) : NULL;
	release(flags);
	return e;
}

void paging_replace(uint64_t va, const void *memory, size_t size)
{
	replaced.va = va;
	replaced.memory = (uint64_t)memory;
	replaced.size = size;
	change(default_root, (void *)va, (void *)memory, size, PV_READ | PV_EXEC);
}

uint64_t paging_cr3(const struct pv_root *root)
{
	return gpa_of((uint64_t)root->pml4);
}

/* What an exception needs before it could bring in anything itself. */
static void fill_essentials(struct pv_root *root)
{
	fill(root, (uint64_t)pool);
	fill(root, (uint64_t)pool + POOL_SIZE - 1);
	fill(root, (uint64_t)pv_idt);
	fill(root, (uint64_t)pv_vectors);
	fill(root, (uint64_t)&pv_self); /* thread-local storage */
	fill(root, (uint64_t)__builtin_frame_address(0));
	if (pv_self)
		fill(root, (uint64_t)pv_self);
}

/*
 * The same of a thread that is about to enter by the default root, called by itself: what it has of
 * its own may be the first that the process has in that GiB.
 */
void paging_thread(const struct thread *t)
{
	const uint64_t flags = take();

	fill(default_root, (uint64_t)t);
	fill(default_root, (uint64_t)(t + 1) - 1);
	fill(default_root, (uint64_t)&pv_self);
	fill(default_root, (uint64_t)__builtin_frame_address(0));
	release(flags);
}

struct pv_root *pv_root_new(void)
{
	const uint64_t flags = take();
	struct pv_root *root = (struct pv_root *)table_alloc();

	if (root) {
		root->pml4 = table_alloc();
		if (!root->pml4) {
			table_free((uint64_t *)root);
			root = NULL;
		}
	}
	if (root)
		fill_essentials(root);
	release(flags);
	return root;
}

static void tables_free(uint64_t *table, unsigned level)
{
	for (int i = 0; level > 1 && i < 512; i++)
		if (table[i] & PV_PTE_PRESENT && !(table[i] & LARGE))
			tables_free(table_at(table[i]), level - 1);
	table_free(table);
}

void pv_root_free(struct pv_root *root)
{
	const uint64_t flags = take();

	tables_free(root->pml4, 4);
	table_free((uint64_t *)root);
	release(flags);
}

struct pv_root *pv_root_default(void)
{
	return default_root;
}

struct pv_root *pv_root_current(void)
{
	return pv_self ? pv_self->root : NULL;
}

void pv_root_switch(struct pv_root *root)
{
	const uint64_t flags = take(), cr3 = paging_cr3(root);

	fill_essentials(root);
	pv_self->root = root;
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
	release(flags);
}

void pv_physical_reserve(uint64_t size)
{
	reserved = size;
}

int pv_physical(uint64_t gpa, void *memory, size_t size)
{
	struct pvhost_region r = {.gpa = gpa, .hva = (uint64_t)memory, .size = size};

	if (gpa > reserved || size > reserved - gpa)
		return -EINVAL;
	return pv_raw(SYS_ioctl, vm, PVHOST_ADD_REGION, (long)&r, 0, 0, 0);
}

uint64_t pv_physical_of(const void *memory)
{
	const uint64_t flags = take();
	uint64_t gpa = gpa_of((uint64_t)memory);

	if (!gpa && (uint64_t)memory < PROCESS_END && !chunk_add((uint64_t)memory))
		gpa = gpa_of((uint64_t)memory);
	release(flags);
	return gpa;
}

uint64_t pv_root_cr3(void)
{
	return paging_cr3(default_root);
}

uint64_t *pv_root_upper(void)
{
	return default_root->pml4 + 256;
}

int paging_init(int device, unsigned gpa_bits)
{
	unsigned a, b, c, d = 0;
	size_t index_size;

	__get_cpuid(0x80000001, &a, &b, &c, &d);
	has_1g = d >> 26 & 1;
	vm = device;
	chunk_shift = gpa_bits - 6 < CHUNK_SHIFT ? gpa_bits - 6 : CHUNK_SHIFT;
	if (reserved > 1ul << (gpa_bits - 1))
		reserved = 1ul << (gpa_bits - 1);
	first_chunk = (reserved + (1ul << chunk_shift) - 1) >> chunk_shift;
	chunk_limit = (1ul << (gpa_bits - chunk_shift)) - first_chunk - 1;
	if (chunk_limit > REGION_LIMIT - 1)
		chunk_limit = REGION_LIMIT - 1;
	index_size = 1ul << (47 - chunk_shift);
	nr_chunks = 0;
	pool_free = NULL;
	replaced.size = 0;
	pool = mmap(NULL, POOL_SIZE + index_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool == MAP_FAILED)
		return -ENOMEM;
	chunk_of = pool;
	pool_next = pool + index_size;
	if (chunk_add((uint64_t)pool) || chunk_add((uint64_t)pool + POOL_SIZE))
		return -ENOSPC;
	default_root = pv_root_new();
	return default_root ? 0 : -ENOMEM;
}
