/* SPDX-License-Identifier: MIT */
/* As test_step_guest.c: selectors and bases, what the monitor answers, what is hidden. */
#include "tests/unit/step_guest.h"

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
	put(DATA, STACK, 8);
	put(DATA + 8, 0xb, 2);
	STEP(0x48, 0x0f, 0xb2, 0x23); /* lss (%rbx), %rsp: nothing has to wait */
	assert_none();
	assert_true(seen.trap_follows);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bases),   TEST(test_selectors),     TEST(test_descriptors),
		TEST(test_syscall), TEST(test_answers),	      TEST(test_privileged),
		TEST(test_hidden),  TEST(test_task_switched), TEST(test_xcr0),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
