/* SPDX-License-Identifier: MIT */
/* The CPU's exceptions, which the kernel gets from the hypervisor and makes signals of. */
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/stock/load.h"

#define FLAG_TF	    0x100
#define TRAP_PF	    14
#define PF_PRESENT  1
#define PF_WRITE    2
#define PF_USER	    4
#define PF_FETCH    16
#define SINGLE_STEP 300
#define ROUND_TRIPS 100

static sigjmp_buf back;
static siginfo_t info;
static greg_t trap, error, address;
static volatile sig_atomic_t steps;

static void on_fault(int sig, siginfo_t *si, void *context)
{
	const ucontext_t *uc = context;

	info = *si;
	trap = uc->uc_mcontext.gregs[REG_TRAPNO];
	error = uc->uc_mcontext.gregs[REG_ERR];
	address = uc->uc_mcontext.gregs[REG_CR2];
	siglongjmp(back, 1);
}

/* One step per instruction until the flag is cleared in the frame. */
static void on_step(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	if (++steps == SINGLE_STEP)
		uc->uc_mcontext.gregs[REG_EFL] &= ~FLAG_TF;
}

static void handle(int sig, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaction(sig, &sa, NULL);
}

#define FAULT(statement)                 \
	do {                             \
		trap = error = -1;       \
		if (!sigsetjmp(back, 1)) \
			statement;       \
	} while (0)

static volatile uint8_t *at(uintptr_t address)
{
	__asm__("" : "+r"(address));
	return (volatile uint8_t *)address;
}

static void page_faults(void)
{
	volatile uint8_t *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	FAULT((void)*at(8));
	check(trap == TRAP_PF && error == PF_USER && address == 8, "page fault: nothing there",
	      "trap %lld error %llx address %llx", trap, error, address);
	(void)page[0];
	FAULT(page[5] = 1);
	check(trap == TRAP_PF && error == (PF_USER | PF_WRITE | PF_PRESENT) &&
		      info.si_addr == page + 5,
	      "page fault: read-only", "trap %lld error %llx", trap, error);
	FAULT(((void (*)(void))page)());
	check(trap == TRAP_PF && error == (PF_USER | PF_FETCH | PF_PRESENT),
	      "page fault: not to be executed", "trap %lld error %llx", trap, error);
	FAULT(*at(0xffffffff81000000) = 1);
	check(trap == TRAP_PF && info.si_signo == SIGSEGV && error & PF_USER,
	      "page fault: the kernel's memory", "trap %lld error %llx", trap, error);
	FAULT((void)*at(0xffff820000000000));
	check(trap == TRAP_PF && info.si_signo == SIGSEGV, "page fault: the hypervisor's memory",
	      "trap %lld error %llx", trap, error);
	munmap((void *)page, 4096);
}

/* Unmasked, a division of vectors faults as one of integers does. */
static void vector_exception(void)
{
	const uint32_t unmasked = 0x1f80 & ~0x200, masked = 0x1f80;

	FAULT(__asm__ volatile("ldmxcsr %0; xorps %%xmm0, %%xmm0; pcmpeqd %%xmm1, %%xmm1\n"
			       "psrld $25, %%xmm1; pslld $23, %%xmm1; divps %%xmm0, %%xmm1"
			       :
			       : "m"(unmasked)
			       : "xmm0", "xmm1"));
	__asm__ volatile("ldmxcsr %0" : : "m"(masked));
	check(info.si_signo == SIGFPE && trap == 19 && info.si_code == FPE_FLTDIV,
	      "a vector's division by zero", "trap %lld code %d", trap, info.si_code);
}

static void others(void)
{
	volatile int zero = 0, one = 1;

	FAULT(one /= zero);
	check(info.si_signo == SIGFPE && trap == 0 && info.si_code == FPE_INTDIV,
	      "division by zero", "trap %lld", trap);
	FAULT(__asm__ volatile("ud2"));
	check(info.si_signo == SIGILL && trap == 6, "invalid opcode", "trap %lld", trap);
	FAULT(__asm__ volatile("int3"));
	check(info.si_signo == SIGTRAP && trap == 3, "breakpoint", "trap %lld", trap);
	FAULT(__asm__ volatile("hlt"));
	check(info.si_signo == SIGSEGV && trap == 13 && error == 0, "hlt", "trap %lld error %llx",
	      trap, error);
	FAULT(__asm__ volatile("int $0x30"));
	check(info.si_signo == SIGSEGV && trap == 13 && error == 0x30 * 8 + 2,
	      "an interrupt the kernel has no gate for", "trap %lld error %llx", trap, error);
	FAULT((void)*at(0x8000000000000000));
	check(info.si_signo == SIGSEGV && trap == 13 && error == 0, "an address that is none",
	      "trap %lld error %llx", trap, error);
	vector_exception();
}

/* With TF set each instruction, those of the kernel apart, ends in a signal. */
static void single_step(void)
{
	unsigned long sum = 0;

	handle(SIGTRAP, on_step);
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" : : : "memory", "cc");
	for (unsigned long i = 0; i < SINGLE_STEP; i++)
		__asm__ volatile("add %1, %0" : "+r"(sum) : "r"(i));
	check(steps == SINGLE_STEP && sum == SINGLE_STEP * (SINGLE_STEP - 1ul) / 2,
	      "single steps by the flag", "%d steps, sum %lu", steps, sum);
	handle(SIGTRAP, on_fault);
}

/* A debugger that steps through a child and reads its registers. */
static void traced_step(void)
{
	struct user_regs_struct regs;
	unsigned stepped = 0;
	int status = 0;
	pid_t pid;

	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		__asm__ volatile("mov $0x5eed, %%rbx; 1: dec %%rbx; jnz 1b; mov $60, %%eax\n"
				 "mov $9, %%edi; syscall"
				 :
				 :
				 : "rax", "rbx", "rdi");
	}
	waitpid(pid, &status, 0);
	while (stepped < 1000 && !ptrace(PTRACE_SINGLESTEP, pid, 0, 0) &&
	       waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		ptrace(PTRACE_GETREGS, pid, 0, &regs);
		stepped++;
		if (regs.rbx == 0x5eed - 100)
			break;
	}
	regs.rbx = 1;
	ptrace(PTRACE_SETREGS, pid, 0, &regs);
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	check(stepped > 200 && stepped < 1000 && WIFEXITED(status) && WEXITSTATUS(status) == 9,
	      "single steps by a debugger", "%u steps, status %x", stepped, status);
}

static void on_other(int sig, siginfo_t *si, void *context)
{
	steps++;
}

/* Until `n` signals have come, which are blocked but in here. */
static void await_signals(int n)
{
	sigset_t none;

	sigemptyset(&none);
	while (steps < n)
		sigsuspend(&none);
}

/*
 * There and back, one at a time: a signal that is sent while another of its number is pending is
 * lost, and how soon a process gets the CPU to take its own is not ours to say.
 */
static void between_processes(void)
{
	sigset_t ours;
	int status = 0;
	pid_t pid;

	sigemptyset(&ours);
	sigaddset(&ours, SIGUSR1);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	handle(SIGUSR1, on_other);
	steps = 0;
	pid = fork();
	for (int i = 1; i <= ROUND_TRIPS; i++) {
		if (!pid)
			kill(getppid(), SIGUSR1);
		await_signals(i);
		if (pid)
			kill(pid, SIGUSR1);
	}
	if (!pid)
		pause();
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	sigprocmask(SIG_UNBLOCK, &ours, NULL);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "signals between processes",
	      "status %x", status);
}

void signals(void)
{
	static uint8_t stack[65536];
	const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};

	sigaltstack(&alternative, NULL);
	handle(SIGSEGV, on_fault);
	handle(SIGBUS, on_fault);
	handle(SIGFPE, on_fault);
	handle(SIGILL, on_fault);
	handle(SIGTRAP, on_fault);
	page_faults();
	others();
	single_step();
	traced_step();
	between_processes();
	for (unsigned i = 0; i < 5; i++)
		signal((const int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}[i], SIG_DFL);
}
