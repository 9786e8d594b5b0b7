/* SPDX-License-Identifier: MIT */
/* One instruction at a time by tr_step(), and what is asked of it, for test_step_guest and _system.
 */
#ifndef PAVANE_STEP_GUEST_H
#define PAVANE_STEP_GUEST_H

#include "tests/unit/fake_step.h"

#define DATA	P(3)
#define STACK	(P(9) + 0x800)
#define MISSING P(5)

#define DESC_DATA   0x00cff3000000ffffUL
#define DESC_ABSENT 0x00cf73000000ffffUL
#define DESC_BASE   0x12cff3345678ffffUL /* base 0x12345678 */
#define DESC_RING0  0x00cf93000000ffffUL
#define DESC_CODE32 0x00cffb000000ffffUL
#define DESC_CODE64 0x00affb000000ffffUL
#define DESC_CPU    0x0040f50000001002UL /* a limit that says 0x1002, as Linux' vDSO reads it */

static regs_t *const r = &vcpu.regs;

static inline void put(uint64_t va, uint64_t val, unsigned n)
{
	for (unsigned k = 0; k < n; k++, val >>= 8)
		*at(va + k) = val;
}

static inline uint64_t get(uint64_t va, unsigned n)
{
	uint64_t val = 0;

	for (unsigned k = n; k--;)
		val = val << 8 | *at(va + k);
	return val;
}

static inline void run_at(uint64_t rip, const uint8_t *code, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		if (page_of(rip + k))
			*at(rip + k) = code[k];
	memset(&seen, 0, sizeof(seen));
	seen.vector = seen.soft = -1;
	r->rip = rip;
	seen.trap_follows = tr_step(&vcpu);
}

#define STEP_AT(rip, ...) \
	run_at(rip, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define STEP(...)	   STEP_AT(CODE_AT, __VA_ARGS__)
#define assert_went(n)	   assert_int_equal(r->rip, CODE_AT + (n))
#define assert_vector(vec) assert_true(seen.vector == (vec) && seen.rip == CODE_AT)
#define assert_none()	   assert_int_equal(seen.vector, -1)

static inline void assert_error(int vector, uint64_t error)
{
	assert_vector(vector);
	assert_int_equal(seen.error, error);
}

static inline int fresh(void **state)
{
	uint64_t *table = (uint64_t *)descriptors;

	fake_signals();
	memset(ram, 0, PAGES * PAGE_SIZE);
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&tr, 0, sizeof(tr));
	vcpu.d = &dom;
	vcpu.kernel_mode = true;
	vcpu.cr4 = CR4_OSXSAVE | CR4_FSGSBASE;
	vcpu.xcr0 = 7;
	vcpu.gdt_mfn[0] = 7;
	vcpu.gdt_entries = 16;
	table[1] = DESC_DATA;
	table[2] = DESC_ABSENT;
	table[3] = DESC_BASE;
	table[4] = DESC_RING0;
	table[5] = DESC_CODE32;
	table[6] = DESC_CODE64;
	table[15] = DESC_CPU;
	r->cs = SEL_KERNEL_CS;
	r->ss = SEL_KERNEL_SS;
	r->rflags = FLAG_IF | 2;
	r->rsp = STACK;
	r->rbx = DATA;
	return 0;
}

static inline int group_setup(void **state)
{
	fake_init();
	return tr_step_init();
}

#define TEST(f) cmocka_unit_test_setup(f, fresh)

#endif
