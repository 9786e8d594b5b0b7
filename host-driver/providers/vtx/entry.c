/* SPDX-License-Identifier: MIT */
/*
 * What the switcher calls, on the monitor's stack with interrupts off: a system call, an
 * exception or an interrupt of ring 3. Compiled without vector registers, which are the guest's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "host-driver/libpavane/pavane.h"
#include "host-driver/providers/vtx/vtx.h"
#include "hypercalls/monitor/mm.h"

#define DR7_ENABLED 0xff
#define LDT_BYTES   (16 * PAGE_SIZE)

#define MAX_NO_MEMORY 1000 /* times in a row that the host refuses the same page */

static bool canonical(uint64_t va)
{
	return (int64_t)(va << 16) >> 16 == (int64_t)va;
}

static void set_ts(struct vtx_state *s, bool ts)
{
	uint64_t cr0;

	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	cr0 |= CR0_AM; /* the guest's AC counts; no ring but its own knows of it */
	asm volatile("mov %0, %%cr0" : : "r"(ts ? cr0 | CR0_TS : cr0 & ~CR0_TS) : "memory");
	s->ts = ts;
}

static void segments_save(struct vcpu *v)
{
	regs_t *r = &v->regs;

	asm("mov %%ds, %0" : "=m"(r->ds));
	asm("mov %%es, %0" : "=m"(r->es));
	asm("mov %%fs, %0" : "=m"(r->fs));
	asm("mov %%gs, %0" : "=m"(r->gs));
	v->d->provider->save_segments(v);
}

/*
 * Loading a selector loads a base as well. The descriptors' pages may be others since the monitor's
 * root last showed them.
 */
static void segments_load(struct vcpu *v)
{
	int failed;

	asm volatile("mov %0, %%cr3"
		     :
		     : "r"(state_of(v)->monitor_cr3 & ~state_of(v)->keep)
		     : "memory");
	failed = vtx_load_selectors(&v->regs);

	v->d->provider->load_segments(v);
	if (failed)
		failsafe_deliver(v);
}

/* What a vCPU owes others before it may run guest code again. */
static void work(struct vcpu *v)
{
	timer_check(v);
	if (vcpu_must_park(v)) {
		segments_save(v);
		vcpu_park(v);
		segments_load(v); /* it may have come back with another context */
	}
	event_deliver(v);
}

/* Port breakpoints are not for the CPU: no port is. */
static void debug_load(const struct vcpu *v, struct vtx_state *s)
{
	const uint64_t *dr = v->debugreg;
	uint64_t dr7 = dr[7];

	for (unsigned i = 0; i < 4; i++)
		if ((dr7 >> (16 + 4 * i) & 3) == 2)
			dr7 &= ~(3UL << (2 * i));
	s->debug = !!(dr7 & DR7_ENABLED);
	asm volatile("mov %0, %%dr7" : : "r"(0UL));
	asm volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3"
		     :
		     : "r"(dr[0]), "r"(dr[1]), "r"(dr[2]), "r"(dr[3]));
	if (s->debug)
		asm volatile("mov %0, %%dr7" : : "r"(dr7));
}

static uint64_t debug_status(void)
{
	uint64_t dr6;

	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	asm volatile("mov %0, %%dr6" : : "r"((uint64_t)DR6_NONE));
	return dr6;
}

static void tables_load(const struct vcpu *v, struct vtx_state *s)
{
	const uint16_t ldt = v->ldt_entries ? SEL_LDT : 0;

	s->dirty = v->stepping; /* fast.S knows nothing of it */
	asm volatile("lldt %0" : : "r"(ldt));
	if (s->ts != v->fpu_ts)
		set_ts(s, v->fpu_ts);
	if (s->debug || v->debugreg[7] & DR7_ENABLED)
		debug_load(v, s);
}

/* True: sysret leaves the same as iret, and cannot fault. */
static bool leave(struct vcpu *v)
{
	struct vtx_state *s = state_of(v);
	regs_t *r = &v->regs;

	s->entries++;
	if (__builtin_expect(s->dirty, 0))
		tables_load(v, s);
	if (__builtin_expect(r->cs == SEL_GUEST_CS && r->ss == SEL_GUEST_SS && canonical(r->rip),
			     1))
		return r->rcx == r->rip && r->r11 == r->rflags &&
		       !(r->rflags & (FLAG_TF | FLAG_RF));
	r->cs |= 3; /* ring 3, whatever went wrong before */
	r->ss |= 3;
	s->before = *r;
	return false;
}

static bool finish(struct vcpu *v)
{
	if (event_deliverable(v) || nmi_deliverable(v))
		event_deliver(v);
	while (__builtin_expect(vcpu_must_park(v), 0))
		work(v);
	return leave(v);
}

void vtx_begin(struct vcpu *v)
{
	set_ts(state_of(v), false);
	segments_load(v);
	work(v);
	finish(v);
}

bool vtx_syscall(struct vcpu *v)
{
	regs_t *r = &v->regs;
	uint64_t nr = r->rax;
	long ret;

	if (!v->kernel_mode) {
		syscall_deliver(v);
		return finish(v);
	}
	ret = hypercall(v, nr, r->rdi, r->rsi, r->rdx, r->r10, r->r8);
	if (nr != __HYPERVISOR_iret)
		r->rax = ret;
	return finish(v);
}

/* The tables allow it, but the host would not give the page: it may be on its way (lend.c). */
static void no_memory(struct vcpu *v, struct vtx_state *s, uint64_t va)
{
	pthread_mutex_lock(&v->d->lock);
	pthread_mutex_unlock(&v->d->lock);
	if (s->fault_va != va)
		s->fault_nr = 0;
	s->fault_va = va;
	if (++s->fault_nr > MAX_NO_MEMORY)
		domain_crash(v, "the host has no memory for a page of the guest's");
}

/* An instruction to carry out, perhaps, by a decoder that uses vector registers. */
static void exception(struct vcpu *v, struct vtx_state *s, unsigned vector, uint64_t error)
{
	uint8_t area[2688 + 64], *fpu = (uint8_t *)(((uintptr_t)area + 63) & -64UL);

	if (s->ts)
		set_ts(s, false);
	memset(fpu + 512, 0, 64);
	asm volatile("xsave64 (%0)" : : "r"(fpu), "a"(0xff), "d"(0) : "memory");
	if (vector == VECTOR_PF)
		guest_page_fault(v, s->cr2, error);
	else
		guest_exception(v, vector, error);
	asm volatile("xrstor64 (%0)" : : "r"(fpu), "a"(0xff), "d"(0) : "memory");
	s->dirty = 1; /* CR0.TS again */
}

/* A page of v's LDT that is used for the first time, if va is in one: true, it is there now. */
static bool ldt_fault(struct vcpu *v, uint64_t va)
{
	const uint64_t ldt = va - (area_of(v) + AREA_LDT);
	bool done;

	if (ldt >= LDT_BYTES)
		return false;
	pthread_mutex_lock(&v->d->lock);
	done = ldt_map(v, ldt / PAGE_SIZE);
	pthread_mutex_unlock(&v->d->lock);
	return done;
}

static void page_fault(struct vcpu *v, struct vtx_state *s, uint64_t va, uint64_t error)
{
	const uint64_t ldt = va - (area_of(v) + AREA_LDT);

	if (error & PV_FAULT_HOST) {
		no_memory(v, s, va);
		return;
	}
	if (ldt < LDT_BYTES && !(error & PF_PRESENT)) {
		if (ldt_fault(v, va))
			return;
		va = v->ldt_base + ldt;
	}
	if (pt_write_wanted(v, error))
		exception(v, s, VECTOR_PF, error);
	else
		guest_page_fault(v, va, error & 0xff);
}

bool vtx_trap(struct vcpu *v)
{
	struct vtx_state *s = state_of(v);
	const unsigned vector = v->regs.entry_vector;
	const uint64_t error = v->regs.error_code;

	switch (vector) {
	case VECTOR_PF: page_fault(v, s, s->cr2, error); break;
	case VECTOR_TIMER:
		v->timer_armed = 0;
		work(v);
		break;
	case VECTOR_KICK: work(v); break;
	case VECTOR_INT80:
		v->regs.rip -= 2; /* after the instruction, unlike a fault */
		guest_soft_interrupt(v, VECTOR_INT80);
		break;
	case VECTOR_DB: guest_exception(v, vector, debug_status()); break;
	case 6:
	case 13: exception(v, s, vector, error); break;
	default: guest_exception(v, vector, error);
	}
	return finish(v);
}

/* iret to the guest faulted: its selectors are at fault, or a page of its LDT is not there yet. */
bool vtx_fault(struct vcpu *v, unsigned vector, uint64_t error)
{
	struct vtx_state *s = state_of(v);
	uint64_t cr2;

	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	v->regs = s->before;
	if (vector == VECTOR_PF && ldt_fault(v, cr2))
		return finish(v);
	segments_save(v);
	failsafe_deliver(v);
	return finish(v);
}

/* ---- exceptions of the monitor's own, from libpavane ---- */

static void die(const struct pv_frame *f)
{
	char line[160];
	const int n = snprintf(
		line, sizeof(line), "pvdom %d: exception %lu in the monitor at %lx, address %lx\n",
		the_domain ? the_domain->id : 0, f->vector, f->rip, pv_fault_address());

	if (write(2, line, n) < 0)
		_exit(1);
	abort();
}

static bool loads_selectors(const struct pv_frame *f)
{
	return (char *)f->rip >= (char *)vtx_load_selectors &&
	       (char *)f->rip < vtx_load_selectors_end;
}

static void on_selector(struct pv_frame *f)
{
	if (!loads_selectors(f))
		die(f);
	f->rip = (uint64_t)vtx_load_selectors_failed;
}

/* A page of the LDT; or a frame that another thread is moving (lend.c): again, until it may. */
static void on_page_fault(struct pv_frame *f)
{
	const uint64_t va = pv_fault_address(), ram = (uint64_t)the_domain->ram;

	if (loads_selectors(f)) {
		if (!ldt_fault(current, va))
			on_selector(f);
		return;
	}
	if (va < ram + PVDOM_MFN_RAM * PAGE_SIZE || va >= ram + the_domain->nr_frames * PAGE_SIZE)
		die(f);
}

static void on_interrupt(struct pv_frame *f)
{
}

void vtx_monitor_faults(void)
{
	pv_on(11, on_selector, PV_NO_FPU);
	pv_on(12, on_selector, PV_NO_FPU);
	pv_on(PV_VECTOR_PROTECTION, on_selector, PV_NO_FPU);
	pv_on(PV_VECTOR_PAGE_FAULT, on_page_fault, PV_NO_FPU);
	/* Before the first guest instruction; later the monitor's interrupts are off. */
	pv_on(VECTOR_KICK, on_interrupt, PV_NO_FPU);
	pv_on(VECTOR_TIMER, on_interrupt, PV_NO_FPU);
}
