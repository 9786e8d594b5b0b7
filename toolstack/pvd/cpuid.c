/* SPDX-License-Identifier: MIT */
/*
 * The CPU policy and feature set that libxl asks for: the host's CPUID in the canonical order of
 * Xen 4.17. The list must be complete, zeros included: libxl serialises it again into as much
 * room as it was given.
 */
#include <cpuid.h>
#include <string.h>
#include <xen/sysctl.h>

#include "toolstack/pvd/pvd.h"

#define MAX_LEAVES  120
#define NR_MSRS	    2
#define NR_FEATURES 19

struct leaves {
	xen_cpuid_leaf_t leaf[MAX_LEAVES];
	uint32_t n;
};

static void add(struct leaves *l, uint32_t leaf, uint32_t subleaf)
{
	xen_cpuid_leaf_t *p = l->leaf + l->n;
	const uint32_t sub = subleaf == XEN_CPUID_NO_SUBLEAF ? 0 : subleaf;

	if (l->n == MAX_LEAVES)
		return;
	l->n++;
	memset(p, 0, sizeof(*p));
	p->leaf = leaf;
	p->subleaf = subleaf;
	if (leaf >> 16 == 0x4000)
		return;
	if (__get_cpuid_max(leaf & 0x80000000, NULL) >= leaf)
		__cpuid_count(leaf, sub, p->a, p->b, p->c, p->d);
	if (leaf == 0)
		p->a = 0xd;
	else if (leaf == 7 && !subleaf)
		p->a = 2; /* three subleaves follow in the list */
	else if (leaf == 0x80000000)
		p->a = 0x80000021;
}

static void build(struct leaves *l)
{
	l->n = 0;
	for (uint32_t leaf = 0; leaf <= 0xd; leaf++) {
		uint32_t subs = leaf == 4     ? 6
				: leaf == 7   ? 3
				: leaf == 0xb ? 2
				: leaf == 0xd ? 63
					      : 0;

		if (!subs)
			add(l, leaf, XEN_CPUID_NO_SUBLEAF);
		for (uint32_t i = 0; i < subs; i++)
			add(l, leaf, i);
	}
	add(l, 0x40000000, XEN_CPUID_NO_SUBLEAF);
	add(l, 0x40000100, XEN_CPUID_NO_SUBLEAF);
	for (uint32_t leaf = 0x80000000; leaf <= 0x80000021; leaf++)
		add(l, leaf, XEN_CPUID_NO_SUBLEAF);
}

/* Without buffers: how much there can be. With: exactly what there is. */
long cpu_policy_out(struct client *c, uint64_t leaves, uint32_t *nr_leaves, uint64_t msrs,
		    uint32_t *nr_msrs)
{
	static const uint32_t msr_idx[NR_MSRS] = {0xce, 0x10a}; /* platform info, arch caps */
	xen_msr_entry_t m[NR_MSRS] = {0};
	struct leaves l;
	long rc = 0;

	build(&l);
	if (leaves && *nr_leaves < l.n)
		return -ENOBUFS;
	if (leaves)
		rc = copy_out(c, leaves, l.leaf, l.n * sizeof(l.leaf[0]));
	if (!rc && msrs) {
		if (*nr_msrs < NR_MSRS)
			return -ENOBUFS;
		for (int i = 0; i < NR_MSRS; i++)
			m[i].idx = msr_idx[i];
		rc = copy_out(c, msrs, m, sizeof(m));
	}
	*nr_leaves = leaves ? l.n : MAX_LEAVES;
	*nr_msrs = NR_MSRS;
	return rc;
}

static uint32_t reg(uint32_t leaf, uint32_t sub, int r)
{
	uint32_t v[4] = {0};

	if (__get_cpuid_max(leaf & 0x80000000, NULL) >= leaf)
		__cpuid_count(leaf, sub, v[0], v[1], v[2], v[3]);
	return v[r];
}

long featureset_out(struct client *c, uint64_t ptr, uint32_t *nr)
{
	enum { A, B, C, D };
	const uint32_t fs[NR_FEATURES] = {
		reg(1, 0, D),	       reg(1, 0, C), reg(0x80000001, 0, D), reg(0x80000001, 0, C),
		reg(0xd, 1, A),	       reg(7, 0, B), reg(7, 0, C),	    reg(0x80000007, 0, D),
		reg(0x80000008, 0, B), reg(7, 0, D), reg(7, 1, A),	    reg(0x80000021, 0, A),
		reg(7, 1, B),	       reg(7, 2, D), reg(7, 1, C),	    reg(7, 1, D),
	};
	uint32_t n = *nr < NR_FEATURES ? *nr : NR_FEATURES;

	*nr = NR_FEATURES;
	if (!ptr)
		return 0;
	*nr = n;
	return copy_out(c, ptr, fs, n * sizeof(fs[0]));
}
