/* SPDX-License-Identifier: MIT */
/*
 * Linux's alternatives and paravirt sites: code that the kernel writes over while it boots, by the
 * CPU's features. Under Xen PV some of these features are certain, so that it is known which
 * instructions never run. The tables' form is not an ABI: it is told by what fits.
 */
#include "toolstack/pvctl/scan.h"

#include <stdlib.h>
#include <string.h>

#define FEATURE(word, bit) ((word)*32 + (bit))
#define INVERTED	   0x8000 /* in the feature's 16 bits, from 5.16 */

/* Numbers from Linux's cpufeatures.h, the same from 4.15 on. */
static const struct {
	unsigned feature;
	bool there;
} under_xen_pv[] = {
	{FEATURE(8, 16), true},	 /* XENPV */
	{FEATURE(3, 21), true},	 /* ALWAYS */
	{FEATURE(9, 20), false}, /* SMAP: a PV guest's CPUID shows none of these five */
	{FEATURE(9, 7), false},	 /* SMEP */
	{FEATURE(9, 10), false}, /* INVPCID */
	{FEATURE(4, 17), false}, /* PCID */
	{FEATURE(10, 3), false}, /* XSAVES */
	{FEATURE(7, 11), false}, /* PTI: Linux leaves it to Xen */
};

/* The forms of struct alt_instr: all begin with two relative pointers and the feature. */
static const struct form {
	unsigned size, flags, site_len, new_len; /* bytes; flags 0: a bit of the feature */
} forms[] = {
	{12, 0, 10, 11},  /* 5.13 to 6.3 */
	{14, 10, 12, 13}, /* from 6.3 */
	{13, 0, 10, 11},  /* to 5.12, with a padding's length behind */
};

/* 1 it is written, 0 it is not, -1 it depends on the machine. */
static int applies(const struct scan_alt *a)
{
	if (a->paravirt)
		return 1;
	for (size_t i = 0; i < sizeof(under_xen_pv) / sizeof(under_xen_pv[0]); i++)
		if (under_xen_pv[i].feature == a->feature)
			return under_xen_pv[i].there != a->inverted;
	return -1;
}

static bool inside(const struct elf_image *e, uint32_t section, uint64_t offset, uint64_t n)
{
	const struct elf_section *s;

	if (section >= e->sections)
		return false;
	s = &e->section[section];
	return s->exec && offset <= s->size && n <= s->size - offset;
}

static bool read_entry(struct scan_alt *a, const struct elf_image *e, const struct elf_relocs *r,
		       uint32_t table, uint64_t at, const struct form *f)
{
	const uint8_t *p = e->section[table].data + at;
	struct elf_target site = elf_pointer(e, r, table, at, false),
			  new = elf_pointer(e, r, table, at + 4, false);
	uint16_t feature, flags;

	memcpy(&feature, p + 8, 2);
	memcpy(&flags, p + (f->flags ? f->flags : 8), 2);
	*a = (struct scan_alt){
		.site_section = site.section,
		.site = site.offset,
		.site_len = p[f->site_len],
		.new_section = new.section,
		.new = new.offset,
		.new_len = p[f->new_len],
		.feature = f->flags ? feature : feature & ~INVERTED,
		.inverted = f->flags ? flags & 1 : feature &INVERTED,
	};
	if (!a->new_len)
		a->new_section = ELF_NO_SECTION;
	return a->new_len <= a->site_len && inside(e, a->site_section, a->site, a->site_len) &&
	       (!a->new_len || inside(e, a->new_section, a->new, a->new_len));
}

static bool read_form(struct scan_alts *to, const struct elf_image *e, const struct elf_relocs *r,
		      uint32_t table, const struct form *f)
{
	const uint64_t size = e->section[table].size;

	if (size % f->size)
		return false;
	for (uint64_t at = 0; at < size; at += f->size)
		if (!read_entry(&to->by_site[to->n + at / f->size], e, r, table, at, f))
			return false;
	to->n += size / f->size;
	return true;
}

/* struct paravirt_patch_site: an address, a type, a length, padding; 16 bytes. */
static void read_paravirt(struct scan_alts *to, const struct elf_image *e,
			  const struct elf_relocs *r, uint32_t table)
{
	for (uint64_t at = 0; at + 16 <= e->section[table].size; at += 16) {
		const struct elf_target t = elf_pointer(e, r, table, at, true);
		const unsigned len = e->section[table].data[at + 9];

		if (inside(e, t.section, t.offset, len))
			to->by_site[to->n++] = (struct scan_alt){.site_section = t.section,
								 .site = t.offset,
								 .site_len = len,
								 .new_section = ELF_NO_SECTION,
								 .paravirt = true};
	}
}

static int compare(uint32_t s1, uint64_t o1, uint32_t s2, uint64_t o2)
{
	if (s1 != s2)
		return s1 < s2 ? -1 : 1;
	return o1 < o2 ? -1 : o1 > o2;
}

static int by_site(const void *a, const void *b)
{
	const struct scan_alt *x = a, *y = b;

	return compare(x->site_section, x->site, y->site_section, y->site);
}

static int by_new(const void *a, const void *b)
{
	const struct scan_alt *x = a, *y = b;

	return compare(x->new_section, x->new, y->new_section, y->new);
}

static bool read_table(struct scan_alts *a, const struct elf_image *e, uint32_t table,
		       bool paravirt)
{
	struct elf_relocs r;
	bool ok = elf_relocs_read(&r, e, table), known = paravirt;

	for (size_t i = 0; ok && !known && i < sizeof(forms) / sizeof(forms[0]); i++)
		known = read_form(a, e, &r, table, &forms[i]);
	if (ok && paravirt)
		read_paravirt(a, e, &r, table);
	a->unknown |= !known;
	free(r.list);
	return ok;
}

bool scan_alts_read(struct scan_alts *a, const struct elf_image *e)
{
	const uint32_t alt = elf_section_named(e, ".altinstructions"),
		       pv = elf_section_named(e, ".parainstructions");
	size_t room = 1;

	*a = (struct scan_alts){0};
	if (alt != ELF_NO_SECTION)
		room += e->section[alt].size / forms[0].size;
	if (pv != ELF_NO_SECTION)
		room += e->section[pv].size / 16;
	a->by_site = calloc(room, sizeof(*a->by_site));
	a->by_new = calloc(room, sizeof(*a->by_new));
	if (!a->by_site || !a->by_new)
		return false;
	if (alt != ELF_NO_SECTION && e->section[alt].size && !read_table(a, e, alt, false))
		return false;
	if (pv != ELF_NO_SECTION && e->section[pv].size && !read_table(a, e, pv, true))
		return false;
	memcpy(a->by_new, a->by_site, a->n * sizeof(*a->by_new));
	qsort(a->by_site, a->n, sizeof(*a->by_site), by_site);
	qsort(a->by_new, a->n, sizeof(*a->by_new), by_new);
	return true;
}

void scan_alts_free(struct scan_alts *a)
{
	free(a->by_site);
	free(a->by_new);
	*a = (struct scan_alts){0};
}

/* The last element at or before a place in an order, as an index plus one. */
static size_t upto(const struct scan_alt *list, size_t n, const struct scan_alt *key,
		   int (*cmp)(const void *, const void *))
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (cmp(&list[mid], key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct scan_alt *scan_alt_at(const struct scan_alts *a, uint32_t section, uint64_t offset,
				   enum scan_fate *fate)
{
	const struct scan_alt key = {.site_section = section,
				     .site = offset,
				     .new_section = section,
				     .new = offset},
			      *found = NULL;
	size_t i = upto(a->by_new, a->n, &key, by_new);
	uint64_t start;

	*fate = SCAN_STAYS;
	if (i && a->by_new[i - 1].new_section == section &&
	    offset - a->by_new[i - 1].new < a->by_new[i - 1].new_len) {
		*fate = applies(&a->by_new[i - 1]) == 0 ? SCAN_UNUSED : SCAN_STAYS;
		return &a->by_new[i - 1];
	}
	/* A site may have several alternatives; one that is certain to be written will do. */
	i = upto(a->by_site, a->n, &key, by_site);
	if (!i || a->by_site[i - 1].site_section != section)
		return NULL;
	for (start = a->by_site[i - 1].site; i; i--) {
		const struct scan_alt *alt = &a->by_site[i - 1];

		if (alt->site_section != section || alt->site != start)
			break;
		if (offset - start >= alt->site_len)
			continue;
		found = alt;
		if (applies(alt) == 1) {
			*fate = SCAN_PATCHED;
			break;
		}
	}
	return found;
}
