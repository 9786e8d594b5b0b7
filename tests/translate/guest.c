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

#define STUCK_TICKS 300000 /* not in the guest: waiting for ever */
#define MAX_TICKS   2000
#define FLAGS_IF    0x202

struct domain *the_domain;
__thread struct vcpu *current;

static struct domain dom;
static struct vcpu vcpus[NR_VCPUS];
static struct frame frames[ALL_FRAMES];
static uint64_t m2p[ALL_FRAMES];
static __thread volatile unsigned ticks;
static __thread volatile bool stepping;
uint64_t kicks;
bool guest_alone = true;

/* The trap that ended the case. */
static __thread struct {
	int vector;
	uint32_t error;
	uint64_t cr2;
} trap;

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
	note(v, VECTOR_PF, error);
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
UNUSED(uint64_t, system_time, (const struct domain *d), 0)
UNUSED(void, timer_check, (struct vcpu * v), )
UNUSED(void, vcpu_park, (struct vcpu * v), )
UNUSED(bool, ldt_map, (struct vcpu * v, unsigned page), false)
UNUSED(bool, pt_write, (struct vcpu * v, uint64_t va), false)
UNUSED(int, signals_thread_init, (struct vcpu * v), -1)
UNUSED(void, debug_stop, (struct vcpu * v, uint32_t event), )
UNUSED(uint32_t, debug_points_of, (uint64_t va, uint64_t n, enum debug_point how), 0)
UNUSED(void, syscall_page, (struct domain * d, uint8_t *page), )

volatile uint32_t debug_points; /* there is no debugger */

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

void guest_init(bool native)
{
	const size_t size = ALL_FRAMES * PAGE_SIZE;

	dom.ram_fd = memfd_create("translate", MFD_CLOEXEC);
	if (dom.ram_fd < 0 || ftruncate(dom.ram_fd, size)) {
		perror("translate: memfd");
		exit(2);
	}
	dom.ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dom.ram_fd, 0);
	if (dom.ram == MAP_FAILED) {
		perror("translate: memory");
		exit(2);
	}
	dom.id = 1;
	dom.nr_vcpus = NR_VCPUS;
	dom.nr_frames = ALL_FRAMES;
	dom.frame = frames;
	dom.m2p = m2p;
	dom.map_clock = 1;
	dom.shutdown = -1;
	dom.vm_assist = 1UL << VMASST_TYPE_writable_pagetables;
	pthread_mutex_init(&dom.lock, NULL);
	the_domain = &dom;
	if (guest_engine_init(&dom)) {
		fprintf(stderr, "translate: the translator cannot start\n");
		exit(2);
	}
	/* The native pages are where the translator's first window would be (windows.c). */
	if (native)
		mmap((void *)(CODE_VA - PAGE), PAGE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	guest_thread_init(0);
	if (native)
		pages_map_native();
}

void guest_thread_init(unsigned id)
{
	struct vcpu *v = &vcpus[id];

	v->d = &dom;
	v->id = id;
	v->kernel_mode = true;
	v->initialised = v->online = true;
	v->info_mfn = INVALID_MFN;
	v->xcr0 = XSTATE_MASK;
	v->thread = pthread_self();
	v->tid = gettid();
	current = v;
	v->cr3_mfn = v->user_cr3_mfn = pages_root();
	pages_init();
	if (guest_engine_thread_init(v)) {
		fprintf(stderr, "translate: the translator's thread cannot start\n");
		exit(2);
	}
	__atomic_store_n(&dom.vcpu[id], v, __ATOMIC_RELEASE);
}

/* ---- one case ---- */

/* Where each register, by its encoding, is in v->regs. */
static uint64_t *gpr(unsigned i)
{
	regs_t *r = &current->regs;
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
			guest_engine_written(current, guest_frame(i));
		}
	}
	if (cold && c->seed % 16 == 0) /* else the TLB is what the case before has left */
		guest_engine_forget(current);
	guest_engine_flush(current); /* what pages_change has asked for */
	for (unsigned i = 0; i < NR_GPR; i++)
		*gpr(i) = s->gpr[i];
	current->regs.rflags = s->rflags | FLAGS_IF;
	current->regs.rip = c->at[0];
	current->regs.cs = SEL_KERNEL_CS;
	current->regs.ss = SEL_KERNEL_SS;
	current->fs_base = s->fs;
	current->gs_base_kernel = current->gs_base_user = s->gs;
	current->kernel_mode = !c->user;
	guest_engine_mode(current);
	current->cr2 = 0;
	trap.vector = NO_VECTOR;
}

static void load_vectors(const struct state *s)
{
	asm volatile("xrstor64 %0" : : "m"(s->xstate), "a"(XSTATE_MASK), "d"(0) : "memory");
}

/* That the case has jumped to where the CPU's ends is its end, too. */
static void end(const struct testcase *c, struct state *out)
{
	memset(out->xstate, 0, sizeof(out->xstate));
	asm volatile("xsave64 %0" : "=m"(out->xstate) : "a"(XSTATE_MASK), "d"(0) : "memory");
	if (trap.vector == VECTOR_PF && current->regs.rip == LEAVE_VA) {
		trap.vector = NO_VECTOR;
		current->regs.rip = c->end;
	}
	for (unsigned i = 0; i < NR_GPR; i++)
		out->gpr[i] = *gpr(i);
	out->rflags = current->regs.rflags;
	out->rip = current->regs.rip;
	out->fs = current->fs_base;
	out->gs = current->kernel_mode ? current->gs_base_kernel : current->gs_base_user;
	out->vector = trap.vector;
	out->error = trap.vector == NO_VECTOR ? 0 : trap.error;
	out->cr2 = trap.vector == NO_VECTOR ? 0 : trap.cr2;
	for (unsigned i = 0; i < NR_FRAMES_USED; i++)
		memcpy(out->mem[i], guest_frame(i), PAGE);
}

bool guest_lower(const uint8_t *insn, unsigned n, bool code32, const uint8_t **code, size_t *size)
{
	regs_t *r = &current->regs;

	memcpy(guest_frame(0), insn, n);
	guest_engine_written(current, guest_frame(0));
	guest_engine_flush(current);
	r->rip = CODE_VA;
	r->cs = code32 ? SEL_USER_CS32 : SEL_KERNEL_CS;
	r->ss = r->ds = r->es = SEL_KERNEL_SS;
	current->kernel_mode = false;
	ticks = 0;
	guest_engine_mode(current);
	guest_engine_stop(CODE_VA + n);
	return guest_engine_lower(current, code, size);
}

/* May the instruction at rip be compared at all? Notes it. */
static bool admit(const struct testcase *c, struct trace *t)
{
	const uint64_t at = current->regs.rip - CODE_VA - va_delta;
	uint8_t insn[15];
	unsigned n = sizeof(insn);
	struct fpu_area area;
	bool ok, stored = false;

	while (n && copy_from_guest(current, insn, current->regs.rip, n))
		n--;
	if (t->n == MAX_STEPS) {
		t->why = "too many instructions";
		return false;
	}
	for (unsigned k = 0; k < n && at + k < 2 * PAGE; k++)
		stored |= insn[k] != c->first->mem[0][at + k];
	t->rip[t->n++] = current->regs.rip;
	fpu_keep(&area);
	ok = filter_insn(current, insn, n, stored, t);
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
	while (current->regs.rip != c->end && trap.vector == NO_VECTOR) {
		const uint32_t undefined = t->undefined;

		ok = admit(c, t);
		if (!ok)
			break;
		tr_step(current);
		if (trap.vector != NO_VECTOR) /* it has not been carried out */
			t->undefined = undefined;
	}
	end(c, out);
	if (ok && end_written(c, out)) {
		t->why = "writes to its own end";
		ok = false;
	}
	return ok;
}

bool guest_translate(const struct testcase *c, struct state *out, bool cold)
{
	begin(c, cold);
	guest_engine_stop(guest_alone ? c->end : 0);
	load_vectors(c->first);
	ticks = 0;
	while (current->regs.rip != c->end && trap.vector == NO_VECTOR && ticks < MAX_TICKS)
		guest_engine_turn(current);
	end(c, out);
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
	if (++ticks > STUCK_TICKS)
		abort();
	if (!stepping) /* which takes longer than a tick from one look for kicks to the next */
		guest_engine_signal(SIGUSR1, info, ctx);
}
