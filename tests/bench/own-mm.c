/* SPDX-License-Identifier: MIT */
/*
 * What an own address space for user code would cost at least on this host (TRANSLATOR.md 1.5, tier
 * T2): user code in one process, the guest's kernel in another. Each entry to the kernel is a
 * handoff and back; each page is a fault, a handoff, a mapping and back. Prints the least of many
 * rounds, in ns.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS	 20
#define HANDOFFS 2000
#define PAGES	 1000
#define PAGE	 4096UL
#define STRIDE	 7919 /* between neighbours' frames: no two mappings become one */

enum turn { KERNEL, USER };
static _Atomic int *turn; /* whose it is */
static int memory;	  /* the guest's */
static uint8_t *window;	  /* where user code sees it */

static void die(const char *what)
{
	fprintf(stderr, "own-mm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void wait_for(enum turn mine)
{
	while (atomic_load(turn) != (int)mine)
		syscall(SYS_futex, turn, FUTEX_WAIT, !mine, NULL, NULL, 0);
}

static void hand_to(enum turn other)
{
	atomic_store(turn, other);
	syscall(SYS_futex, turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void round_trip(void)
{
	hand_to(KERNEL);
	wait_for(USER);
}

/* User code met a page that is not there: the kernel is asked, and it is mapped. */
static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	uint8_t *page = (uint8_t *)((uintptr_t)si->si_addr & -PAGE);
	const uint64_t number = (page - window) / PAGE;

	(void)sig;
	(void)ctx;
	round_trip();
	if (mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, memory,
		 number * STRIDE % PAGES * PAGE) == MAP_FAILED)
		_exit(1);
}

static double handoffs(void)
{
	const double start = now();

	for (int i = 0; i < HANDOFFS; i++)
		round_trip();
	return (now() - start) / HANDOFFS;
}

static double pages(void)
{
	double start;

	if (mmap(window, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED)
		die("mmap");
	start = now();
	for (int i = 0; i < PAGES; i++)
		((volatile uint8_t *)window)[i * PAGE]++;
	return (now() - start) / PAGES;
}

static double least(double (*of)(void))
{
	double best = of();

	for (int i = 1; i < ROUNDS; i++) {
		const double t = of();

		best = t < best ? t : best;
	}
	return best;
}

/* Both processes on one processor, or where the host puts them. */
static void measure(const char *where)
{
	const pid_t kernel = fork();

	if (kernel < 0)
		die("fork");
	if (!kernel) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			wait_for(KERNEL);
			hand_to(USER);
		}
	}
	printf("own-mm handoff %s %.0f ns\n", where, least(handoffs));
	printf("own-mm page %s %.0f ns\n", where, least(pages));
	fflush(stdout);
	kill(kernel, SIGKILL);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	cpu_set_t one;

	turn = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	window = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = memfd_create("guest", MFD_CLOEXEC);
	if (turn == MAP_FAILED || window == MAP_FAILED || memory < 0 ||
	    ftruncate(memory, PAGES * PAGE) || sigaction(SIGSEGV, &sa, NULL))
		die("memory");
	atomic_store(turn, USER);
	measure("anywhere");
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("sched_setaffinity");
	measure("together");
	return 0;
}
