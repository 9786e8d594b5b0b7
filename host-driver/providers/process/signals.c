/* SPDX-License-Identifier: MIT */
/*
 * Host signals are this provider's exceptions and interrupts.
 *
 * SIGSEGV/SIGBUS/SIGILL/SIGFPE/SIGTRAP in guest code become the guest's traps, or are carried
 * out (page not mirrored yet, privileged instruction); SIGSYS is a `syscall` of the guest's own
 * (Syscall User Dispatch); SIGUSR1 is a kick, SIGUSR2 the vCPU's timer.
 *
 * Kicks are blocked while a synchronous one is handled, so they arrive in guest context right
 * after it; while the monitor runs they only leave a mark that entry.S looks at.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "host-driver/providers/process/direct.h"
#include "host-driver/providers/process/translate/block.h"

/* #PF error code bits (Intel SDM vol. 3, 4.7). */

static const struct {
	int greg;
	unsigned offset;
} reg_map[] = {
	{REG_R8, R_R8},	  {REG_R9, R_R9},   {REG_R10, R_R10},	 {REG_R11, R_R11}, {REG_R12, R_R12},
	{REG_R13, R_R13}, {REG_R14, R_R14}, {REG_R15, R_R15},	 {REG_RDI, R_RDI}, {REG_RSI, R_RSI},
	{REG_RBP, R_RBP}, {REG_RBX, R_RBX}, {REG_RDX, R_RDX},	 {REG_RAX, R_RAX}, {REG_RCX, R_RCX},
	{REG_RSP, R_RSP}, {REG_RIP, R_RIP}, {REG_EFL, R_RFLAGS},
};

static void regs_from_host(struct vcpu *v, const greg_t *g)
{
	for (unsigned i = 0; i < sizeof(reg_map) / sizeof(reg_map[0]); i++)
		*(uint64_t *)((uint8_t *)v + reg_map[i].offset) = g[reg_map[i].greg];
	v->regs.cs = SEL_KERNEL_CS;
	v->regs.ss = SEL_KERNEL_SS;
}

static void regs_to_host(const struct vcpu *v, greg_t *g)
{
	for (unsigned i = 0; i < sizeof(reg_map) / sizeof(reg_map[0]); i++)
		g[reg_map[i].greg] = *(const uint64_t *)((const uint8_t *)v + reg_map[i].offset);
}

static bool in_guest(uint64_t rip)
{
	return rip < GUEST_HI || rip >= 1UL << 47;
}

static void page_fault(struct vcpu *v, uint64_t va, uint64_t error)
{
	bool done, present;

	if (va >= GUEST_LO && va < GUEST_HI) {
		pthread_mutex_lock(&v->d->lock);
		done = mirror_fault(v, va, error & PF_WRITE, error & PF_FETCH);
		present = walk(v, va) & PTE_P;
		pthread_mutex_unlock(&v->d->lock);
		if (done)
			return;
	} else {
		present = false;
	}
	/* P is the guest's, not the mirror's. */
	guest_page_fault(v, va, (error & (PF_WRITE | PF_FETCH)) | (present ? PF_PRESENT : 0));
}

static void exception(struct vcpu *v, unsigned vector, uint64_t error, uint64_t cr2)
{
	if (vector == VECTOR_PF)
		page_fault(v, cr2, error);
	else
		guest_exception(v, vector, vector == VECTOR_DB ? DR6_BS : error);
}

/* A fault of the monitor's own: nothing to save, say where and die with the signal. */
static void monitor_fault(int sig, const greg_t *g)
{
	fprintf(stderr, "pvdom %d: signal %d in the monitor at %p, address %p, rsp %p\n",
		the_domain ? the_domain->id : 0, sig, (void *)g[REG_RIP], (void *)g[REG_CR2],
		(void *)g[REG_RSP]);
	signal(sig, SIG_DFL);
	raise(sig);
}

/*
 * entry.S reads the return address the guest has just pushed; another vCPU may have emptied the
 * mirror in between. Map it again and retry; a guest without such a page is not worth more.
 */
static bool entry_fault(struct vcpu *v, const greg_t *g)
{
	bool done;

	if ((char *)g[REG_RIP] < direct_entry || (char *)g[REG_RIP] >= direct_entry_saved ||
	    (uint64_t)g[REG_CR2] >= GUEST_HI || g[REG_TRAPNO] != VECTOR_PF)
		return false;
	pthread_mutex_lock(&v->d->lock);
	done = mirror_fault(v, g[REG_CR2], false, false);
	pthread_mutex_unlock(&v->d->lock);
	return done;
}

/*
 * The monitor wrote to a frame that another thread is moving (lend.c): again, until it may. The
 * whole window is always mapped, so nothing else faults there, but for a page borrowed
 * read-only, to which no writable entry leads.
 */
static bool window_fault(struct domain *d, const greg_t *g)
{
	const uint64_t cr2 = g[REG_CR2], ram = (uint64_t)d->ram;

	return g[REG_TRAPNO] == VECTOR_PF && cr2 >= ram + PVDOM_MFN_RAM * PAGE_SIZE &&
	       cr2 < ram + d->nr_frames * PAGE_SIZE;
}

/* A hypercall that came by direct_trap: the stub's caller goes on behind its call. */
static void trapped_hypercall(struct vcpu *v, greg_t *g)
{
	const bool iret = (char *)g[REG_RIP] == direct_trap_iret;

	regs_from_host(v, g);
	if (!iret) {
		if (copy_from_guest(v, &v->regs.rip, v->regs.rsp, 8))
			domain_crash(v, "no return address on the stack of a hypercall");
		v->regs.rsp += 8;
	}
	direct_hypercall(v, (uint32_t)v->regs.rax);
	direct_work(v);
	regs_to_host(v, g);
}

/*
 * A guest that has TF set, or a debugger's step, has come to a gate: not further. True: that is
 * all; else the gate is a trap itself.
 */
static bool stepped_into_monitor(struct vcpu *v, greg_t *g)
{
	const char *rip = (char *)g[REG_RIP];

	if (g[REG_TRAPNO] != VECTOR_DB || in_guest(g[REG_RIP]))
		return false;
	g[REG_EFL] &= ~FLAG_TF;
	if (v->stepping)
		debug_stepped(v);
	return rip != direct_trap && rip != direct_trap_iret;
}

static void on_fault(struct vcpu *v, int sig, greg_t *g)
{
	if (v && stepped_into_monitor(v, g))
		return;
	if (v && ((char *)g[REG_RIP] == direct_trap || (char *)g[REG_RIP] == direct_trap_iret)) {
		trapped_hypercall(v, g);
		return;
	}
	if (v && (char *)g[REG_RIP] == direct_by_signal) {
		if (direct_kicked) /* since entry.S looked */
			direct_work(v);
		regs_to_host(v, g);
		return;
	}
	if (v && (entry_fault(v, g) || window_fault(v->d, g)))
		return;
	if (!v || !in_guest(g[REG_RIP])) {
		monitor_fault(sig, g);
		return;
	}
	regs_from_host(v, g);
	exception(v, g[REG_TRAPNO], g[REG_ERR], g[REG_CR2]);
	direct_work(v);
	regs_to_host(v, g);
}

static void on_syscall(struct vcpu *v, int sig, greg_t *g)
{
	uint8_t insn[2] = {0, 0};

	if (!v || !in_guest(g[REG_RIP])) {
		monitor_fault(sig, g);
		return;
	}
	regs_from_host(v, g);
	copy_from_guest(v, insn, v->regs.rip - 2, 2);
	if (insn[0] == 0xcd) { /* int $0x80 */
		v->regs.rip -= 2;
		guest_soft_interrupt(v, insn[1]);
	} else {
		direct_hypercall(v, v->regs.rax);
	}
	direct_work(v);
	regs_to_host(v, g);
}

/* Kick or timer: act if guest code was interrupted, else leave it to the way out (entry.S). */
static void on_kick(struct vcpu *v, greg_t *g)
{
	direct_kicked = 1;
	if (!v)
		return;
	if ((char *)g[REG_RIP] >= direct_resume && (char *)g[REG_RIP] < direct_resume_end) {
		g[REG_RIP] = (greg_t)direct_resume;
		g[REG_RDI] = (greg_t)v;
		g[REG_RSP] = (greg_t)direct_stack;
		g[REG_EFL] = 0x202;
		return;
	}
	if (!in_guest(g[REG_RIP]))
		return;
	regs_from_host(v, g);
	direct_work(v);
	regs_to_host(v, g);
}

/*
 * What direct_signal calls, on the monitor's FS. `fs` is what it was; returned is what it is to be
 * at the sigreturn. A guest may also have loaded it itself (wrfsbase), which counts as well.
 */
uint64_t signals_handle(int sig, siginfo_t *si, void *ctx, uint64_t fs)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	const uint64_t own = (uint64_t)__builtin_thread_pointer();
	struct vcpu *v = current;
	const bool from_guest = v && (in_guest(g[REG_RIP]) || (char *)g[REG_RIP] == direct_trap ||
				      (char *)g[REG_RIP] == direct_trap_iret);

	if (from_guest && fs != own) {
		v->fs_base = fs;
		direct_fs_give_up();
	}
	switch (sig) {
	case SIGSYS: on_syscall(v, sig, g); break;
	case SIGUSR2:
		if (v)
			v->timer_armed = 0;
		on_kick(v, g);
		break;
	case SIGUSR1: on_kick(v, g); break;
	default: on_fault(v, sig, g); break;
	}
	if (!v || !in_guest(g[REG_RIP]))
		return fs;
	return direct_fs_owned ? v->fs_base : own;
}

int signals_init(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK, .sa_sigaction = direct_signal};

	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGUSR1);
	sigaddset(&sa.sa_mask, SIGUSR2);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (sigaction(faults[i], &sa, NULL))
			return -errno;
	if (sigaction(SIGSYS, &sa, NULL))
		return -errno;
	if (sigaction(SIGUSR1, &sa, NULL) || sigaction(SIGUSR2, &sa, NULL))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int signals_thread_init(struct vcpu *v)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
	void *stack = tr_signal_stack();

	if (!stack)
		return -errno;
	*(void **)stack = __builtin_thread_pointer(); /* for direct_signal */
	ev._sigev_un._tid = v->tid;
	if (timer_create(CLOCK_MONOTONIC, &ev, &v->host_timer))
		return -errno;
	return 0;
}
