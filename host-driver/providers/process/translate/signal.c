/* SPDX-License-Identifier: MIT */
/*
 * Host signals while guest code runs translated: kicks and the timer, which make a block the last
 * one; and what the CPU raises, which becomes the guest's trap.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "host-driver/providers/process/direct.h"
#include "host-driver/providers/process/translate/block.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31) /* linux/signal.h, which glibc's has no room for */
#endif

static bool between(greg_t rip, const char *from, const char *to)
{
	return (char *)rip >= from && (char *)rip < to;
}

static void leave_by(greg_t *g, const char *where)
{
	g[REG_RIP] = (greg_t)where;
	g[REG_RSP] = (greg_t)tr.host_rsp;
	g[REG_EFL] = 0x202;
}

/* The guest's registers as they are in the middle of a block. */
static void regs_from_block(struct vcpu *v, const greg_t *g, uint64_t rip)
{
	regs_t *r = &v->regs;

	r->rax = g[REG_RAX];
	r->rcx = g[REG_RCX];
	r->rdx = g[REG_RDX];
	r->rbx = g[REG_RBX];
	r->rsp = g[REG_RSP];
	r->rbp = g[REG_RBP];
	r->rsi = g[REG_RSI];
	r->rdi = g[REG_RDI];
	r->r8 = g[REG_R8];
	r->r9 = g[REG_R9];
	r->r10 = g[REG_R10];
	r->r11 = g[REG_R11];
	r->r12 = g[REG_R12];
	r->r13 = g[REG_R13];
	r->r14 = tr.r14;
	r->r15 = tr.r15;
	r->rip = rip;
	r->rflags = (r->rflags & ~FLAGS_HOST) | (g[REG_EFL] & FLAGS_HOST);
}

static uint64_t rip_of(const struct block *b, const greg_t *g)
{
	return b->rip + sites[block_site(b, (void *)g[REG_RIP])].offset;
}

/* The guest's kernel reads by upper.c where nothing is: other addresses than ours are no page's. */
static bool unread(const struct block *b, greg_t *g)
{
	if (!(b->mode & MODE_UPPER) || (g[REG_TRAPNO] != VECTOR_PF && g[REG_TRAPNO] != VECTOR_GP))
		return false;
	tr.vector = g[REG_TRAPNO];
	tr.ea = g[REG_CR2] - __builtin_ia32_rdgsbase64(); /* UPPER_BASE, or of check.c's */
	tr.arg = block_site(b, (void *)g[REG_RIP]);
	leave_by(g, tr_unread);
	return true;
}

/* User code reaches into its window: what r14 and r15 have there is had again if it goes on. */
static bool unshown(const struct block *b, greg_t *g)
{
	if (!(b->mode & MODE_WINDOW) || (g[REG_TRAPNO] != VECTOR_PF && g[REG_TRAPNO] != VECTOR_GP))
		return false;
	tr.vector = g[REG_TRAPNO];
	tr.error = g[REG_ERR];
	tr.ea = g[REG_CR2];
	tr.arg = block_site(b, (void *)g[REG_RIP]);
	tr.target = g[REG_RIP];
	tr.resume = g[REG_R14];
	tr.resume15 = g[REG_R15];
	leave_by(g, tr_unshown);
	return true;
}

static void on_kick(greg_t *g)
{
	struct block *b;

	tr.kicked = 1;
	if (!current)
		return;
	if (between(g[REG_RIP], tr_resume, tr_resume_end)) {
		leave_by(g, tr_abort);
		return;
	}
	if (between(g[REG_RIP], tr_return, tr_return_end)) {
		if ((char *)g[REG_RIP] > tr_return)
			g[REG_RCX] = tr.rcx;
		g[REG_RIP] = (greg_t)tr_indirect_miss;
		return;
	}
	if (between(g[REG_RIP], tr_indirect, tr_indirect_miss) ||
	    between(g[REG_RIP], tr_indirect_hit, tr_indirect_end)) {
		if ((char *)g[REG_RIP] >= tr_indirect_kept)
			g[REG_RCX] = tr.rcx;
		g[REG_RIP] = (greg_t)tr_indirect_miss;
		return;
	}
	if (between(g[REG_RIP], tr_call_late, tr_call_end) ||
	    between(g[REG_RIP], tr_iret_late, tr_iret_end)) {
		g[REG_RIP] = (greg_t)tr_crossed;
		return;
	}
	b = code_block((void *)g[REG_RIP]);
	if (!b)
		return;
	if (tr.cut && tr.cut != b)
		block_mend(tr.cut, tr.cut_generation);
	tr.cut = b;
	tr.cut_generation = code_generation;
	block_cut(b);
}

/* A frame on its way elsewhere (lend.c): again, until it is there. */
static bool frame_moves(const greg_t *g)
{
	const struct domain *d = the_domain;
	const uint64_t at = g[REG_CR2] - (uint64_t)d->ram;

	if (g[REG_TRAPNO] != VECTOR_PF || at < PVDOM_MFN_RAM * PAGE_SIZE ||
	    at >= d->nr_frames * PAGE_SIZE)
		return false;
	return true;
}

static void on_fault(int sig, greg_t *g, void *ctx)
{
	struct block *b = code_block((void *)g[REG_RIP]);

	if (!current)
		goto die;
	if (frame_moves(g)) { /* whoever moves it may wait for us to leave */
		if (b) {
			regs_from_block(current, g, rip_of(b, g));
			leave_by(g, tr_abort);
		} else if (between(g[REG_RIP], tr_exit_syscall, tr_call_kept)) {
			g[REG_RIP] = (greg_t)tr_call_slow;
		} else if (between(g[REG_RIP], tr_iret, tr_iret_kept)) {
			g[REG_RIP] = (greg_t)tr_iret_slow;
		}
		return;
	}
	if (tr_step_fault(g[REG_TRAPNO], g[REG_ERR], g[REG_CR2], ctx))
		return;
	if (!b)
		goto die;
	regs_from_block(current, g, rip_of(b, g));
	if (unread(b, g) || unshown(b, g))
		return;
	tr.vector = g[REG_TRAPNO];
	tr.error = g[REG_ERR];
	leave_by(g, tr_trapped);
	return;
die:
	fprintf(stderr, "pvdom %d: signal %d in the monitor at %p, address %p, rsp %p\n",
		the_domain ? the_domain->id : 0, sig, (void *)g[REG_RIP], (void *)g[REG_CR2],
		(void *)g[REG_RSP]);
	signal(sig, SIG_DFL);
	raise(sig);
}

void tr_signal(int sig, siginfo_t *si, void *ctx)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;

	switch (sig) {
	case SIGUSR2:
		if (current)
			current->timer_armed = 0;
		on_kick(g);
		break;
	case SIGUSR1: on_kick(g); break;
	default: on_fault(sig, g, ctx);
	}
}

/*
 * A guest may have any number in its stack pointer, which is the CPU's: also one that is an address
 * in there. Without AUTODISARM the host would take that for a handler that is interrupted, and go
 * on below, or end this process where there is not enough room below.
 */
void *tr_signal_stack(void)
{
	stack_t ss = {.ss_size = SIGSTACK_SIZE, .ss_flags = SS_AUTODISARM};

	ss.ss_sp = mmap(NULL, SIGSTACK_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	return ss.ss_sp == MAP_FAILED || sigaltstack(&ss, NULL) ? NULL : ss.ss_sp;
}

int tr_signals_init(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGUSR1, SIGUSR2};
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK, .sa_sigaction = tr_signal};

	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGUSR1);
	sigaddset(&sa.sa_mask, SIGUSR2);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], &sa, NULL))
			return -errno;
	signal(SIGPIPE, SIG_IGN);
	return 0;
}
