/* SPDX-License-Identifier: MIT */
/*
 * What tr_step() does that the CPU cannot be asked in a process: control flow, modes, flags, faults
 * in the middle, code that is fetched or new. test_step_system.c has the rest.
 */
#include "tests/unit/step_guest.h"

/* ---- control flow ---- */

static void test_jumps(void **state)
{
	STEP(0xeb, 0x10);
	assert_went(0x12);
	assert_true(seen.trap_follows);
	STEP(0xe9, 0xfc, 0xff, 0xff, 0xff);
	assert_went(1);
	r->r15 = DATA + 5;
	STEP(0x41, 0xff, 0xe7); /* jmp *%r15 */
	assert_int_equal(r->rip, DATA + 5);
	put(DATA, DATA + 9, 8);
	STEP(0xff, 0x23); /* jmp *(%rbx) */
	assert_int_equal(r->rip, DATA + 9);
	r->r15 = 1UL << 63;
	STEP(0x41, 0xff, 0xe7);
	assert_error(VECTOR_GP, 0);
	r->rbx = MISSING;
	STEP(0xff, 0x23);
	assert_vector(VECTOR_PF);
	assert_int_equal(seen.cr2, MISSING);
}

/* By SETcc, which runs natively. */
static void test_conditions(void **state)
{
	for (unsigned cc = 0; cc < 16; cc++)
		for (unsigned f = 0; f < 64; f++) {
			r->rflags = 2 | FLAG_IF | (f & 1 ? FLAG_CF : 0) | (f & 2 ? FLAG_PF : 0) |
				    (f & 4 ? FLAG_ZF : 0) | (f & 8 ? FLAG_SF : 0) |
				    (f & 16 ? FLAG_OF : 0) | (f & 32 ? FLAG_AF : 0);
			STEP(0x0f, 0x90 + cc, 0xc0); /* setcc %al */
			STEP(0x70 + cc, 0x20);
			assert_went((r->rax & 1 ? 0x22 : 2));
			STEP(0x0f, 0x80 + cc, 0, 1, 0, 0);
			assert_went((r->rax & 1 ? 0x106 : 6));
		}
}

static void test_loops(void **state)
{
	r->rcx = 2;
	STEP(0xe2, 0x10);
	assert_went(0x12);
	STEP(0xe2, 0x10);
	assert_went(2);
	assert_int_equal(r->rcx, 0);
	STEP(0xe3, 0x10); /* jrcxz */
	assert_went(0x12);
	r->rcx = 1UL << 32;
	STEP(0xe3, 0x10);
	assert_went(2);
	STEP(0x67, 0xe3, 0x10); /* jecxz */
	assert_went(0x13);
	r->rcx = 1UL << 32 | 1;
	STEP(0x67, 0xe2, 0x10); /* ecx becomes 0, and rcx */
	assert_went(3);
	assert_int_equal(r->rcx, 0);
	r->rcx = 5;
	r->rflags |= FLAG_ZF;
	STEP(0xe1, 0x10); /* loope */
	assert_went(0x12);
	STEP(0xe0, 0x10); /* loopne */
	assert_went(2);
	assert_int_equal(r->rcx, 3);
}

static void test_calls(void **state)
{
	STEP(0xe8, 0x40, 0, 0, 0);
	assert_went(0x45);
	assert_int_equal(r->rsp, STACK - 8);
	assert_int_equal(get(STACK - 8, 8), CODE_AT + 5);
	STEP(0xc3);
	assert_went(5);
	assert_int_equal(r->rsp, STACK);
	put(STACK, DATA, 8);
	STEP(0xc2, 0x10, 0);
	assert_int_equal(r->rip, DATA);
	assert_int_equal(r->rsp, STACK + 0x18);
	r->rsp = STACK;
	STEP(0xff, 0xd4); /* call *%rsp */
	assert_int_equal(r->rip, STACK);
	r->rsp = MISSING + 8;
	STEP(0xe8, 0x40, 0, 0, 0);
	assert_vector(VECTOR_PF);
	assert_int_equal(seen.cr2, MISSING);
	assert_int_equal(r->rsp, MISSING + 8);
	r->rsp = 1UL << 62;
	STEP(0xc3);
	assert_error(VECTOR_SS, 0);
	r->rsp = STACK;
	put(STACK, 1UL << 62, 8);
	STEP(0xc3);
	assert_error(VECTOR_GP, 0);
	assert_int_equal(r->rsp, STACK);
}

static void test_far(void **state)
{
	put(DATA, DATA + 3, 8);
	put(DATA + 8, 0x33, 2);
	STEP(0x48, 0xff, 0x2b); /* ljmp *(%rbx), 64 bits */
	assert_true(seen.trap_follows);
	assert_int_equal(r->rip, DATA + 3);
	assert_int_equal(r->cs, 0x33);
	STEP(0x48, 0xff, 0x1b); /* lcall */
	assert_int_equal(r->rsp, STACK - 16);
	assert_int_equal(get(STACK - 16, 8), CODE_AT + 3);
	assert_int_equal(get(STACK - 8, 8), 0x33);
	STEP(0x48, 0xcb); /* lretq */
	assert_went(3);
	assert_int_equal(r->rsp, STACK);
	put(DATA + 8, 0x2b, 2); /* 32-bit code */
	STEP(0x48, 0xff, 0x2b);
	assert_int_equal(r->rip, DATA + 3);
	assert_int_equal(r->cs, 0x2b);
	r->cs = SEL_KERNEL_CS;
	put(STACK + 8, 0x30, 2); /* ring 0 */
	STEP(0x48, 0xcb);
	assert_error(VECTOR_GP, 0x30);
}

static void test_iret(void **state)
{
	const uint64_t frame[5] = {DATA + 7, SEL_KERNEL_CS, FLAG_CF | FLAG_AC | 0x3000,
				   DATA + 0x800, SEL_KERNEL_SS};

	for (unsigned k = 0; k < 5; k++)
		put(STACK + 8 * k, frame[k], 8);
	STEP(0x48, 0xcf);
	assert_none();
	assert_true(seen.trap_follows);
	assert_int_equal(r->rip, DATA + 7);
	assert_int_equal(r->rsp, DATA + 0x800);
	assert_int_equal(r->rflags, FLAG_CF | FLAG_AC | FLAG_IF | 2);
	r->rsp = STACK;
	put(STACK + 32, 0x20 | 3, 8); /* a stack of ring 0 */
	STEP(0x48, 0xcf);
	assert_error(VECTOR_GP, 0x20);
	put(STACK + 32, 0x10 | 3, 8); /* not present */
	STEP(0x48, 0xcf);
	assert_error(VECTOR_SS, 0x10);
	r->rflags |= FLAG_NT;
	STEP(0x48, 0xcf);
	assert_error(VECTOR_GP, 0);
	assert_int_equal(r->rsp, STACK);
}

static void test_interrupts(void **state)
{
	STEP(0xcd, 0x80);
	assert_int_equal(seen.soft, 0x80);
	assert_went(0);
	STEP(0xcc);
	assert_int_equal(seen.vector, VECTOR_BP);
	assert_int_equal(seen.rip, CODE_AT + 1);
	STEP(0xcd, 3);
	assert_int_equal(seen.vector, VECTOR_BP);
	assert_int_equal(seen.rip, CODE_AT + 2);
	STEP(0xf1);
	assert_int_equal(seen.vector, VECTOR_DB);
}

/* ---- flags ---- */

static void test_popf(void **state)
{
	const uint64_t all = ~0UL;

	put(STACK, all, 8);
	STEP(0x9d);
	assert_int_equal(r->rflags, FLAGS_POPF | FLAG_IF | 2);
	assert_int_equal(r->rsp, STACK + 8);
	put(STACK + 8, 0, 8);
	STEP(0x66, 0x9d);
	assert_int_equal(r->rflags, FLAG_AC | FLAG_ID | FLAG_IF | 2);
	assert_int_equal(r->rsp, STACK + 10);
	r->rsp = STACK;
	STEP(0x9c);
	assert_int_equal(get(STACK - 8, 8), FLAG_AC | FLAG_ID | FLAG_IF | 2);
	STEP(0xfd);
	assert_true(r->rflags & FLAG_DF);
	STEP(0xfc);
	assert_false(r->rflags & FLAG_DF);
	/* What is not the instruction's stays, and never reaches the CPU. */
	r->rflags = FLAG_TF | FLAG_AC | FLAG_NT | FLAG_IF | FLAG_CF | 2;
	STEP(0x48, 0x83, 0xd8, 0); /* sbb $0, %rax: -1 */
	assert_none();
	assert_true((r->rflags & (FLAG_TF | FLAG_AC | FLAG_NT)) == (FLAG_TF | FLAG_AC | FLAG_NT));
	assert_int_equal(r->rax, ~0UL);
}

/* ---- strings ---- */

static void test_string_fault(void **state)
{
	for (unsigned k = 0; k < 2 * PAGE_SIZE; k++)
		*at(DATA + k) = k * 7;
	r->rsi = DATA + 100;
	r->rdi = P(9) + 0x3ff;
	r->rcx = 10000;
	STEP(0xf3, 0xa4);
	assert_vector(VECTOR_PF);
	assert_int_equal(seen.cr2, P(11)); /* after 7169 bytes the destination ends first */
	assert_int_equal(seen.how, ACCESS_WRITE);
	assert_int_equal(r->rcx, 10000 - 7169);
	assert_int_equal(r->rsi, DATA + 100 + 7169);
	assert_int_equal(r->rdi, P(11));
	for (unsigned k = 0; k < 7169; k++)
		assert_int_equal(*at(P(9) + 0x3ff + k), (uint8_t)((k + 100) * 7));
}

static void test_string_kick(void **state)
{
	r->rdi = DATA + 4;
	r->rcx = 1024;
	r->rax = 0x1122334455667788;
	tr.kicked = 1;
	STEP(0xf3, 0xab); /* rep stosl */
	assert_none();
	assert_went(0);
	assert_int_equal(r->rdi, P(4));
	assert_int_equal(r->rcx, 1);
	STEP(0xf3, 0xab);
	assert_went(2);
	assert_int_equal(r->rdi, P(4) + 4);
	assert_int_equal(r->rcx, 0);
	assert_int_equal(get(P(4), 8), 0x55667788);
	assert_int_equal(get(DATA, 8), 0x5566778800000000);
	/* Nothing of it: no access at all. */
	r->rdi = MISSING;
	STEP(0xf3, 0xab);
	assert_none();
	assert_went(2);
}

/* ---- fetching ---- */

static void test_fetch(void **state)
{
	STEP_AT(P(1) - 3, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8); /* movabs on two pages */
	assert_int_equal(r->rax, 0x0807060504030201);
	assert_int_equal(r->rip, P(1) + 7);
	STEP_AT(P(2) - 2, 0xeb, 0x10); /* just not */
	assert_int_equal(r->rip, P(2) + 0x10);
	STEP_AT(P(2) - 3, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8);
	assert_int_equal(seen.vector, VECTOR_PF);
	assert_int_equal(seen.cr2, P(2));
	assert_int_equal(seen.how, ACCESS_FETCH);
	assert_int_equal(seen.rip, P(2) - 3);
	STEP_AT(DATA, 0x90);
	assert_int_equal(seen.vector, VECTOR_PF);
	assert_int_equal(seen.cr2, DATA);
	STEP_AT(1UL << 60, 0x90);
	assert_int_equal(seen.vector, VECTOR_GP);
	STEP(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
	     0x66, 0x90);
	assert_error(VECTOR_GP, 0);
}

/* Other code at the same place, also where only its end differs. */
static void test_new_code(void **state)
{
	STEP(0x48, 0xc7, 0xc0, 1, 0, 0, 0);
	assert_int_equal(r->rax, 1);
	STEP(0x48, 0xc7, 0xc0, 1, 0, 0, 1);
	assert_int_equal(r->rax, 0x1000001);
	STEP(0x48, 0xff, 0xc0);
	assert_int_equal(r->rax, 0x1000002);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_jumps),	TEST(test_conditions), TEST(test_loops),
		TEST(test_calls),	TEST(test_far),	       TEST(test_iret),
		TEST(test_interrupts),	TEST(test_popf),       TEST(test_string_fault),
		TEST(test_string_kick), TEST(test_fetch),      TEST(test_new_code),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
