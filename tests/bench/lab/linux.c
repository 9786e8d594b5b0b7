/* SPDX-License-Identifier: MIT */
/* Linux as it is: SIGSEGV, mprotect, ptrace. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/bench/lab/bench.h"

#define STOPS 20

static uint64_t (*fault_work)(uint64_t address, uint64_t rip);

static uint64_t no_exits(void)
{
	return 0;
}

static void protect(void *va, size_t pages, bool writable)
{
	mprotect(va, pages * PAGE, writable ? PROT_READ | PROT_WRITE : PROT_READ);
}

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	greg_t *rip = &((ucontext_t *)ctx)->uc_mcontext.gregs[REG_RIP];

	*rip = fault_work((uint64_t)si->si_addr, *rip);
}

static void on_fault(uint64_t (*work)(uint64_t address, uint64_t rip))
{
	struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};

	fault_work = work;
	if (sigaction(SIGSEGV, &sa, NULL))
		give_up("sigaction");
}

static const struct side side = {
	.name = "linux",
	.exits = no_exits,
	.protect = protect,
	.on_fault = on_fault,
};

static pid_t tracee(void)
{
	const pid_t child = fork();
	long nr;

	if (child)
		return child;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	for (;;)
		__asm__ volatile("syscall" : "=a"(nr) : "0"(SYS_getpid) : "rcx", "r11", "memory");
}

static void resume(pid_t child, enum __ptrace_request how)
{
	int status;

	if (ptrace(how, child, NULL, NULL) || waitpid(child, &status, 0) != child ||
	    !WIFSTOPPED(status))
		give_up("ptrace");
}

/*
 * One interception: see which call it is, then answer in the kernel's place (`pass` false: one
 * stop, the cheapest that ptrace has), or let the kernel do it (two stops).
 */
static void interception(const char *name, bool pass)
{
	const enum __ptrace_request how = pass ? PTRACE_SYSCALL : PTRACE_SYSEMU;
	struct row row = {.name = name, .ops = STOPS};
	struct user_regs_struct regs;
	const pid_t child = tracee();
	struct mark since;
	int status;

	waitpid(child, &status, 0);
	resume(child, how);
	while (row.n < ROUNDS) {
		since = mark(&side);
		for (unsigned i = 0; i < STOPS; i++) {
			ptrace(PTRACE_GETREGS, child, NULL, &regs);
			if (regs.orig_rax != SYS_getpid)
				give_up("another call");
			if (pass) {
				resume(child, how);
			} else {
				regs.rax = 1;
				ptrace(PTRACE_SETREGS, child, NULL, &regs);
			}
			resume(child, how);
		}
		round_end(&side, &row, since);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	row_print(&side, &row);
}

void bench_linux(void)
{
	rows(&side);
	interception("interception", false);
	interception("interception-passed-on", true);
}
