/* SPDX-License-Identifier: MIT */
/* User memory at AREA in which no two neighbours are neighbours in machine memory. */
#ifndef PAVANE_TESTS_SCATTERED_H
#define PAVANE_TESTS_SCATTERED_H

#include "user.h"

#define AREA	(2ul << 39)
#define TABLES	32
#define ENTRIES 512
#define FRAMES	64

static uint8_t *data[FRAMES]; /* the first word of each is its number */

static inline uint64_t *table_of(uint64_t *entries)
{
	check_eq("a table", page_set_ro(entries, true), 0);
	return entries;
}

static inline void area_make(void)
{
	uint64_t *l2 = page_alloc(), *l3 = page_alloc(), *l1;

	for (unsigned int i = 0; i < FRAMES; i++) {
		data[i] = page_alloc();
		page_alloc();
		*(uint64_t *)data[i] = i;
	}
	for (unsigned int t = 0; t < TABLES; t++) {
		l1 = page_alloc();
		for (unsigned int i = 0; i < ENTRIES; i++)
			l1[i] = mfn_pte(va_to_mfn(data[(t + i * 7) % FRAMES]), PTE_KERN);
		l2[t] = mfn_pte(va_to_mfn(table_of(l1)), PTE_KERN);
	}
	l3[0] = mfn_pte(va_to_mfn(table_of(l2)), PTE_KERN);
	if (pt_set(((uint64_t)va_to_mfn(user_root) << PAGE_SHIFT) + 2 * 8,
		   mfn_pte(va_to_mfn(table_of(l3)), PTE_KERN)))
		panic("an entry");
}

#endif
