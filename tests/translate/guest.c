/* SPDX-License-Identifier: MIT */
/*
 * A domain made by hand: one vCPU in kernel mode, its page tables and a few pages. What the rest of
 * the monitor would do with a trap is to note it: it ends the case.
 *
 * From guest_step's and guest_translate's XRSTOR to their XSAVE the vector registers are the
 * guest's: this file is compiled for general registers only, like the monitor.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host-driver/providers/process/direct.h"
#include "host-driver/providers/process/translate/translate.h"
#include "host-driver/providers/syscall_page.h"
#include "hypercalls/monitor/mm.h"
#include "tests/translate/dfuzz.h"
#include "tests/translate/filter.h"

#define NR_FRAMES  64
#define FIRST_USED 8 /* frames of the pages, from PVDOM_MFN_RAM; the tables come before */
#define L4	   0
#define L3	   1
#define L2	   2
#define L1_CODE	   3 /* then of the data, of the stack, of the page far away */
#define MAX_TICKS  2000
#define FLAGS_IF   0x202

struct domain *the_domain;
__thread struct vcpu *current;

static struct domain dom;
static struct vcpu vcpu;
static struct frame frames[PVDOM_MFN_RAM + NR_FRAMES];
static uint64_t m2p[PVDOM_MFN_RAM + NR_FRAMES];
static volatile unsigned ticks;
static volatile bool stepping;
uint64_t kicks;

/* The trap that ended the case. */
static struct {
	int vector;
	uint32_t error;
	uint64_t cr2;
} trap;

static const struct page {
	uint64_t va;
	uint8_t frame; /* of the NR_FRAMES_USED */
	uint8_t prot;
} pages[] = {
	{CODE_VA, 0, PROT_READ | PROT_WRITE | PROT_EXEC},
	{CODE_VA + PAGE, 1, PROT_READ | PROT_WRITE | PROT_EXEC},
	{CODE_VA + 2 * PAGE, 2, PROT_READ | PROT_EXEC},
	{CODE_VA + 3 * PAGE, 3, PROT_READ | PROT_WRITE},
	{DATA_VA, 4, PROT_READ | PROT_WRITE},
	{DATA_VA + PAGE, 5, PROT_READ | PROT_WRITE},
	{DATA_VA + 2 * PAGE, 6, PROT_READ | PROT_WRITE},
	{DATA_VA + 3 * PAGE, 7, PROT_READ},
	{DATA_VA + 5 * PAGE, 8, PROT_READ | PROT_WRITE},
	{DATA_VA + 6 * PAGE, 4, PROT_READ | PROT_WRITE},
	{DATA_VA + 7 * PAGE, 1, PROT_READ | PROT_WRITE},
	{FAR_VA, 11, PROT_READ | PROT_WRITE},
	{STACK_VA + PAGE, 9, PROT_READ | PROT_WRITE},
	{STACK_VA + 2 * PAGE, 10, PROT_READ | PROT_WRITE},
};

/* Neighbours in the guest's address space are none in memory: what crosses a page must notice. */
static uint64_t mfn_of(unsigned frame)
{
	return PVDOM_MFN_RAM + FIRST_USED + frame * 5 % NR_FRAMES_USED * 2;
}

uint8_t *guest_frame(unsigned frame)
{
	return dom.ram + mfn_of(frame) * PAGE;
}

/* ---- what the translator calls of the monitor ---- */

static void note(struct vcpu *v, unsigned vector, uint64_t error)
{
	if (trap.vector != NO_VECTOR)
		return;
	trap.vector = vector;
	trap.error = error;
	trap.cr2 = v->cr2;
}

int guest_trapped(uint32_t *error, uint64_t *cr2)
{
	*error = trap.error;
	*cr2 = trap.cr2;
	return trap.vector;
}

void guest_trap_clear(void)
{
	trap.vector = NO_VECTOR;
}

void trap_deliver(struct vcpu *v, unsigned vector, int64_t error)
{
	note(v, vector, error < 0 ? 0 : error);
}

void guest_exception(struct vcpu *v, unsigned vector, uint64_t error)
{
	note(v, vector, error);
}

void guest_page_fault(struct vcpu *v, uint64_t va, uint64_t error)
{
	v->cr2 = va;
	note(v, 14, error);
}

void guest_soft_interrupt(struct vcpu *v, unsigned vector)
{
	note(v, 13, vector << 3 | 2);
}

void syscall_deliver(struct vcpu *v)
{
	note(v, 256, 0);
}

void syscall32_deliver(struct vcpu *v)
{
	note(v, 256, 0);
}

void sysenter_deliver(struct vcpu *v)
{
	note(v, 256, 0);
}

void failsafe_deliver(struct vcpu *v)
{
	note(v, 257, 0);
}

void event_deliver(struct vcpu *v)
{
}

/* What no case gets to: the filter keeps it away, or the domain is not one that has it. */
#define UNUSED(type, name, args, ret)                                      \
	type name args                                                     \
	{                                                                  \
		fprintf(stderr, "translate: %s() was called\n", __func__); \
		abort();                                                   \
		return ret;                                                \
	}
UNUSED(long, hypercall,
       (struct vcpu * v, uint64_t nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
	uint64_t a5),
       -1)
UNUSED(void, guest_cpuid, (const struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t r[4]), )
UNUSED(void, timer_check, (struct vcpu * v), )
UNUSED(void, vcpu_park, (struct vcpu * v), )
UNUSED(bool, ldt_map, (struct vcpu * v, unsigned page), false)
UNUSED(bool, pt_write, (struct vcpu * v, uint64_t va), false)
UNUSED(int, signals_thread_init, (struct vcpu * v), -1)
UNUSED(void, syscall_page, (struct domain * d, uint8_t *page), )

bool pt_write_wanted(const struct vcpu *v, uint64_t error)
{
	return false;
}

void domain_crash(struct vcpu *v, const char *why)
{
	fprintf(stderr, "translate: domain_crash: %s\n", why);
	abort();
}

/* ---- the domain ---- */

static void entry(unsigned table, unsigned index, uint64_t mfn, uint64_t flags)
{
	uint64_t *t = (uint64_t *)frame_ptr(&dom, PVDOM_MFN_RAM + table);

	t[index] = mfn << PAGE_SHIFT | flags;
}

static void tables_init(void)
{
	const uint64_t all = PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D;
	static const uint64_t base[] = {CODE_VA, DATA_VA, STACK_VA, FAR_VA};

	entry(L4, 0, PVDOM_MFN_RAM + L3, all);
	entry(L3, CODE_VA >> 30 & 511, PVDOM_MFN_RAM + L2, all);
	if (va_delta) { /* the same pages again */
		entry(L4, 511, PVDOM_MFN_RAM + L3, all);
		entry(L3, 511, PVDOM_MFN_RAM + L2, all);
	}
	for (unsigned i = 0; i < 4; i++)
		entry(L2, base[i] >> 21 & 511, PVDOM_MFN_RAM + L1_CODE + i, all);
	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		const struct page *p = &pages[i];
		const unsigned area = p->va == FAR_VA ? 3 : (p->va - CODE_VA) >> 28;

		entry(L1_CODE + area, p->va >> 12 & 511, mfn_of(p->frame),
		      PTE_P | PTE_US | (p->prot & PROT_WRITE ? PTE_RW : 0) |
			      (p->prot & PROT_EXEC ? 0 : PTE_NX));
	}
}

static void frames_init(void)
{
	static const enum frame_type type[] = {FT_L4, FT_L3, FT_L2, FT_L1, FT_L1, FT_L1, FT_L1};

	for (unsigned i = 0; i < NR_FRAMES; i++) {
		frames[PVDOM_MFN_RAM + i] = (struct frame){
			.kind = FRAME_RAM,
			.type = i < 7 ? type[i] : FT_WRITABLE,
			.type_count = 1,
			.ref_count = 1,
			.va_hint = VA_HINT_NONE,
		};
		m2p[PVDOM_MFN_RAM + i] = i;
	}
}

static void map_native(void)
{
	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		const struct page *p = &pages[i];

		if (mmap((void *)p->va, PAGE, p->prot,
			 MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, dom.ram_fd,
			 mfn_of(p->frame) * PAGE) == MAP_FAILED) {
			perror("translate: the guest's addresses");
			exit(2);
		}
	}
}

void guest_init(void)
{
	const size_t size = (PVDOM_MFN_RAM + NR_FRAMES) * PAGE_SIZE;

	dom.ram_fd = memfd_create("translate", MFD_CLOEXEC);
	if (dom.ram_fd < 0 || ftruncate(dom.ram_fd, size)) {
		perror("translate: memfd");
		exit(2);
	}
	dom.ram =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, dom.ram_fd, 0);
	if (dom.ram == MAP_FAILED) {
		perror("translate: memory");
		exit(2);
	}
	dom.id = 1;
	dom.nr_vcpus = 1;
	dom.vcpu[0] = &vcpu;
	dom.nr_frames = PVDOM_MFN_RAM + NR_FRAMES;
	dom.frame = frames;
	dom.m2p = m2p;
	dom.map_clock = 1;
	dom.shutdown = -1;
	dom.vm_assist = 1UL << VMASST_TYPE_writable_pagetables;
	pthread_mutex_init(&dom.lock, NULL);
	vcpu.d = &dom;
	vcpu.kernel_mode = true;
	vcpu.initialised = vcpu.online = true;
	vcpu.cr3_mfn = vcpu.user_cr3_mfn = PVDOM_MFN_RAM + L4;
	vcpu.info_mfn = INVALID_MFN;
	vcpu.xcr0 = XSTATE_MASK;
	vcpu.thread = pthread_self();
	vcpu.tid = gettid();
	the_domain = &dom;
	current = &vcpu;
	frames_init();
	tables_init();
	map_native();
	if (guest_engine_init(&vcpu)) {
		fprintf(stderr, "translate: the translator cannot start\n");
		exit(2);
	}
}

/* ---- one case ---- */

/* Where each register, by its encoding, is in v->regs. */
static uint64_t *gpr(unsigned i)
{
	regs_t *r = &vcpu.regs;
	uint64_t *const where[NR_GPR] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp,
					 &r->rsi, &r->rdi, &r->r8,  &r->r9,  &r->r10, &r->r11,
					 &r->r12, &r->r13, &r->r14, &r->r15};

	return where[i];
}

/*
 * `cold`: nothing of the case is translated yet; else what was is, as far as its pages are again
 * what they were.
 */
static void begin(const struct testcase *c, bool cold)
{
	const struct state *s = c->first;

	for (unsigned i = 0; i < NR_FRAMES_USED; i++) {
		bool same = true;

		for (unsigned k = 0; k < PAGE && same && !cold; k += 8)
			same = *(uint64_t *)(guest_frame(i) + k) == *(uint64_t *)(s->mem[i] + k);
		if (!same || cold) {
			memcpy(guest_frame(i), s->mem[i], PAGE);
			guest_engine_written(&vcpu, guest_frame(i));
		}
	}
	if (cold && c->seed % 8 == 0) /* else the TLB is what the case before has left */
		guest_engine_flush(&vcpu);
	for (unsigned i = 0; i < NR_GPR; i++)
		*gpr(i) = s->gpr[i];
	vcpu.regs.rflags = s->rflags | FLAGS_IF;
	vcpu.regs.rip = c->at[0];
	vcpu.regs.cs = SEL_KERNEL_CS;
	vcpu.regs.ss = SEL_KERNEL_SS;
	vcpu.fs_base = s->fs;
	vcpu.gs_base_kernel = vcpu.gs_base_user = s->gs;
	vcpu.kernel_mode = !c->user;
	guest_engine_mode(&vcpu);
	vcpu.cr2 = 0;
	trap.vector = NO_VECTOR;
}

static void load_vectors(const struct state *s)
{
	asm volatile("xrstor64 %0" : : "m"(s->xstate), "a"(XSTATE_MASK), "d"(0) : "memory");
}

static void end(struct state *out)
{
	memset(out->xstate, 0, sizeof(out->xstate));
	asm volatile("xsave64 %0" : "=m"(out->xstate) : "a"(XSTATE_MASK), "d"(0) : "memory");
	for (unsigned i = 0; i < NR_GPR; i++)
		out->gpr[i] = *gpr(i);
	out->rflags = vcpu.regs.rflags;
	out->rip = vcpu.regs.rip;
	out->fs = vcpu.fs_base;
	out->gs = vcpu.kernel_mode ? vcpu.gs_base_kernel : vcpu.gs_base_user;
	out->vector = trap.vector;
	out->error = trap.vector == NO_VECTOR ? 0 : trap.error;
	out->cr2 = trap.vector == NO_VECTOR ? 0 : trap.cr2;
	for (unsigned i = 0; i < NR_FRAMES_USED; i++)
		memcpy(out->mem[i], guest_frame(i), PAGE);
}

/* May the instruction at rip be compared at all? Notes it. */
static bool admit(const struct testcase *c, struct trace *t)
{
	const uint64_t at = vcpu.regs.rip - CODE_VA - va_delta;
	uint8_t insn[15];
	unsigned n = sizeof(insn);
	struct fpu_area area;
	bool ok, stored = false;

	while (n && copy_from_guest(&vcpu, insn, vcpu.regs.rip, n))
		n--;
	if (t->n == MAX_STEPS) {
		t->why = "too many instructions";
		return false;
	}
	for (unsigned k = 0; k < n && at + k < 2 * PAGE; k++)
		stored |= insn[k] != c->first->mem[0][at + k];
	t->rip[t->n++] = vcpu.regs.rip;
	fpu_keep(&area);
	ok = filter_insn(&vcpu, insn, n, stored, t);
	fpu_back(&area);
	return ok;
}

/* The jump there is the harness's. */
static bool end_written(const struct testcase *c, const struct state *out)
{
	const uint64_t at = c->end - CODE_VA - va_delta;

	for (unsigned k = 0; k < END_LEN; k++)
		if (out->mem[0][at + k] != c->first->mem[0][at + k])
			return true;
	return false;
}

bool guest_step(const struct testcase *c, struct state *out, struct trace *t)
{
	bool ok = true;

	t->n = 0;
	t->undefined = 0;
	t->why = NULL;
	begin(c, true);
	load_vectors(c->first);
	while (vcpu.regs.rip != c->end && trap.vector == NO_VECTOR) {
		const uint32_t undefined = t->undefined;

		ok = admit(c, t);
		if (!ok)
			break;
		tr_step(&vcpu);
		if (trap.vector != NO_VECTOR) /* it has not been carried out */
			t->undefined = undefined;
	}
	end(out);
	if (ok && end_written(c, out)) {
		t->why = "writes to its own end";
		ok = false;
	}
	return ok;
}

bool guest_translate(const struct testcase *c, struct state *out, bool cold)
{
	begin(c, cold);
	guest_engine_stop(c->end);
	load_vectors(c->first);
	ticks = 0;
	while (vcpu.regs.rip != c->end && trap.vector == NO_VECTOR && ticks < MAX_TICKS)
		guest_engine_turn(&vcpu);
	end(out);
	return ticks < MAX_TICKS;
}

bool guest_kicked(const struct testcase *c, struct state *out, unsigned kick)
{
	bool ended;

	guest_engine_kick(kick);
	stepping = true;
	ended = guest_translate(c, out, false);
	stepping = false;
	kicks += guest_engine_kick(0);
	return ended;
}

void guest_signal(int sig, void *info, void *ctx)
{
	guest_engine_signal(sig, info, ctx);
}

void guest_tick(void *info, void *ctx)
{
	ticks++;
	if (!stepping) /* which takes longer than a tick from one look for kicks to the next */
		guest_engine_signal(SIGUSR1, info, ctx);
}
