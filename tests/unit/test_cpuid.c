/* SPDX-License-Identifier: MIT */
/* The CPU that a PV guest is shown, from a host that has everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "hypercalls/monitor/cpuid.h"

#define A 0
#define B 1
#define C 2
#define D 3

/* Sizes and offsets of the states, as Intel's CPUs have them; 9 is PKRU, 8 and 11 supervisor's. */
static const struct {
	uint32_t size, offset, flags;
} state[64] = {
	[2] = {256, 576, 0},  [3] = {64, 960, 0},    [4] = {64, 1024, 0},    [5] = {64, 1088, 0},
	[6] = {512, 1152, 2}, [7] = {1024, 1664, 0}, [8] = {128, 0, 1},	     [9] = {8, 2688, 0},
	[11] = {16, 0, 1},    [17] = {64, 2752, 2},  [18] = {8192, 2816, 6},
};

static void generous(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	memset(r, 0xff, 16);
	if (leaf == 0)
		r[A] = 0x20;
	if (leaf == 0x80000000)
		r[A] = 0x80000021;
	if (leaf != 0xd)
		return;
	r[A] = r[B] = r[C] = r[D] = 0;
	if (sub == 0) {
		r[A] = 0x602ff;
		r[B] = r[C] = 11008;
	} else if (sub == 1) {
		r[A] = 0x1f;
		r[B] = 9999;
		r[C] = 0x900;
	} else if (sub < 64) {
		r[A] = state[sub].size;
		r[B] = state[sub].offset;
		r[C] = state[sub].flags;
	}
}

static void plain(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	memset(r, 0, 16);
}

static uint32_t reg(uint64_t xcr0, uint32_t leaf, uint32_t sub, int i)
{
	uint32_t r[4];

	cpuid_guest(generous, 0, xcr0, leaf, sub, r);
	return r[i];
}

static void test_leaves_end(void **s)
{
	assert_int_equal(reg(1, 0, 0, A), 0xd);
	assert_int_equal(reg(1, 0x80000000, 0, A), 0x80000008);
	assert_int_equal(reg(1, 0x40000000, 0, B), 0x566e6558);
	for (uint32_t leaf = 0x40000003; leaf < 0x40000200; leaf++)
		assert_int_equal(reg(1, leaf, 0, A) | reg(1, leaf, 0, B), 0);
	/* MONITOR, power, performance counters, topology, and what came later. */
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t none[] = {5,    6,    9,	  0xa,	0xb,	   0xf,
						0x12, 0x14, 0x1d, 0x20, 0x8000000a};

		for (unsigned j = 0; j < sizeof(none) / sizeof(none[0]); j++)
			assert_int_equal(reg(1, none[j], 0, i), 0);
	}
}

static void test_features(void **s)
{
	const uint32_t c1 = reg(1, 1, 0, C), d1 = reg(1, 1, 0, D), b7 = reg(1, 7, 0, B),
		       c7 = reg(1, 7, 0, C), d7 = reg(1, 7, 0, D), de = reg(1, 0x80000001, 0, D);

	/* MONITOR VMX SMX PDCM PCID x2APIC TSC-deadline; VME PSE MTRR PGE PSE36 DS ACPI */
	assert_int_equal(c1 & 0x01268068, 0);
	assert_int_equal(d1 & 0x0062300a, 0);
	assert_int_equal(c1 >> 31, 1);
	assert_int_equal(c1 & 0x1c000001, 0x1c000001); /* XSAVE OSXSAVE AVX SSE3 */
	assert_int_equal(d1 & 0x06000071, 0x06000071); /* SSE2 SSE PAE MSR TSC FPU */
	assert_int_equal(b7 & 0x02500486, 0);	       /* SGX ADJUST SMEP INVPCID SMAP PT */
	assert_int_equal(b7 & 0x00010021, 0x00010021); /* AVX512F AVX2 FSGSBASE */
	assert_int_equal(c7 & 0x0041001c, 0);	       /* UMIP PKU OSPKE LA57 RDPID */
	assert_int_equal(d7 & 0xff100020, 0);	       /* speculation MSRs, CET, AMX, UINTR */
	assert_int_equal(reg(1, 7, 1, A), 0);
	assert_int_equal(de & 0x0c000000, 0); /* GB pages, RDTSCP */
	assert_int_equal(de & 0x20100800, 0x20100800);
	assert_int_equal(reg(1, 0x80000001, 0, C) & 4, 0); /* SVM */
	assert_int_equal(reg(1, 0x80000008, 0, B) & ~5u, 0);
}

static void test_apic_number(void **s)
{
	uint32_t r[4];

	cpuid_guest(generous, 3, 1, 1, 0, r);
	assert_int_equal(r[B] >> 24, 6);
}

static void test_state_sizes(void **s)
{
	assert_int_equal(reg(1, 0xd, 0, A), 0xff);
	assert_int_equal(reg(1, 0xd, 0, D), 0);
	assert_int_equal(reg(1, 0xd, 0, B), 576);
	assert_int_equal(reg(3, 0xd, 0, B), 576);
	assert_int_equal(reg(7, 0xd, 0, B), 832);
	assert_int_equal(reg(0xff, 0xd, 0, B), 2688);
	assert_int_equal(reg(1, 0xd, 0, C), 2688);
	assert_int_equal(reg(1, 0xd, 1, A), 7); /* no XSAVES, no XFD */
	assert_int_equal(reg(1, 0xd, 1, C) | reg(1, 0xd, 1, D), 0);
	/* Compacted: without the hole between AVX and AVX-512, but aligned where it must be. */
	assert_int_equal(reg(0xe7, 0xd, 1, B), 576 + 256 + 64 + 512 + 1024);
	assert_int_equal(reg(0xe3, 0xd, 1, B), 576 + 64 + 512 + 1024);
	assert_int_equal(reg(0xff, 0xd, 7, A), 1024);
	for (uint32_t i = 8; i < 70; i++)
		assert_int_equal(reg(0xff, 0xd, i, A) | reg(0xff, 0xd, i, B), 0);
}

static void test_states(void **s)
{
	static const uint64_t good[] = {1, 3, 7, 0x1b, 0x1f, 0xe7, 0xff};
	static const uint64_t bad[] = {
		0,    2,    6,	   5,	  0xb,	   0x13,	  0x27,
		0xe3, 0xa7, 0x203, 0x103, 0x60003, 1UL << 63 | 1, 1UL << 62 | 1};

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(xcr0_valid(generous, good[i]));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(xcr0_valid(generous, bad[i]));
	assert_int_equal(xcr0_allowed(plain), 0);
	assert_false(xcr0_valid(plain, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaves_end),  cmocka_unit_test(test_features),
		cmocka_unit_test(test_apic_number), cmocka_unit_test(test_state_sizes),
		cmocka_unit_test(test_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
