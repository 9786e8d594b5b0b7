/* SPDX-License-Identifier: MIT */
/*
 * 32-bit code in the translator: each of cases32.h's pieces from a few first states on the CPU
 * itself, one instruction at a time by tr_step(), and translated. All three must end in the same
 * state. What the CPU of a host program cannot be given (segments that are not flat, system calls)
 * is looked at below that.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "host-driver/providers/process/translate/translate.h"
#include "hypercalls/monitor/mm.h"
#include "tests/translate/filter.h"
#include "tests/unit/cases32.h"

#define LEAVE32	     0x70000000UL
#define GDT_FRAME    (PVDOM_MFN_RAM + 50)
#define GDT_ENTRIES  16
#define STATES	     40 /* first states of a case */
#define FIRST_DATA   4	/* frames that are compared, guest.c's numbers */
#define LAST_DATA    10
#define VECTOR_OTHER 256 /* guest.c's for a system call; 257: the failsafe callback */

struct regs32 {
	uint64_t r[8], rflags, rip;
	int vector;
	uint32_t error;
	uint8_t mem[LAST_DATA - FIRST_DATA + 1][PAGE];
};

extern bool step_syscall32; /* step.h */
int native32(struct regs32 *r);
extern char native32_back[], native32_faulted[];

static struct regs32 *volatile running;
static struct rng rng = {1};

/* ---- on the CPU ---- */

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	static const int reg[8] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX,
				   REG_RSP, REG_RBP, REG_RSI, REG_RDI};
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;

	if (!running) {
		guest_engine_signal(sig, si, ctx);
		return;
	}
	for (unsigned k = 0; k < 8; k++)
		running->r[k] = g[reg[k]];
	running->rip = g[REG_RIP];
	running->rflags = g[REG_EFL] & ~FLAG_RF;
	running->vector = g[REG_TRAPNO];
	running->error = g[REG_ERR];
	g[REG_RIP] = (greg_t)native32_faulted;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffL) | 0x33;
	g[REG_EFL] = 0x202;
}

/* In every test: cmocka has put its own there. */
static void take_signals(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK, .sa_sigaction = on_signal};

	for (unsigned k = 0; k < sizeof(faults) / sizeof(faults[0]); k++)
		sigaction(faults[k], &sa, NULL);
}

static void memory_get(struct regs32 *s)
{
	for (unsigned f = FIRST_DATA; f <= LAST_DATA; f++)
		memcpy(s->mem[f - FIRST_DATA], guest_frame(f), PAGE);
}

static void memory_put(const struct regs32 *s)
{
	for (unsigned f = FIRST_DATA; f <= LAST_DATA; f++) {
		memcpy(guest_frame(f), s->mem[f - FIRST_DATA], PAGE);
		guest_engine_written(current, guest_frame(f));
	}
}

static void native_case(const struct regs32 *first, struct regs32 *out, uint64_t end)
{
	memory_put(first);
	*out = *first;
	out->rip = end;
	running = out;
	native32(out);
	running = NULL;
	memory_get(out);
}

/* ---- in the guest ---- */

static uint64_t *gpr(unsigned k)
{
	regs_t *r = &current->regs;
	uint64_t *const where[16] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp,
				     &r->rsi, &r->rdi, &r->r8,	&r->r9,	 &r->r10, &r->r11,
				     &r->r12, &r->r13, &r->r14, &r->r15};

	return where[k];
}

static void guest_begin(const struct regs32 *s, uint64_t rip)
{
	regs_t *r = &current->regs;

	for (unsigned k = 0; k < 16; k++) /* the upper halves are nobody's business */
		*gpr(k) = k < 8 ? (uint32_t)s->r[k] | rnd(&rng) << 32 : k * 0x1111111111UL;
	r->rflags = s->rflags;
	r->rip = rip;
	r->cs = 0x23;
	r->ss = r->ds = r->es = 0x2b;
	r->fs = r->gs = 0;
	current->fs_base = current->gs_base_kernel = current->gs_base_user = 0;
	guest_trap_clear();
}

static void guest_case(const struct regs32 *first, struct regs32 *out, uint64_t end, bool step)
{
	uint64_t cr2;

	memory_put(first);
	guest_engine_flush(current);
	guest_begin(first, CODE_VA);
	guest_engine_stop(end);
	while (current->regs.rip != end && guest_trapped(&out->error, &cr2) == NO_VECTOR)
		if (step)
			tr_step(current);
		else
			guest_engine_turn(current);
	for (unsigned k = 0; k < 8; k++)
		out->r[k] = *gpr(k);
	out->rip = current->regs.rip;
	out->rflags = current->regs.rflags;
	out->vector = guest_trapped(&out->error, &cr2);
	if (out->vector == NO_VECTOR)
		out->error = 0;
	memory_get(out);
}

/* ---- the comparison ---- */

static void put_code(const uint8_t *code, size_t n)
{
	static const uint8_t leave[7] = {0xea, 0, 0, 0, LEAVE32 >> 24, 0x33, 0};

	memcpy(guest_frame(0), code, n);
	memcpy(guest_frame(0) + n, leave, sizeof(leave));
	guest_engine_written(current, guest_frame(0));
}

static void first_state(struct regs32 *s)
{
	for (unsigned k = 0; k < 8; k++)
		s->r[k] = (uint32_t)(below(&rng, 3) ? rnd(&rng) : below(&rng, 4) - 2);
	s->r[RSI] = DATA_VA + 0x100 + below(&rng, 0x2d00);
	s->r[RDI] = DATA_VA + 0x100 + below(&rng, 0x2d00);
	s->r[RSP] = STACK_VA + 2 * PAGE + 4 * below(&rng, 512);
	s->r[RBP] = STACK_VA + 2 * PAGE + 4 * below(&rng, 512);
	s->rflags = (rnd(&rng) & FLAGS_ARITH) | FLAG_IF | 2;
	s->vector = NO_VECTOR;
	s->error = 0;
	for (unsigned f = 0; f <= LAST_DATA - FIRST_DATA; f++)
		for (unsigned k = 0; k < PAGE; k += 8)
			*(uint64_t *)(s->mem[f] + k) = rnd(&rng);
}

#define SAME(field, mask)                                                                        \
	if (((a->field) ^ (b->field)) & (mask)) {                                                \
		print_message("%s, state %u, %s: " #field " is %lx, not %lx\n", c->text, n, how, \
			      (long)(b->field), (long)(a->field));                               \
		same = false;                                                                    \
	}

static bool compare(const struct case32 *c, unsigned n, const char *how, const struct regs32 *a,
		    const struct regs32 *b)
{
	/* What a fault's frame has of flags that are written again may be anything. */
	const uint64_t flags = b->vector == NO_VECTOR ? (FLAGS_ARITH | FLAG_DF) & ~c->undefined
						      : FLAG_DF;
	bool same = true;

	SAME(vector, -1L);
	for (unsigned k = 0; k < 8; k++)
		SAME(r[k], 0xffffffff);
	SAME(rip, -1L);
	SAME(rflags, flags);
	SAME(error, ~4U); /* of user mode: the monitor's business */
	for (unsigned f = 0; f <= LAST_DATA - FIRST_DATA; f++)
		for (unsigned k = 0; k < PAGE && same; k += 8)
			if (*(uint64_t *)(a->mem[f] + k) != *(uint64_t *)(b->mem[f] + k))
				SAME(mem[f][k], 0);
	for (unsigned f = 0; f <= LAST_DATA - FIRST_DATA; f++)
		if (memcmp(a->mem[f], b->mem[f], PAGE)) {
			print_message("%s, state %u, %s: memory\n", c->text, n, how);
			same = false;
		}
	for (unsigned k = 8; k < 16 && !strstr(c->text, ".code64"); k++)
		same = same && *gpr(k) == k * 0x1111111111UL;
	return same;
}

static void like_the_cpu(bool step)
{
	static struct regs32 first, native, guest;
	unsigned wrong = 0;

	take_signals();
	for (const struct case32 *c = __start_cases32; c < __stop_cases32; c++) {
		const size_t size = c->end - c->start;
		bool same = true;

		put_code(c->start, size);
		for (unsigned n = 0; n < STATES && same; n++) {
			first_state(&first);
			native_case(&first, &native, CODE_VA + size);
			guest_case(&first, &guest, CODE_VA + size, step);
			same = compare(c, n, step ? "stepped" : "translated", &native, &guest);
		}
		wrong += !same;
	}
	assert_int_equal(wrong, 0);
}

static void stepped(void **state)
{
	like_the_cpu(true);
}

static void translated(void **state)
{
	like_the_cpu(false);
}

/* ---- what a host program has not ---- */

/* Base, limit in bytes, and the access and size bits as in a descriptor's upper half. */
static void gdt_set(unsigned n, uint32_t base, uint32_t limit, uint32_t bits)
{
	uint64_t *gdt = frame_ptr(the_domain, GDT_FRAME);

	gdt[n] = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
		 (uint64_t)(bits | (limit & 0xf0000) | (base & 0xff000000)) << 32;
}

#define DATA	   0x40f300U /* writable, 32 bits, ring 3 */
#define DATA_RO	   0x40f100U
#define DATA_DOWN  0x40f700U
#define CODE32	   0x40fb00U
#define CODE16	   0x00fb00U
#define CODE64	   0x20fb00U
#define PAGES	   0x800000U
#define SEL(entry) ((entry) << 3 | 3)

static int run(const uint8_t *code, size_t n, uint32_t *error)
{
	static struct regs32 first, out;

	put_code(code, n);
	first_state(&first);
	first.r[RBX] = 0x10;
	guest_case(&first, &out, CODE_VA + n, false);
	*error = out.error;
	return out.vector;
}

#define RUN(...) run((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), &error)

static void segments(void **state)
{
	uint32_t error;

	take_signals();
	/* mov $SEL(8), %eax; mov %eax, %gs; mov %gs:(%ebx), %eax: at its base */
	gdt_set(8, DATA_VA, 0xfff, DATA);
	assert_int_equal(RUN(0xb8, SEL(8), 0, 0, 0, 0x8e, 0xe8, 0x65, 0x8b, 0x03), NO_VECTOR);
	assert_int_equal(current->regs.rax, *(uint32_t *)(guest_frame(4) + 0x10));
	/* mov %eax, %es; movl $7, %es:0xffc; then one byte behind the limit */
	assert_int_equal(RUN(0xb8, SEL(8), 0, 0, 0, 0x8e, 0xc0, 0x26, 0xc7, 0x05, 0xfc, 0x0f, 0, 0,
			     7, 0, 0, 0),
			 NO_VECTOR);
	assert_int_equal(*(uint32_t *)(guest_frame(4) + 0xffc), 7);
	assert_int_equal(RUN(0xb8, SEL(8), 0, 0, 0, 0x8e, 0xc0, 0x26, 0xc7, 0x05, 0xfd, 0x0f, 0, 0,
			     7, 0, 0, 0),
			 VECTOR_GP);
	/* Read-only. */
	gdt_set(9, 0, 0xfffff, DATA_RO | PAGES);
	assert_int_equal(RUN(0xb8, SEL(9), 0, 0, 0, 0x8e, 0xd8, 0x8b, 0x06, 0x89, 0x06), VECTOR_GP);
	assert_int_equal(current->regs.rip, CODE_VA + 9);
	/* A stack from 64 KiB down to its limit, its pointer of 16 bits: push. */
	gdt_set(10, STACK_VA - 0xc000, 0x7fff, DATA_DOWN & ~0x400000U);
	assert_int_equal(RUN(0xb8, SEL(10), 0, 0, 0, 0x8e, 0xd0, 0xbc, 0, 0xf0, 0xcd, 0xab, 0x53),
			 NO_VECTOR);
	assert_int_equal((uint32_t)current->regs.rsp, 0xabcdeffc);
	assert_int_equal(*(uint32_t *)(guest_frame(10) + 0xffc), 0x10);
	assert_int_equal(RUN(0xb8, SEL(10), 0, 0, 0, 0x8e, 0xd0, 0xbc, 0, 0x70, 0, 0, 0x53),
			 VECTOR_SS);
	/* Not there. */
	gdt_set(11, 0, 0xfffff, (DATA | PAGES) & ~0x8000U);
	assert_int_equal(RUN(0xb8, SEL(11), 0, 0, 0, 0x8e, 0xc0), VECTOR_NP);
	assert_int_equal(error, SEL(11) & ~3);
}

static void code_segments(void **state)
{
	uint32_t error;

	take_signals();
	/* Code with a base, and a limit: ljmp to its offset 12, which is inc %ecx; behind it. */
	gdt_set(12, CODE_VA - 0x1000, 0x1fff, CODE32);
	assert_int_equal(RUN(0xb9, 5, 0, 0, 0, 0xea, 0x0d, 0x10, 0, 0, SEL(12), 0, 0x90, 0x41, 0xea,
			     0x15, 0, 0, CODE_VA >> 24, 0x23, 0),
			 NO_VECTOR);
	assert_int_equal((uint32_t)current->regs.rcx, 6);
	assert_int_equal(RUN(0xea, 0, 0x20, 0, 0, SEL(12), 0), VECTOR_GP);
	assert_int_equal(error, 0);
	/* 16 bits: refused. */
	gdt_set(13, 0, 0xfffff, CODE16 | PAGES);
	assert_int_equal(RUN(0xea, 0, 0, 0, CODE_VA >> 24, SEL(13), 0), VECTOR_GP);
	assert_int_equal(error, SEL(13) & ~3);
	/* So is a guest that comes with such a selector. */
	guest_begin(&(struct regs32){.rflags = 0x202}, CODE_VA);
	current->regs.cs = SEL(13);
	guest_engine_turn(current);
	assert_int_equal(guest_trapped(&error, &(uint64_t){0}), VECTOR_OTHER + 1);
}

static void system_calls(void **state)
{
	uint32_t error;

	take_signals();
	current->kernel_mode = false;
	current->user_cr3_mfn = current->cr3_mfn;
	guest_engine_flush(current);
	assert_int_equal(RUN(0xcd, 0x80), VECTOR_GP); /* guest_soft_interrupt() */
	assert_int_equal(error, 0x80 << 3 | 2);
	step_syscall32 = false;
	assert_int_equal(RUN(0x0f, 0x34), VECTOR_GP); /* guest_exception() knows sysenter */
	assert_int_equal(RUN(0x0f, 0x05), VECTOR_UD);
	step_syscall32 = true;
	assert_int_equal(RUN(0x0f, 0x34), VECTOR_UD);
	assert_int_equal(RUN(0x0f, 0x05), VECTOR_OTHER);
	assert_int_equal(current->regs.rcx, CODE_VA + 2);
	current->kernel_mode = true;
	guest_engine_flush(current);
}

static int setup(void **state)
{
	static const uint8_t jmp[6] = {0xff, 0x25}; /* jmp *0(%rip) */
	static uint8_t stack[65536];
	const stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	const uint64_t to = (uint64_t)native32_back;
	uint8_t *p = mmap((void *)LEAVE32, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == MAP_FAILED || sigaltstack(&ss, NULL))
		return -1;
	memcpy(p, jmp, sizeof(jmp));
	memcpy(p + sizeof(jmp), &to, sizeof(to));
	guest_init(true);
	/* As Linux has them. */
	gdt_set(4, 0, 0xfffff, CODE32 | PAGES);
	gdt_set(5, 0, 0xfffff, DATA | PAGES);
	gdt_set(6, 0, 0xfffff, CODE64 | PAGES);
	current->gdt_mfn[0] = GDT_FRAME;
	current->gdt_entries = GDT_ENTRIES;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stepped),	cmocka_unit_test(translated),
		cmocka_unit_test(segments),	cmocka_unit_test(code_segments),
		cmocka_unit_test(system_calls),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
