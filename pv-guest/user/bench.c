/* SPDX-License-Identifier: MIT */
/* What user mode costs: nanoseconds and TSC ticks per operation, the best of three rounds. */
#include "user.h"

#define PAGE	  4096
#define ROUND_NS  (4 * MSEC)
#define MAX_TIMES (1u << 16)

static int to[2], from[2];

static inline unsigned long rdtsc(void)
{
	unsigned int lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (unsigned long)hi << 32 | lo;
}

static void null_syscalls(unsigned int n)
{
	while (n--)
		getpid();
}

static void forks(unsigned int n)
{
	while (n--) {
		if (!fork())
			exit(0);
		wait(NULL);
	}
}

static void execs(unsigned int n)
{
	char *argv[] = {"bench", "nothing", NULL};

	while (n--) {
		if (!fork())
			exit(exec("bench", argv));
		wait(NULL);
	}
}

static void page_faults(unsigned int n)
{
	while (n) {
		unsigned int part = n < 64 ? n : 64;
		volatile char *p = sbrk(part * PAGE);

		for (unsigned int i = 0; i < part; i++)
			p[i * PAGE] = 1;
		sbrk(-(long)part * PAGE);
		n -= part;
	}
}

static void pings(unsigned int n)
{
	char c = 'x';

	while (n--) {
		write(to[1], &c, 1);
		read(from[0], &c, 1);
	}
}

static void yields(unsigned int n)
{
	while (n--)
		yield();
}

static void kernel_clock(unsigned int n)
{
	while (n--)
		clock_ns();
}

static void measure(const char *name, void (*fn)(unsigned int))
{
	unsigned long best_ns = ~0ul, best_ticks = ~0ul;
	unsigned int n = 4;

	for (int round = 0; round < 3;) {
		unsigned long ns = clock_ns(), ticks = rdtsc();

		fn(n);
		ticks = rdtsc() - ticks;
		ns = clock_ns() - ns;
		if (!round && ns < ROUND_NS && n < MAX_TIMES) {
			n *= 2;
			continue;
		}
		if (ns < best_ns)
			best_ns = ns;
		if (ticks < best_ticks)
			best_ticks = ticks;
		round++;
	}
	printf("bench user_%s %lu.%lu ns %lu ticks\n", name, best_ns / n, best_ns * 10 / n % 10,
	       best_ticks / n);
}

/* Answers each byte until there are no more. */
static int echo_start(void)
{
	int pid;
	char c;

	pipe(to);
	pipe(from);
	pid = fork();
	if (!pid) {
		close(to[1]);
		close(from[0]);
		while (read(to[0], &c, 1) == 1)
			write(from[1], &c, 1);
		exit(0);
	}
	close(to[0]);
	close(from[1]);
	return pid;
}

int main(int argc, char **argv)
{
	int pid;

	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	measure("null_syscall", null_syscalls);
	measure("clock", kernel_clock);
	measure("page_fault", page_faults);
	measure("fork_exit_wait", forks);
	measure("fork_exec_exit_wait", execs);
	echo_start();
	measure("pipe_ping_pong", pings);
	close(to[1]);
	wait(NULL);
	measure("yield_alone", yields);
	/* With another that yields, each call is a switch to it and one back. */
	pid = fork();
	if (!pid)
		for (;;)
			yield();
	measure("yield_two_switches", yields);
	kill(pid, SIGKILL);
	wait(NULL);
	return 0;
}
