/* SPDX-License-Identifier: MIT */
/*
 * Signals, as few as possible: a number from 1 to 63 ends the process, unless it has a handler,
 * which is one for all of them. The handler runs on the user's stack above a copy of the registers,
 * which its return brings back; until then further signals wait.
 */
#include <pv/process.h>
#include "kernel.h"

#define RED_ZONE 128

static unsigned int take(struct process *p, bool any)
{
	uint64_t waiting = READ_ONCE(p->signals) & (any ? ~0ull : 1ull << SIGKILL);
	unsigned int sig;

	if (!waiting)
		return 0;
	sig = (unsigned int)__builtin_ctzl(waiting);
	__atomic_fetch_and(&p->signals, ~(1ull << sig), __ATOMIC_SEQ_CST);
	return sig;
}

static bool call_handler(struct process *p, unsigned int sig, struct trap_regs *regs)
{
	unsigned long frame = (regs->rsp - RED_ZONE - sizeof(*regs)) & ~15ul, ret = frame - 8;

	if (copy_to_user(frame, regs, sizeof(*regs)) ||
	    copy_to_user(ret, &p->restorer, sizeof(p->restorer)))
		return false;
	regs->rsp = ret;
	regs->rip = p->handler;
	regs->rdi = sig;
	p->handling = true;
	return true;
}

/* The last thing before a user goes on. */
void process_leave_kernel(struct trap_regs *regs)
{
	struct process *p = process_current();
	unsigned int sig = take(p, !p->handling);

	if (!sig)
		return;
	if (sig == SIGKILL || !p->handler || !call_handler(p, sig, regs))
		process_exit(STATUS_SIGNAL((int)sig));
}

/* The handler has returned to its restorer, which left the stack pointer at the frame. */
long signal_return(struct trap_regs *regs)
{
	struct trap_regs saved;
	struct process *p = process_current();

	/* A user who made the frame up gets what it asks for, but only as a user. */
	if (!p->handling || copy_from_user(&saved, regs->rsp, sizeof(saved)) ||
	    !is_user(saved.rip, 1))
		process_exit(STATUS_SIGNAL(SIGSEGV));
	*regs = saved;
	regs->error = 0;
	regs->cs = FLAT_USER_CS;
	regs->ss = FLAT_USER_SS;
	regs->rflags = (saved.rflags & 0xcd5) | 0x202;
	p->handling = false;
	return (long)saved.rax;
}
