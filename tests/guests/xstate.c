/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("xstate", "a kernel switches on the CPU's extended states and sizes its save areas by CPUID");

#define XSAVE	(1u << 26) /* CPUID leaf 1, ecx */
#define OSXSAVE (1ul << 18)
#define LEAF	0xd
#define LEGACY	576

static uint64_t __attribute__((noinline)) forbidden_read_cr4(void)
{
	uint64_t v;

	__asm__ volatile("movq %%cr4, %0" : "=r"(v));
	return v;
}

static void __attribute__((noinline)) forbidden_write_cr4(uint64_t v)
{
	__asm__ volatile("movq %0, %%cr4" : : "r"(v) : "memory");
}

static uint64_t value;

static void __attribute__((noinline)) forbidden_xsetbv(void *arg)
{
	__asm__ volatile("xsetbv"
			 :
			 : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)),
			   "c"((uint32_t)(unsigned long)arg));
}

static int xsetbv(uint32_t nr, uint64_t v)
{
	value = v;
	return vector_of(forbidden_xsetbv, (void *)(unsigned long)nr);
}

/* What CPUID says of the states that are on, and of all there are. */
static void sizes(uint64_t states)
{
	struct cpuid all = forbidden_xen_cpuid(LEAF, 0);
	uint32_t end = LEGACY;

	for (uint32_t i = 2; i < 63; i++) {
		struct cpuid one = forbidden_xen_cpuid(LEAF, i);

		if (!(states >> i & 1))
			check_eq("a state that is not there has no size", one.eax, 0);
		else if (one.ebx + one.eax > end)
			end = one.ebx + one.eax;
	}
	check_eq("the size of all states", all.ecx, end);
	check_eq("all of them on", xsetbv(0, states), -1);
	check_eq("size for what is on", forbidden_xen_cpuid(LEAF, 0).ebx, end);
	check_eq("x87 and SSE on", xsetbv(0, 3), -1);
	check_eq("their size", forbidden_xen_cpuid(LEAF, 0).ebx, LEGACY);
}

static void refused(void)
{
	check_eq("none on", xsetbv(0, 0), 13);
	check_eq("SSE without x87", xsetbv(0, 2), 13);
	check_eq("AVX without SSE", xsetbv(0, 5), 13);
	check_eq("a part of AVX-512", xsetbv(0, 0x27), 13);
	check_eq("AVX-512 without AVX", xsetbv(0, 0xe3), 13);
	check_eq("protection keys", xsetbv(0, 0x203), 13);
	check_eq("a reserved one", xsetbv(0, 1ul << 62 | 3), 13);
	check_eq("another register", xsetbv(1, 3), 13);
}

void test_main(void)
{
	uint64_t cr4, states;
	struct cpuid r = forbidden_xen_cpuid(1, 0);

	if (!(r.ecx & XSAVE))
		skip("the CPU has no XSAVE");
	cr4 = forbidden_read_cr4();
	check_eq("before CR4.OSXSAVE", xsetbv(0, 3), 6);
	forbidden_write_cr4(cr4 | OSXSAVE);
	check_eq("CR4.OSXSAVE", (long)(forbidden_read_cr4() & OSXSAVE), OSXSAVE);
	r = forbidden_xen_cpuid(LEAF, 0);
	states = (uint64_t)r.edx << 32 | r.eax;
	check_eq("x87 and SSE are there", (long)(states & 3), 3);
	check_eq("no more than a kernel of this ABI may use", (long)(states & ~0xfful), 0);
	check_eq("no supervisor states", forbidden_xen_cpuid(LEAF, 1).eax & 8, 0);
	sizes(states);
	refused();
	forbidden_write_cr4(cr4);
}
