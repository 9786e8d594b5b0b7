/* SPDX-License-Identifier: MIT */
/* Ways into the kernel and back: system calls, faults, signals, processes. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/linux/bench.h"

#define PAGE	    4096
#define FAULT_PAGES 128

const char *gcc_source = "/bin/compile.i";

static uint64_t getppid_run(uint64_t n)
{
	const uint64_t start = now();

	for (uint64_t i = 0; i < n; i++)
		syscall(SYS_getppid);
	return now() - start;
}

/* First touches of anonymous pages that have their page tables already. */
static uint64_t fault_run(uint64_t n)
{
	const uint64_t size = (FAULT_PAGES + 2) * PAGE;
	uint64_t total = 0, start;

	for (uint64_t done = 0; done < n; done += FAULT_PAGES) {
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		if (p == MAP_FAILED || madvise(p, size, MADV_NOHUGEPAGE))
			die("mmap");
		*(volatile char *)p = *(volatile char *)&p[size - PAGE] = 1;
		start = now();
		for (uint64_t i = 1; i <= FAULT_PAGES; i++)
			*(volatile char *)&p[i * PAGE] = 1;
		total += now() - start;
		munmap(p, size);
	}
	return total * n / ((n + FAULT_PAGES - 1) / FAULT_PAGES * FAULT_PAGES);
}

static volatile uint64_t handled;

static void handle(int sig)
{
	handled++;
}

static uint64_t signal_run(uint64_t n)
{
	const pid_t self = getpid();
	const uint64_t before = handled;
	uint64_t start;

	signal(SIGUSR1, handle);
	start = now();
	for (uint64_t i = 0; i < n; i++)
		kill(self, SIGUSR1);
	start = now() - start;
	if (handled - before != n)
		die("a signal was lost");
	return start;
}

static uint64_t fork_run(uint64_t n)
{
	const uint64_t start = now();
	int status = 0;

	for (uint64_t i = 0; i < n; i++) {
		const pid_t pid = fork();

		if (!pid)
			_exit(7);
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
			die("fork");
	}
	return now() - start;
}

static void there_and_back(int to, int from)
{
	char c = 0;

	if (write(to, &c, 1) != 1 || read(from, &c, 1) != 1)
		die("pipe");
}

/* A byte to a child and one back. */
static uint64_t pipe_run(uint64_t n)
{
	int to[2], from[2];
	uint64_t start;
	char c = 0;
	pid_t pid;

	if (pipe(to) || pipe(from))
		die("pipe");
	pid = fork();
	if (!pid) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1 && write(from[1], &c, 1) == 1)
			;
		_exit(0);
	}
	there_and_back(to[1], from[0]);
	start = now();
	for (uint64_t i = 0; i < n; i++)
		there_and_back(to[1], from[0]);
	start = now() - start;
	close(to[1]);
	waitpid(pid, NULL, 0);
	close(to[0]);
	close(from[0]);
	close(from[1]);
	return start;
}

static uint64_t switches(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return r.ru_nvcsw + r.ru_nivcsw;
}

/*
 * To a child that yields, too, and back. Not every yield switches (the scheduler may hold that we
 * have waited long enough): it goes on until as many did as were asked for.
 */
static uint64_t yield_run(uint64_t n)
{
	const pid_t pid = fork();
	uint64_t start, first, times;

	if (!pid)
		for (;;)
			sched_yield();
	first = switches();
	while (switches() - first < 4) /* the child is there */
		sched_yield();
	first = switches();
	start = now();
	do {
		for (unsigned i = 0; i < 8; i++)
			sched_yield();
		times = switches() - first;
	} while (times < n);
	start = now() - start;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return start * n / times;
}

uint64_t gcc_run(uint64_t n)
{
	char *const argv[] = {"gcc",	       "-B/bin/",	   "-O2", "-c", "-o",
			      "bench-linux.o", (char *)gcc_source, NULL};
	const uint64_t start = now();
	int status;
	pid_t pid;

	for (uint64_t i = 0; i < n; i++)
		if (posix_spawnp(&pid, "gcc", NULL, NULL, argv, environ) ||
		    waitpid(pid, &status, 0) != pid || status)
			die("gcc");
	return now() - start;
}

const struct row system_rows[] = {
	{"getppid", getppid_run, NULL},
	{"fault", fault_run, NULL},
	{"signal", signal_run, NULL},
	{"fork", fork_run, NULL},
	{"pipe", pipe_run, NULL},
	{"yield", yield_run, NULL},
	{0},
};
