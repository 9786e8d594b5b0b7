/* SPDX-License-Identifier: MIT */
/*
 * What tr_step() does that the CPU cannot be asked in a process: control flow, modes, selectors,
 * the monitor's answers, what is hidden, faults in the middle.
 */
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

static void put(uint64_t va, uint64_t val, unsigned n)
{
	for (unsigned k = 0; k < n; k++, val >>= 8)
		*at(va + k) = val;
}

static uint64_t get(uint64_t va, unsigned n)
{
	uint64_t val = 0;

	for (unsigned k = n; k--;)
		val = val << 8 | *at(va + k);
	return val;
}

static void run_at(uint64_t rip, const uint8_t *code, unsigned n)
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

static void assert_error(int vector, uint64_t error)
{
	assert_vector(vector);
	assert_int_equal(seen.error, error);
}

static int fresh(void **state)
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

/* ---- segments ---- */

static void test_bases(void **state)
{
	vcpu.fs_base = DATA;
	vcpu.gs_base_kernel = DATA + 0x100;
	vcpu.gs_base_user = DATA + 0x200;
	put(DATA + 8, 1, 8);
	put(DATA + 0x108, 2, 8);
	put(DATA + 0x208, 3, 8);
	STEP(0x64, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0);
	assert_int_equal(r->rax, 1);
	STEP(0x65, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0);
	assert_int_equal(r->rax, 2);
	STEP(0x65, 0x48, 0xa1, 8, 0, 0, 0, 0, 0, 0, 0); /* movabs */
	assert_int_equal(r->rax, 2);
	vcpu.kernel_mode = false;
	STEP(0x65, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0);
	assert_int_equal(r->rax, 3);
	r->rax = 0x1234;
	STEP(0xf3, 0x48, 0x0f, 0xae, 0xd8); /* wrgsbase %rax */
	assert_int_equal(vcpu.gs_base_user, 0x1234);
	assert_int_equal(seen.segments, 1);
	STEP(0xf3, 0x49, 0x0f, 0xae, 0xc7); /* rdfsbase %r15 */
	assert_int_equal(r->r15, DATA);
	r->rax = 1UL << 60;
	STEP(0xf3, 0x48, 0x0f, 0xae, 0xd0); /* wrfsbase %rax */
	assert_error(VECTOR_GP, 0);
	vcpu.cr4 = 0;
	STEP(0xf3, 0x49, 0x0f, 0xae, 0xc7);
	assert_vector(VECTOR_UD);
}

static void test_selectors(void **state)
{
	r->rax = 0xabcd0000 | 3 << 3;
	STEP(0x8e, 0xe0); /* mov %eax, %fs */
	assert_int_equal(r->fs, 0x18);
	assert_int_equal(vcpu.fs_base, 0x12345678);
	r->rax = 0;
	STEP(0x8e, 0xe8); /* to gs: null */
	assert_int_equal(vcpu.gs_base_kernel, 0);
	assert_int_equal(seen.segments, 1);
	r->rax = SEL_KERNEL_SS;
	STEP(0x8e, 0xd8); /* to ds */
	assert_int_equal(r->ds, SEL_KERNEL_SS);
	put(STACK, 8, 8);
	STEP(0x0f, 0xa1); /* pop %fs */
	assert_int_equal(r->fs, 8);
	assert_int_equal(r->rsp, STACK + 8);
	r->rax = 2 << 3;
	STEP(0x8e, 0xe0);
	assert_error(VECTOR_NP, 0x10);
	r->rax = 4 << 3;
	STEP(0x8e, 0xe0);
	assert_error(VECTOR_GP, 0x20);
	r->rax = 200 << 3 | 3;
	STEP(0x8e, 0xc0);
	assert_error(VECTOR_GP, 200 << 3);
	r->rax = 8;
	STEP(0x8e, 0xd0); /* to ss, of another ring */
	assert_error(VECTOR_GP, 8);
	r->rax = 8 | 3;
	STEP(0x8e, 0xd0);
	assert_none();
	assert_false(seen.trap_follows);
	assert_int_equal(r->ss, 0xb);
	STEP(0x8e, 0xc8); /* to cs */
	assert_vector(VECTOR_UD);
	r->rdx = -1;
	STEP(0x8c, 0xca); /* mov %cs, %edx */
	assert_int_equal(r->rdx, SEL_KERNEL_CS);
	vcpu.ldt_entries = 8;
	r->rax = 3 << 3 | 7;
	STEP(0x8e, 0xe0);
	assert_int_equal(vcpu.fs_base, 0x12345678);
	assert_int_equal(vcpu.ldt_mfn[0], 7);
	vcpu.ldt_entries = 1024;
	vcpu.ldt_base = MISSING;
	r->rax = 600 << 3 | 7;
	STEP(0x8e, 0xe0);
	assert_vector(VECTOR_PF);
	assert_int_equal(seen.cr2, MISSING + 8 * 600);
}

static void test_descriptors(void **state)
{
	r->rax = 15 << 3 | 3;
	STEP(0x0f, 0x03, 0xd0); /* lsl %eax, %edx */
	assert_int_equal(r->rdx, 0x1002);
	assert_true(r->rflags & FLAG_ZF);
	STEP(0x0f, 0x02, 0xd0); /* lar */
	assert_int_equal(r->rdx, 0x40f500);
	r->rax = 8;
	STEP(0x48, 0x0f, 0x03, 0xd0);
	assert_int_equal(r->rdx, 0xffffffff);
	r->rax = 4 << 3;
	r->rdx = 77;
	STEP(0x0f, 0x03, 0xd0);
	assert_int_equal(r->rdx, 77);
	assert_false(r->rflags & FLAG_ZF);
	put(DATA, 8, 2);
	STEP(0x0f, 0x00, 0x2b); /* verw (%rbx) */
	assert_true(r->rflags & FLAG_ZF);
	put(DATA, 15 << 3, 2);
	STEP(0x0f, 0x00, 0x2b);
	assert_false(r->rflags & FLAG_ZF);
	STEP(0x0f, 0x00, 0x23); /* verr */
	assert_true(r->rflags & FLAG_ZF);
	STEP(0x0f, 0x01, 0x03); /* sgdt: not the host's */
	assert_int_equal(get(DATA + 2, 8), 0xfffffffffffe0000);
}

/* ---- the monitor's ---- */

static void test_syscall(void **state)
{
	r->rax = 30;
	r->rdi = 1, r->rsi = 2, r->rdx = 3, r->r10 = 4, r->r8 = 5;
	STEP(0x0f, 0x05);
	assert_went(2);
	assert_false(seen.trap_follows);
	assert_int_equal(r->rax, 15);
	assert_int_equal(seen.hypercall, 30);
	assert_int_equal(r->rcx, CODE_AT + 2);
	assert_int_equal(r->r11, FLAG_IF | 2);
	r->rax = __HYPERVISOR_iret;
	STEP(0x0f, 0x05);
	assert_int_equal(r->rax, __HYPERVISOR_iret);
	vcpu.kernel_mode = false;
	STEP(0x0f, 0x05);
	assert_int_equal(seen.syscalls, 1);
	assert_went(2);
}

static void test_answers(void **state)
{
	r->rax = 0x10;
	r->rcx = 1;
	STEP(0x0f, 0xa2);
	assert_int_equal(r->rax, 0x11);
	assert_int_equal(r->rdx, 0x14);
	r->rcx = 0;
	vcpu.xcr0 = 3;
	STEP(0x0f, 0x01, 0xd0); /* xgetbv */
	assert_int_equal(r->rax, 3);
	r->rcx = 2;
	STEP(0x0f, 0x01, 0xd0);
	assert_error(VECTOR_GP, 0);
	vcpu.cr4 = CR4_TSD;
	r->rdx = 0;
	STEP(0x0f, 0x31); /* rdtsc */
	assert_none();
	assert_true(r->rax || r->rdx);
	vcpu.kernel_mode = false;
	STEP(0x0f, 0x31);
	assert_error(VECTOR_GP, 0);
	STEP(0x0f, 0x01, 0xd0);
	assert_vector(VECTOR_UD);
}

struct insn_bytes {
	uint8_t n, byte[8];
};

static void test_privileged(void **state)
{
	static const struct insn_bytes list[] = {
		{1, {0xf4}},
		{1, {0xfa}},
		{1, {0xfb}},
		{1, {0xec}},
		{2, {0xe6, 1}},
		{1, {0x6c}},
		{3, {0x0f, 0x20, 0xd8}},
		{3, {0x0f, 0x22, 0xd8}},
		{3, {0x0f, 0x23, 0xf8}},
		{2, {0x0f, 0x32}},
		{2, {0x0f, 0x30}},
		{3, {0x0f, 0x01, 0x3b}},
		{3, {0x0f, 0x01, 0x13}},
		{3, {0x0f, 0x01, 0xf8}},
		{2, {0x0f, 0x34}},
		{2, {0x0f, 0x33}},
		{3, {0x0f, 0x01, 0xd1}},
		{2, {0x0f, 0x06}},
		{2, {0x0f, 0x09}},
		{3, {0x48, 0x0f, 0x07}},
		{3, {0x0f, 0x01, 0xf0}},
		{3, {0x0f, 0x00, 0xd8}},
	};

	for (unsigned k = 0; k < sizeof(list) / sizeof(list[0]); k++) {
		run_at(CODE_AT, list[k].byte, list[k].n);
		if (seen.vector != VECTOR_GP)
			print_error("number %u\n", k);
		assert_error(VECTOR_GP, 0);
	}
}

static void test_hidden(void **state)
{
	static const struct insn_bytes list[] = {
		{2, {0x0f, 0x0b}},
		{3, {0x0f, 0x01, 0xf9}},		   /* rdtscp */
		{4, {0xf3, 0x0f, 0xc7, 0xf8}},		   /* rdpid */
		{6, {0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0}}, /* vaddps zmm */
		{4, {0xc5, 0xf8, 0x90, 0xc0}},		   /* kmovw */
		{3, {0x0f, 0x01, 0xc1}},		   /* vmcall */
		{3, {0x0f, 0x01, 0xc8}},		   /* monitor */
		{3, {0x0f, 0x01, 0xca}},		   /* clac */
		{3, {0x0f, 0x01, 0xee}},		   /* rdpkru */
		{4, {0x48, 0x0f, 0xc7, 0x2b}},		   /* xsaves */
		{3, {0x0f, 0xc7, 0x3b}},		   /* vmptrst */
		{6, {0xc7, 0xf8, 0, 0, 0, 0}},		   /* xbegin */
		{5, {0x8f, 0xe9, 0x78, 0x81, 0xc0}},	   /* vfrczpd */
		{1, {0x06}},				   /* none */
		{4, {0xf0, 0x48, 0x89, 0x03}},		   /* lock mov */
		{2, {0xfe, 0xff}},
	};

	for (unsigned k = 0; k < sizeof(list) / sizeof(list[0]); k++) {
		run_at(CODE_AT, list[k].byte, list[k].n);
		if (seen.vector != VECTOR_UD)
			print_error("number %u\n", k);
		assert_vector(VECTOR_UD);
	}
}

static void test_task_switched(void **state)
{
	vcpu.fpu_ts = true;
	STEP(0x0f, 0x58, 0xc1); /* addps */
	assert_vector(VECTOR_NM);
	STEP(0xd9, 0xe8); /* fld1 */
	assert_vector(VECTOR_NM);
	STEP(0xc5, 0xf8, 0x77); /* vzeroupper */
	assert_vector(VECTOR_NM);
	STEP(0x0f, 0xae, 0x03); /* fxsave */
	assert_vector(VECTOR_NM);
	STEP(0x48, 0x0f, 0xae, 0x23); /* xsave */
	assert_vector(VECTOR_NM);
	STEP(0xc4, 0xe2, 0x7d, 0x2c, 0x0b); /* vmaskmovps */
	assert_vector(VECTOR_NM);
	STEP(0x0f, 0x18, 0x0b); /* prefetch */
	assert_none();
	STEP(0x0f, 0x01, 0xd0); /* xgetbv */
	assert_none();
	STEP(0x0f, 0xc3, 0x03); /* movnti */
	assert_none();
	STEP(0xf3, 0x0f, 0xb8, 0xc1); /* popcnt */
	assert_none();
}

/* A guest with SSE alone: no AVX state moves, and an area that has some is refused. */
static void test_xcr0(void **state)
{
	vcpu.xcr0 = 3;
	r->rax = 7;
	put(DATA + 512, 0, 8);
	memset(at(DATA), 0x5a, 512);
	memset(at(DATA + 576), 0x5a, 256);
	STEP(0x48, 0x0f, 0xae, 0x23); /* xsave64 */
	assert_none();
	assert_int_equal(get(DATA + 512, 8) & ~3UL, 0);
	assert_int_equal(get(DATA + 576, 8), 0x5a5a5a5a5a5a5a5a);
	assert_int_equal(r->rax, 7);
	STEP(0x48, 0x0f, 0xae, 0x2b); /* xrstor64 */
	assert_none();
	put(DATA + 512, 7, 8);
	STEP(0x48, 0x0f, 0xae, 0x2b);
	assert_error(VECTOR_GP, 0);
	vcpu.cr4 = 0;
	STEP(0x48, 0x0f, 0xae, 0x2b);
	assert_vector(VECTOR_UD);
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

static int group_setup(void **state)
{
	fake_init();
	return tr_step_init();
}

#define TEST(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_jumps),	TEST(test_conditions), TEST(test_loops),
		TEST(test_calls),	TEST(test_far),	       TEST(test_iret),
		TEST(test_interrupts),	TEST(test_popf),       TEST(test_string_fault),
		TEST(test_string_kick), TEST(test_bases),      TEST(test_selectors),
		TEST(test_descriptors), TEST(test_syscall),    TEST(test_answers),
		TEST(test_privileged),	TEST(test_hidden),     TEST(test_task_switched),
		TEST(test_xcr0),	TEST(test_fetch),      TEST(test_new_code),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
