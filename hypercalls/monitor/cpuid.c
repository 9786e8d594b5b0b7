/* SPDX-License-Identifier: MIT */
/*
 * CPUID as a PV guest of this machine sees it, and the extended states it may switch on: the
 * features of the host that need nothing of the hypervisor (as Xen 4.17's policy for PV: no VMX,
 * no MONITOR, no SMAP, no MSR-controlled speculation, no supervisor states). What is not listed
 * is not there. Intel SDM vol. 2, CPUID; vol. 1, 13; public arch-x86/cpuid.h.
 */
#include "hypercalls/monitor/cpuid.h"

#define ALL ~0U

#define MAX_BASIC    0xd
#define MAX_EXTENDED 0x80000008
#define XEN_FIRST    0x40000000
#define XEN_LAST     0x4000ffff

#define HYPERVISOR_BIT (1U << 31) /* leaf 1, ecx */
#define XSAVE_HEADER   576	  /* bytes of the legacy area and the header */

/* x87, SSE, AVX, MPX and AVX-512: what the vtx provider keeps across an emulated instruction. */
#define XSTATES 0xffUL
#define X_FP	0x01UL
#define X_SSE	0x02UL
#define X_AVX	0x04UL
#define X_MPX	0x18UL
#define X_512	0xe0UL

/* eax, ebx, ecx, edx; all subleaves where the leaf has some that are alike. */
static const struct leaf {
	uint32_t leaf, allowed[4];
} leaves[] = {
	/* All but DTES64, MONITOR, VMX, SMX, PCID, DCA, x2APIC, TSC deadline and the like; no VME,
	 * PSE, MTRR, PGE, PSE36. */
	{1, {ALL, ALL, 0x7ed83203, 0x1f89cbf5}},
	{2, {ALL, ALL, ALL, ALL}}, /* caches */
	{4, {ALL, ALL, ALL, ALL}},
	/* FSGSBASE BMI1 HLE AVX2 BMI2 ERMS RTM, no FPU selectors, AVX512 RDSEED ADX CLFLUSHOPT CLWB
	 * SHA; PREFETCHWT1 and the vector extensions, CLDEMOTE; FSRM MD_CLEAR SERIALIZE. */
	{7, {0, 0xfdaf2b79, 0x02005f43, 0x0080441c}},
	/* LAHF ABM SSE4A 3DNOWPREFETCH XOP FMA4 TBM; SYSCALL NX LM and AMD's vectors. No RDTSCP,
	 * and above no RDPID: they read TSC_AUX, which is the host's. */
	{0x80000001, {ALL, 0, 0x002109e3, 0xe2500800}},
	{0x80000002, {ALL, ALL, ALL, ALL}}, /* brand */
	{0x80000003, {ALL, ALL, ALL, ALL}},
	{0x80000004, {ALL, ALL, ALL, ALL}},
	{0x80000005, {ALL, ALL, ALL, ALL}}, /* caches */
	{0x80000006, {ALL, ALL, ALL, ALL}},
	{0x80000007, {0, 0, 0, 1 << 8}}, /* invariant TSC */
	{0x80000008, {ALL, 5, 0, 0}},	 /* address widths; CLZERO, error pointers */
};

uint64_t xcr0_allowed(cpuid_fn host)
{
	uint32_t r[4];

	host(1, 0, r);
	if (!(r[2] & CPUID_XSAVE))
		return 0;
	host(0xd, 0, r);
	return ((uint64_t)r[3] << 32 | r[0]) & XSTATES;
}

bool xcr0_valid(cpuid_fn host, uint64_t xcr0)
{
	const uint64_t mpx = xcr0 & X_MPX, wide = xcr0 & X_512;

	if (xcr0 & ~xcr0_allowed(host) || !(xcr0 & X_FP))
		return false;
	if (xcr0 & X_AVX && !(xcr0 & X_SSE))
		return false;
	if (wide && (wide != X_512 || !(xcr0 & X_AVX)))
		return false;
	return !mpx || mpx == X_MPX;
}

/* Bytes of an area for these states; compacted, each follows the one before. */
static uint32_t xsave_size(cpuid_fn host, uint64_t xcr0, bool compacted)
{
	uint32_t end = XSAVE_HEADER, r[4];

	for (uint32_t i = 2; i < 64; i++) {
		if (!(xcr0 >> i & 1))
			continue;
		host(0xd, i, r);
		if (compacted)
			end = (r[2] & 2 ? (end + 63) & ~63U : end) + r[0];
		else if (r[1] + r[0] > end)
			end = r[1] + r[0];
	}
	return end;
}

static void xstate_leaf(cpuid_fn host, uint64_t xcr0, uint32_t sub, uint32_t r[4])
{
	const uint64_t allowed = xcr0_allowed(host);

	switch (sub) {
	case 0:
		r[0] = allowed;
		r[1] = xsave_size(host, xcr0, false);
		r[2] = xsave_size(host, allowed, false);
		r[3] = allowed >> 32;
		break;
	case 1:
		r[0] &= 7; /* XSAVEOPT, XSAVEC, XGETBV with 1 */
		r[1] = r[0] & 2 ? xsave_size(host, xcr0, true) : 0;
		r[2] = r[3] = 0;
		break;
	default:
		if (sub >= 64 || !(allowed >> sub & 1))
			r[0] = r[1] = r[2] = r[3] = 0;
	}
}

static void xen_leaf(uint32_t leaf, uint32_t r[4])
{
	r[0] = r[1] = r[2] = r[3] = 0;
	switch (leaf) {
	case XEN_FIRST:
		r[0] = XEN_FIRST + 2;
		r[1] = 0x566e6558; /* "XenVMMXenVMM" */
		r[2] = 0x65584d4d;
		r[3] = 0x4d4d566e;
		break;
	case XEN_FIRST + 1: r[0] = 4 << 16 | 17; break;
	case XEN_FIRST + 2:
		r[0] = 1; /* hypercall pages */
		r[1] = XEN_FIRST;
		break;
	}
}

static void mask(uint32_t leaf, uint32_t r[4])
{
	const struct leaf *l = leaves, *const end = leaves + sizeof(leaves) / sizeof(leaves[0]);

	while (l < end && l->leaf != leaf)
		l++;
	for (int i = 0; i < 4; i++)
		r[i] &= l < end ? l->allowed[i] : 0;
}

void cpuid_guest(cpuid_fn host, uint32_t vcpu, uint64_t xcr0, uint32_t leaf, uint32_t sub,
		 uint32_t r[4])
{
	if (leaf >= XEN_FIRST && leaf <= XEN_LAST) {
		xen_leaf(leaf, r);
		return;
	}
	host(leaf, sub, r);
	switch (leaf) {
	case 0:
	case 0x80000000: {
		const uint32_t last = leaf ? MAX_EXTENDED : MAX_BASIC;

		if (r[0] > last)
			r[0] = last;
		return;
	}
	case 0xd: xstate_leaf(host, xcr0, sub, r); return;
	case 7:
		if (sub)
			r[0] = r[1] = r[2] = r[3] = 0;
	}
	mask(leaf, r);
	if (leaf == 1) {
		r[1] = (r[1] & 0xffffff) | vcpu << 25; /* the APIC's number, as Xen counts */
		r[2] |= HYPERVISOR_BIT;
	}
}
