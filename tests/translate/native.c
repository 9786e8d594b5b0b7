/* SPDX-License-Identifier: MIT */
/*
 * A case on the CPU itself, in this very process: its pages are at the guest's own addresses, and
 * all that is the harness's lies far above. Faults come as signals, on a stack of their own; a
 * system call is a signal as well (Syscall User Dispatch).
 *
 * While a case runs FS is not this thread's, so nothing here may use TLS then, errno included.
 */
#include <linux/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <ucontext.h>

#include "host-driver/providers/process/translate/block.h"
#include "tests/translate/dfuzz.h"

#define TICK_US	  100
#define MAX_TICKS 100 /* that one case may see */

_Static_assert(offsetof(struct state, rflags) == S_RFLAGS, "native.S: rflags");
_Static_assert(offsetof(struct state, fs) == S_FS, "native.S: fs");
_Static_assert(offsetof(struct state, gs) == S_GS, "native.S: gs");
_Static_assert(offsetof(struct state, xstate) == S_XSTATE, "native.S: xstate");

void native_enter(const struct state *first, struct state *out);
extern char native_ended[], native_faulted[];
extern uint64_t native_rsp, native_fs, native_gs, native_target;

static struct state *volatile running; /* the state that the running case leaves, or NULL */
static volatile uint64_t runs;
static volatile bool endless;

static const uint8_t greg_of[NR_GPR] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
					REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
					REG_R12, REG_R13, REG_R14, REG_R15};

/* The case is over: its registers are kept, and the signal returns to native_enter's end. */
static void leave(greg_t *g)
{
	for (unsigned i = 0; i < NR_GPR; i++)
		running->gpr[i] = g[greg_of[i]];
	running->rip = g[REG_RIP];
	running->rflags = g[REG_EFL] & ~FLAG_RF;
	g[REG_RIP] = (greg_t)native_faulted;
	g[REG_RSP] = (greg_t)native_rsp;
	g[REG_EFL] = 0x202;
}

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;

	/* The pages of a case end at native_enter's last jump. */
	if (running && (uint64_t)g[REG_RIP] != (uint64_t)native_ended) {
		running->vector = sig == SIGSYS ? 256 : g[REG_TRAPNO];
		running->error = g[REG_ERR];
		running->cr2 = g[REG_CR2];
		leave(g);
		return;
	}
	guest_signal(sig, si, ctx);
}

/* The guest is kicked; a case on the CPU that sees too many ticks goes on for ever. */
static void on_tick(int sig, siginfo_t *si, void *ctx)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	static uint64_t last;
	static unsigned seen;

	if (!running) {
		guest_tick(si, ctx);
		return;
	}
	if (last != runs)
		seen = 0;
	last = runs;
	if (++seen > MAX_TICKS && (uint64_t)g[REG_RIP] <= LEAVE_VA) {
		endless = true;
		leave(g);
	}
}

void native_thread_prepare(void)
{
	if (!tr_signal_stack()) {
		perror("translate: signal stack");
		exit(2);
	}
}

void native_prepare(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE,
				     SIGTRAP, SIGSYS, SIGUSR1}; /* of another vCPU: a kick */
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK, .sa_sigaction = on_signal};
	const struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
	static const uint8_t jmp[] = {0xff, 0x25, 0, 0, 0, 0}; /* jmp *0(%rip) */
	uint64_t to = (uint64_t)native_ended;
	uint8_t *p = mmap((void *)LEAVE_VA, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == MAP_FAILED) {
		perror("translate: native");
		exit(2);
	}
	native_thread_prepare();
	memcpy(p, jmp, sizeof(jmp));
	memcpy(p + sizeof(jmp), &to, sizeof(to));
	sigfillset(&sa.sa_mask);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigaction(faults[i], &sa, NULL);
	sa.sa_sigaction = on_tick;
	sa.sa_flags |= SA_RESTART;
	sigaction(SIGALRM, &sa, NULL);
	prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, LEAVE_VA, (1UL << 47) - LEAVE_VA,
	      NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
}

bool native_run(const struct testcase *c, struct state *out)
{
	for (unsigned i = 0; i < NR_FRAMES_USED; i++)
		memcpy(guest_frame(i), c->first->mem[i], PAGE);
	memset(out->xstate, 0, sizeof(out->xstate));
	out->vector = NO_VECTOR;
	out->error = 0;
	out->cr2 = 0;
	out->rip = c->end;
	native_target = c->at[0];
	endless = false;
	runs++;
	running = out;
	native_enter(c->first, out);
	running = NULL;
	for (unsigned i = 0; i < NR_FRAMES_USED; i++)
		memcpy(out->mem[i], guest_frame(i), PAGE);
	return !endless;
}
