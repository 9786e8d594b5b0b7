// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended page tables: four levels of 512 entries (SDM vol. 3, 29.3). Entries carry all rights
 * but the right to write, which follows the process's own; what a process may execute is up to
 * its own page tables inside.
 */
#include <linux/gfp.h>
#include <linux/mm.h>

#include "driver.h"

#define EPT_ADDR  0x000ffffffffff000ULL
#define LEVEL_2MB 2

static u64 *table_alloc(void)
{
	return (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

static u64 *table_of(u64 entry)
{
	return __va(entry & EPT_ADDR);
}

static unsigned int shift_of(unsigned int level)
{
	return 12 + 9 * (level - 1);
}

static bool is_table(u64 entry, unsigned int level)
{
	return entry && level > 1 && !(entry & EPT_LARGE);
}

static u64 *slot(u64 *table, u64 gpa, unsigned int level)
{
	return &table[(gpa >> shift_of(level)) & 511];
}

int ept_init(struct ept *e, bool large)
{
	e->large = large;
	e->root = table_alloc();
	return e->root ? 0 : -ENOMEM;
}

u64 ept_pointer(const struct ept *e)
{
	return __pa(e->root) | (EPT_LEVELS - 1) << 3 | 6; /* walks in write-back memory */
}

int ept_reserve_fill(struct ept_reserve *r)
{
	while (r->nr < ARRAY_SIZE(r->page)) {
		r->page[r->nr] = table_alloc();
		if (!r->page[r->nr])
			return -ENOMEM;
		r->nr++;
	}
	return 0;
}

void ept_reserve_drop(struct ept_reserve *r)
{
	while (r->nr)
		free_page((unsigned long)r->page[--r->nr]);
}

void ept_map(struct ept *e, struct ept_reserve *r, u64 gpa, u64 hpa, bool large, bool write)
{
	u64 *p, *table = e->root, entry = EPT_READ | EPT_EXEC | EPT_WB | (write ? EPT_WRITE : 0);
	unsigned int level;

	for (level = EPT_LEVELS; level > 1; level--) {
		p = slot(table, gpa, level);
		if (level == LEVEL_2MB && large && e->large && !is_table(*p, level)) {
			hpa &= ~(PMD_SIZE - 1);
			entry |= EPT_LARGE;
			break;
		}
		/* A small page inside a large one: the process's mapping was split meanwhile. */
		if (!is_table(*p, level))
			WRITE_ONCE(*p, __pa(r->page[--r->nr]) | EPT_ALL);
		table = table_of(*p);
	}
	WRITE_ONCE(*slot(table, gpa, level), hpa | entry);
}

static bool zap(u64 *table, unsigned int level, u64 gpa, u64 end, struct list_head *dead)
{
	const u64 span = 1ULL << shift_of(level);
	bool any = false;
	u64 next;

	for (; gpa < end; gpa = next) {
		u64 *p = slot(table, gpa, level), entry = *p;

		next = min((gpa & ~(span - 1)) + span, end);
		if (!entry)
			continue;
		if (is_table(entry, level)) {
			any |= zap(table_of(entry), level - 1, gpa, next, dead);
			if (next - gpa < span)
				continue;
			list_add(&virt_to_page(table_of(entry))->lru, dead);
		}
		WRITE_ONCE(*p, 0);
		any = true;
	}
	return any;
}

bool ept_zap(struct ept *e, u64 gpa, u64 end, struct list_head *dead)
{
	return zap(e->root, EPT_LEVELS, gpa, end, dead);
}

void ept_free_tables(struct list_head *dead)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, dead, lru)
	{
		list_del(&page->lru);
		__free_page(page);
	}
}

void ept_destroy(struct ept *e)
{
	LIST_HEAD(dead);

	if (!e->root)
		return;
	ept_zap(e, 0, 1ULL << shift_of(EPT_LEVELS + 1), &dead);
	ept_free_tables(&dead);
	free_page((unsigned long)e->root);
	e->root = NULL;
}

u64 ept_lookup(const struct ept *e, u64 gpa)
{
	unsigned int level = EPT_LEVELS;
	u64 entry = *slot(e->root, gpa, level);

	while (is_table(entry, level)) {
		level--;
		entry = *slot(table_of(entry), gpa, level);
	}
	return entry;
}
