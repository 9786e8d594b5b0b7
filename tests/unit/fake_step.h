/* SPDX-License-Identifier: MIT */
/*
 * A small guest for test_step.c: twelve pages, of which some are not there, and what the monitor
 * does with its exceptions, noted. Its memory is mapped twice: for tr_step() in another order, so
 * that pages that follow each other do not in the monitor; and where the guest believes it to be,
 * so that the CPU can run the same instruction.
 */
#ifndef PAVANE_FAKE_STEP_H
#define PAVANE_FAKE_STEP_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "host-driver/providers/process/translate/step.h"
#include "hypercalls/monitor/mm.h"

#define BASE	0x10000000UL
#define PAGES	12
#define P(n)	(BASE + (n)*PAGE_SIZE)
#define CODE_AT (P(0) + 0x100)

enum right { CODE_PAGE, NOTHING, READ_WRITE, READ_ONLY };

static const enum right rights[PAGES] = {
	CODE_PAGE,  CODE_PAGE, NOTHING, READ_WRITE, READ_WRITE, NOTHING,
	READ_WRITE, READ_ONLY, NOTHING, READ_WRITE, READ_WRITE, NOTHING,
};

__thread struct tr tr;
bool tr_fences;
static uint8_t *ram;
static struct domain dom;
static struct vcpu vcpu;
static uint8_t descriptors[PAGE_SIZE] __attribute__((aligned(4096))); /* "frame" 7 */

/* What the last instruction led to. */
static struct {
	int vector; /* -1: nothing; PF with cr2 and how */
	uint64_t error, cr2, rip;
	enum access how;
	int soft;	   /* int n, or -1 */
	unsigned syscalls; /* to the guest's kernel */
	uint64_t hypercall;
	unsigned segments; /* loads of bases */
	bool trap_follows; /* what tr_step() said */
} seen;

static uint8_t *page_of(uint64_t va)
{
	const uint64_t n = (va - BASE) / PAGE_SIZE;

	if (va < BASE || n >= PAGES || rights[n] == NOTHING)
		return NULL;
	return ram + (PAGES - 1 - n) * PAGE_SIZE;
}

/* Whatever the guest may do there. */
static uint8_t *at(uint64_t va)
{
	return page_of(va) + (va & ~PAGE_MASK);
}

uint8_t *tr_memory(struct vcpu *v, uint64_t va, enum access how)
{
	uint8_t *p = page_of(va);

	if (!p || (how == ACCESS_WRITE && rights[(va - BASE) / PAGE_SIZE] == READ_ONLY) ||
	    (how == ACCESS_FETCH && rights[(va - BASE) / PAGE_SIZE] != CODE_PAGE))
		return NULL;
	return p + (va & ~PAGE_MASK);
}

void tr_page_fault(struct vcpu *v, uint64_t va, enum access how)
{
	seen.vector = VECTOR_PF;
	seen.cr2 = va;
	seen.how = how;
	seen.rip = v->regs.rip;
}

void guest_exception(struct vcpu *v, unsigned vector, uint64_t error)
{
	seen.vector = vector;
	seen.error = error;
	seen.rip = v->regs.rip;
}

void guest_page_fault(struct vcpu *v, uint64_t va, uint64_t error)
{
	tr_page_fault(v, va, ACCESS_READ);
}

volatile uint32_t debug_points; /* those of a debugger: none */

uint32_t debug_points_of(uint64_t va, uint64_t n, enum debug_point how)
{
	return 0;
}

void debug_stop(struct vcpu *v, uint32_t event)
{
}

void mmu_alone_begin(struct vcpu *v)
{
}

void mmu_alone_end(void)
{
}

void guest_soft_interrupt(struct vcpu *v, unsigned vector)
{
	seen.soft = vector;
}

void trap_deliver(struct vcpu *v, unsigned vector, int64_t error)
{
	guest_exception(v, vector, error < 0 ? 0 : error);
}

void syscall32_deliver(struct vcpu *v)
{
	seen.syscalls++;
}

void syscall_deliver(struct vcpu *v)
{
	seen.syscalls++;
}

long hypercall(struct vcpu *v, uint64_t nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
	       uint64_t a5)
{
	seen.hypercall = nr;
	return nr == __HYPERVISOR_iret ? 5 : (long)(a1 + a2 + a3 + a4 + a5);
}

void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	for (unsigned k = 0; k < 4; k++)
		r[k] = leaf + sub + k;
}

void *frame_ptr(struct domain *d, uint64_t mfn)
{
	return mfn == 7 ? descriptors : NULL;
}

bool ldt_map(struct vcpu *v, unsigned page)
{
	v->ldt_mfn[page] = page ? 0 : 7;
	return !page;
}

static void fake_segments(struct vcpu *v)
{
	seen.segments++;
}

static const struct provider fake_provider = {.name = "fake", .load_segments = fake_segments};

/* ---- the CPU's own opinion ---- */

static struct native native;
static bool running_natively;
static uint64_t native_cr2;

static void native_fault(greg_t *g)
{
	static const uint8_t greg[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
					 REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
					 REG_R12, REG_R13, REG_R14, REG_R15};

	for (unsigned k = 0; k < 16; k++)
		native.r[k] = g[greg[k]];
	native.rflags = g[REG_EFL];
	native.vector = g[REG_TRAPNO];
	native.error = g[REG_ERR];
	native_cr2 = g[REG_CR2];
	g[REG_RIP] = (greg_t)step_faulted;
	g[REG_RSP] = (greg_t)step_running->host_rsp;
}

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;

	if (running_natively)
		native_fault(g);
	else if (!tr_step_fault(g[REG_TRAPNO], g[REG_ERR], g[REG_CR2], ctx))
		signal(sig, SIG_DFL); /* the test's own */
}

/* In each test: cmocka has handlers of its own around them. */
static void fake_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK, .sa_sigaction = on_signal};

	for (unsigned k = 0; k < sizeof(signals) / sizeof(signals[0]); k++)
		sigaction(signals[k], &sa, NULL);
}

static void fake_init(void)
{
	static const int prot[] = {PROT_READ | PROT_WRITE | PROT_EXEC, PROT_NONE,
				   PROT_READ | PROT_WRITE, PROT_READ};
	const int fd = memfd_create("guest", 0);
	static uint8_t stack[65536];
	stack_t ss = {.ss_size = sizeof(stack), .ss_sp = stack};

	assert_false(ftruncate(fd, PAGES * PAGE_SIZE));
	ram = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(ram, MAP_FAILED);
	for (unsigned n = 0; n < PAGES; n++)
		assert_ptr_equal(mmap((void *)P(n), PAGE_SIZE, prot[rights[n]],
				      MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
				      (PAGES - 1 - n) * PAGE_SIZE),
				 (void *)P(n));
	close(fd);
	sigaltstack(&ss, NULL);
	dom.provider = &fake_provider;
	vcpu.d = &dom;
}

#endif
