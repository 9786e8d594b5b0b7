/* SPDX-License-Identifier: MIT */
/*
 * One instruction, by tr_step() and by the CPU itself: registers, flags, memory, vector state and
 * faults are to be the same, for the forms of step_forms.S and operands of all kinds: aligned or
 * not, on two pages, where nothing is, where nothing may be written. What the CPU cannot be asked
 * in ring 3 of Linux is in test_step_guest.c.
 */
#include "tests/unit/fake_step.h"

enum kind { ANY, XSAVE, CODE, BITS };

struct form {
	const uint8_t *start, *end;
	uint64_t kind;
};
extern const struct form step_forms[], step_forms_end[];

#define FPU_BYTES (576 + 256)
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS 2 /* the values matter less there than the code */
#else
#define ROUNDS 6
#endif

/* A state to begin with, and how it comes out. */
struct state {
	uint64_t r[16], rflags;
	uint8_t ram[PAGES * PAGE_SIZE];
	struct fpu_area fpu __attribute__((aligned(64))); /* so that a copy is one */
	int vector;
	uint64_t error, cr2;
	bool write;
};

enum where_at {
	ALIGNED,
	UNALIGNED,
	TWO_PAGES,
	INTO_NOTHING,
	IN_NOTHING,
	IN_READ_ONLY,
	INTO_READ_ONLY,
	NOT_CANONICAL,
	BACKWARDS,
	UNMASKED,
	WHERES
};

static const char *const where_name[] = {
	"aligned",   "unaligned",      "on two pages",	"into nothing", "in nothing",
	"read only", "into read only", "not canonical", "backwards",	"unmasked"};

static uint64_t seed = 1;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dUL;
}

static uint64_t operand_at(enum where_at w)
{
	switch (w) {
	case UNALIGNED: return P(3) + 0x200 + rnd() % 64;
	case TWO_PAGES: return P(4) - 1 - rnd() % 24;
	case INTO_NOTHING: return P(5) - 1 - rnd() % 24;
	case IN_NOTHING: return P(2) + 0x780 + rnd() % 64;
	case IN_READ_ONLY: return P(7) + 0x200 + (rnd() % 2 ? 0 : rnd() % 64);
	case INTO_READ_ONLY: return P(7) - 1 - rnd() % 24;
	case NOT_CANONICAL:
		return 1UL << (60 + rnd() % 3) | P(2); /* nothing by its lower half, either */
	default: return P(3) + 0x200;
	}
}

static uint64_t stack_at(enum where_at w)
{
	switch (w) {
	case TWO_PAGES: return P(10) + rnd() % 12;
	case INTO_NOTHING: return P(11) - 1 - rnd() % 8;
	case IN_NOTHING: return P(9) + rnd() % 8;
	default: return P(9) + 0x800;
	}
}

/* Vector registers: bits of all kinds; 5 to 7 are small indices. */
static void random_fpu(struct state *s, enum where_at w)
{
	uint8_t *p = fpu_aligned(&s->fpu);
	const unsigned high = xsave_avx_offset();
	const uint32_t mxcsr = w == UNMASKED ? 0x1f80 & ~(rnd() & 0x1f80) : 0x1f80;
	const uint16_t x87[2] = {0x37f, 6 << 11};
	static const uint8_t st[2][10] = {{0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0x3f},
					  {0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0xf, 0xc9, 0, 0x40}};

	memset(p, 0, FPU_BYTES);
	memcpy(p, x87, sizeof(x87));
	p[4] = 0xc0;
	memcpy(p + 24, &mxcsr, 4);
	for (unsigned k = 32; k < 160; k++)
		p[k] = k % 16 < 8 ? rnd() : 0;
	memcpy(p + 32, st[0], 10);
	memcpy(p + 48, st[1], 10);
	for (unsigned k = 0; k < 256; k++) {
		p[160 + k] = rnd();
		p[high + k] = rnd();
	}
	for (unsigned k = 5; k < 8; k++)
		for (unsigned n = 0; n < 4; n++) {
			const int32_t narrow = (int)(rnd() % 257) - 128;
			const int64_t wide = narrow;

			if (k == 5 && n < 2) {
				memcpy(p + 160 + 16 * k + 8 * n, &wide, 8);
				memcpy(p + high + 16 * k + 8 * n, &wide, 8);
			} else if (k > 5) {
				memcpy(p + 160 + 16 * k + 4 * n, &narrow, 4);
				memcpy(p + high + 16 * k + 4 * n, &narrow, 4);
			}
		}
	p[512] = 7;
}

/* An area that XRSTOR takes, at va. */
static void put_area(struct state *s, uint64_t va)
{
	const uint8_t *p = fpu_aligned(&s->fpu);

	for (unsigned k = 0; k < FPU_BYTES; k++)
		if (page_of(va + k))
			s->ram[at(va + k) - ram] = k < 160 ? p[k] : p[k] ^ (k < 512) * 0x11;
}

static void begin(struct state *s, const struct form *f, enum where_at w)
{
	uint64_t a = operand_at(w);

	for (unsigned k = 0; k < sizeof(s->ram); k += 8) {
		const uint64_t val = rnd();

		memcpy(s->ram + k, &val, 8);
	}
	random_fpu(s, w);
	if (f->kind == XSAVE && (w == TWO_PAGES || w == INTO_NOTHING || w == INTO_READ_ONLY))
		a = (a | 0xfff) - 511 - (rnd() % 4) * 64;
	for (unsigned k = 0; k < 16; k++)
		s->r[k] = rnd() >> (rnd() & 1 ? 60 : rnd() & 31);
	s->r[RBX] = s->r[RBP] = s->r[RSI] = s->r[12] = s->r[13] = s->r[14] = a;
	s->r[RDI] = w == BACKWARDS || rnd() & 1 ? a + 1 : a + 64;
	s->r[RCX] = w == BACKWARDS ? 3 + rnd() % 40 : 2;
	s->r[RSP] = stack_at(w);
	s->r[15] = -1;
	if (page_of(a) && page_of(a + 7) && rnd() & 1)
		for (unsigned k = 0; k < 8; k++)
			((uint8_t *)&s->r[RAX])[k] = s->ram[at(a + k) - ram];
	s->rflags = (rnd() & FLAGS_ARITH) | FLAG_IF | 2 | (w == BACKWARDS ? FLAG_DF : 0);
	if (f->kind == XSAVE) {
		s->r[RDX] = 0;
		s->r[RAX] = rnd() & 7;
		put_area(s, a);
		put_area(s, a + 64);
		if (rnd() & 1)
			put_area(s, a);
	}
	if (f->kind == BITS)
		s->r[RAX] = s->r[RDX] = rnd() % 20000 - 10000;
	s->vector = -1;
}

/* At CODE_AT, with a way back behind it that only the CPU itself takes. */
static void put_code(uint64_t va, const uint8_t *code, unsigned n)
{
	static const uint8_t jump[6] = {0xff, 0x25};
	const uint64_t back = (uint64_t)step_leave;
	uint8_t bytes[64];

	memcpy(bytes, code, n);
	memcpy(bytes + n, jump, sizeof(jump));
	memcpy(bytes + n + sizeof(jump), &back, sizeof(back));
	for (unsigned k = 0; k < n + sizeof(jump) + sizeof(back); k++)
		*at(va + k) = bytes[k];
}

static void enter_state(const struct state *s, const struct form *f)
{
	memcpy(ram, s->ram, sizeof(s->ram));
	put_code(CODE_AT, f->start, f->end - f->start);
	native_cr2 = 0;
	memset(&seen, 0, sizeof(seen));
	seen.vector = seen.soft = -1;
}

static void leave_state(struct state *s)
{
	memcpy(s->ram, ram, sizeof(s->ram));
}

static void by_cpu(struct state *s, const struct form *f)
{
	enter_state(s, f);
	memcpy(native.r, s->r, sizeof(s->r));
	native.rflags = s->rflags;
	native.code = CODE_AT;
	native.fresh = true;
	running_natively = true;
	fpu_back(&s->fpu);
	s->vector = step_enter(&native) ? -1 : (int)native.vector;
	fpu_keep(&s->fpu);
	running_natively = false;
	memcpy(s->r, native.r, sizeof(s->r));
	s->rflags = native.rflags;
	s->error = native.error;
	s->cr2 = native_cr2;
	s->write = native.error & 2;
	leave_state(s);
}

static void by_step(struct state *s, const struct form *f)
{
	enter_state(s, f);
	for (unsigned k = 0; k < 16; k++)
		*step_gpr(&vcpu.regs, k) = s->r[k];
	vcpu.regs.rflags = s->rflags;
	vcpu.regs.rip = CODE_AT;
	fpu_back(&s->fpu);
	tr_step(&vcpu);
	fpu_keep(&s->fpu);
	for (unsigned k = 0; k < 16; k++)
		s->r[k] = *step_gpr(&vcpu.regs, k);
	s->rflags = vcpu.regs.rflags;
	s->vector = seen.vector;
	s->error = seen.error;
	s->cr2 = seen.cr2;
	s->write = seen.how == ACCESS_WRITE;
	leave_state(s);
}

static void blame(const struct form *f, enum where_at w, const char *what, uint64_t is,
		  uint64_t should)
{
	char hex[64] = "";

	for (const uint8_t *p = f->start; p < f->end; p++)
		snprintf(hex + strlen(hex), sizeof(hex) - strlen(hex), "%02x ", *p);
	print_error("%s%s: %s is %lx, the CPU says %lx\n", hex, where_name[w], what, is, should);
}

/* But the x87's pointers to its last instruction, and what XSAVE says of states alike. */
static int different_fpu(struct fpu_area *a, struct fpu_area *b)
{
	const uint8_t *p = fpu_aligned(a), *q = fpu_aligned(b);

	for (unsigned k = 0; k < FPU_BYTES; k++)
		if (p[k] != q[k] && !(k >= 6 && k < 24) && !(k >= 416 && k < 576))
			return k;
	return -1;
}

/* An operand that is not there, and not aligned either: which the CPU looks at first. */
static bool also_unaligned(const struct state *cpu, const struct state *step, enum where_at w)
{
	return cpu->vector == VECTOR_GP && step->vector == VECTOR_PF && w != NOT_CANONICAL;
}

/* MASKMOVQ, MASKMOVDQU: whether bytes that are masked out may fault is up to the CPU. */
static bool masked_out(const struct form *f, const struct state *cpu, const struct state *step)
{
	return f->end[-2] == 0xf7 && f->end[-1] >= 0xc0 && cpu->vector == VECTOR_PF &&
	       step->vector < 0;
}

static bool same_fault(const struct form *f, enum where_at w, const struct state *cpu,
		       const struct state *step)
{
	if (step->vector != cpu->vector) {
		blame(f, w, "vector", step->vector, cpu->vector);
		return false;
	}
	if (cpu->vector == VECTOR_PF && step->cr2 >> PAGE_SHIFT != cpu->cr2 >> PAGE_SHIFT)
		blame(f, w, "cr2", step->cr2, cpu->cr2);
	else if (cpu->vector == VECTOR_PF && step->write != cpu->write)
		blame(f, w, "a write", step->write, cpu->write);
	else
		return true;
	return false;
}

static bool same_state(const struct form *f, enum where_at w, struct state *cpu, struct state *step)
{
	const uint64_t rip = CODE_AT + (cpu->vector < 0 ? f->end - f->start : 0);
	const uint64_t flags = FLAGS_ARITH | FLAG_DF;
	int n;

	for (unsigned k = 0; k < 16; k++)
		if (step->r[k] != cpu->r[k]) {
			char name[] = "r00";

			name[1] += k / 10;
			name[2] += k % 10;
			blame(f, w, name, step->r[k], cpu->r[k]);
			return false;
		}
	if (vcpu.regs.rip != rip) {
		blame(f, w, "rip", vcpu.regs.rip, rip);
		return false;
	}
	if ((step->rflags ^ cpu->rflags) & flags) {
		blame(f, w, "flags", step->rflags & flags, cpu->rflags & flags);
		return false;
	}
	for (unsigned k = 0; k < sizeof(cpu->ram); k++)
		if (step->ram[k] != cpu->ram[k]) {
			blame(f, w, "memory", k << 8 | step->ram[k], k << 8 | cpu->ram[k]);
			return false;
		}
	n = different_fpu(&cpu->fpu, &step->fpu);
	if (n >= 0)
		blame(f, w, "fpu", n, 0);
	return n < 0;
}

static bool compare(const struct form *f, enum where_at w)
{
	static struct state cpu, step;

	begin(&cpu, f, w);
	step = cpu;
	by_cpu(&cpu, f);
	by_step(&step, f);
	if (also_unaligned(&cpu, &step, w) || masked_out(f, &cpu, &step))
		return true;
	return same_fault(f, w, &cpu, &step) && same_state(f, w, &cpu, &step);
}

static void test_forms(void **state)
{
	const char *rounds = getenv("STEP_ROUNDS"); /* for a long run */
	struct fpu_area own;
	unsigned wrong = 0, n = 0, k, last = rounds ? atoi(rounds) : ROUNDS;

	fake_signals();
	fpu_keep(&own);
	for (const struct form *f = step_forms; f < step_forms_end; f++)
		for (enum where_at w = 0; w < WHERES; w++)
			for (k = 0; k < last; k++, n++)
				wrong += !compare(f, w);
	fpu_back(&own); /* the last form's exceptions are not for cmocka */
	print_message("# %zu forms, %u runs\n", (size_t)(step_forms_end - step_forms), n);
	assert_int_equal(wrong, 0);
	assert_true(n > 10000);
}

static int setup(void **state)
{
	fake_init();
	vcpu.kernel_mode = true;
	vcpu.cr4 = CR4_OSXSAVE | CR4_FSGSBASE;
	vcpu.xcr0 = 7;
	return tr_step_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms)};

	return cmocka_run_group_tests(tests, setup, NULL);
}
