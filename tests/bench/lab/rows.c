/* SPDX-License-Identifier: MIT */
/* The rows that are the same program on both sides. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/bench/lab/bench.h"

#define CALLS	    100
#define FIRST_PAGES 256
#define FAR_PAGES   512

static const struct side *side;
static uint8_t *pages;
static unsigned order[PAGES]; /* of appel's accesses: "random", the same each time */
static uint64_t protected_next;

#define STORE_LENGTH 3

static inline void store(uint8_t *p)
{
	__asm__ volatile("movb $1, (%0)" : : "a"(p) : "memory");
}

static uint8_t *map(size_t nr)
{
	uint8_t *p =
		mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Pages of 4 KiB, wherever it lies: a huge page would make 511 faults of 512 vanish. */
	if (p == MAP_FAILED || madvise(p, nr * PAGE, MADV_NOHUGEPAGE))
		give_up("memory");
	return p;
}

static void system_call(void)
{
	struct row row = {.name = "system-call", .ops = CALLS};
	struct mark since;
	long nr;

	while (row.n < ROUNDS) {
		since = mark(side);
		for (unsigned i = 0; i < CALLS; i++)
			__asm__ volatile("syscall"
					 : "=a"(nr)
					 : "0"(SYS_getpid)
					 : "rcx", "r11", "memory");
		round_end(side, &row, since);
	}
	row_print(side, &row);
}

/* The first write to memory that nobody has touched. */
static void page_fault(void)
{
	struct row row = {.name = "page-fault", .ops = FIRST_PAGES};
	struct mark since;
	uint8_t *p;

	while (row.n < ROUNDS) {
		p = map(FIRST_PAGES);
		since = mark(side);
		for (unsigned i = 0; i < FIRST_PAGES; i++)
			store(p + i * PAGE);
		round_end(side, &row, since);
		munmap(p, FIRST_PAGES * PAGE);
	}
	row_print(side, &row);
}

/* Pages all over, more than a first-level TLB holds: walks take no instructions. */
static void page_walk(void)
{
	struct row row = {.name = "page-walk", .ops = FAR_PAGES};
	uint8_t *p = map(FAR_PAGES);
	struct mark since;

	while (row.n < ROUNDS) {
		since = mark(side);
		for (unsigned i = 0; i < FAR_PAGES; i++)
			store(p + (i * 97 % FAR_PAGES) * PAGE);
		round_end(side, &row, since);
	}
	munmap(p, FAR_PAGES * PAGE);
	row_print(side, &row);
}

static IN_FAULT uint64_t skip(uint64_t address, uint64_t rip)
{
	return rip + STORE_LENGTH;
}

void row_trap(const struct side *s)
{
	struct row row = {.name = "trap", .ops = PAGES};
	struct mark since;

	side = s;
	side->protect(pages, PAGES, false);
	side->on_fault(skip);
	while (row.n < ROUNDS) {
		since = mark(side);
		for (unsigned i = 0; i < PAGES; i++)
			store(pages + i * PAGE);
		round_end(side, &row, since);
	}
	row_print(side, &row);
}

/* TRAP, PROT1, UNPROT: the page that was writable before is protected again. */
static IN_FAULT uint64_t swap(uint64_t address, uint64_t rip)
{
	const uint64_t page = address & -PAGE;

	side->protect((void *)page, 1, true);
	side->protect((void *)protected_next, 1, false);
	protected_next = page;
	return rip;
}

static void appel1(void)
{
	struct row row = {.name = "appel1", .ops = PAGES};
	struct mark since;

	side->protect(pages, PAGES, false);
	protected_next = (uint64_t)(pages + order[PAGES - 1] * PAGE);
	side->protect((void *)protected_next, 1, true);
	side->on_fault(swap);
	while (row.n < ROUNDS) {
		since = mark(side);
		for (unsigned i = 0; i < PAGES; i++)
			store(pages + order[i] * PAGE);
		round_end(side, &row, since);
	}
	row_print(side, &row);
}

/* PROTN, TRAP, UNPROT. */
static IN_FAULT uint64_t unprotect(uint64_t address, uint64_t rip)
{
	side->protect((void *)(address & -PAGE), 1, true);
	return rip;
}

static void appel2(void)
{
	struct row row = {.name = "appel2", .ops = PAGES};
	struct mark since;

	side->on_fault(unprotect);
	while (row.n < ROUNDS) {
		since = mark(side);
		side->protect(pages, PAGES, false);
		for (unsigned i = 0; i < PAGES; i++)
			store(pages + order[i] * PAGE);
		round_end(side, &row, since);
	}
	row_print(side, &row);
}

void rows(const struct side *s)
{
	side = s;
	for (unsigned i = 0; i < PAGES; i++)
		order[i] = i * 37 % PAGES;
	pages = map(PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		store(pages + i * PAGE);
	ticks_check();
	system_call();
	page_fault();
	page_walk();
	row_trap(side);
	appel1();
	appel2();
	side->protect(pages, PAGES, true);
}
