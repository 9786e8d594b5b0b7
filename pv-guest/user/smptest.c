/* SPDX-License-Identifier: MIT */
/* Processes on all vCPUs, preempted and moved, keep what is theirs: memory and FPU state. */
#include "user.h"

#define WORKERS	 6
#define DURATION (60 * MSEC)
#define PATIENCE (60000 * MSEC) /* with a machine that gives only one vCPU a processor's time */

static int results[2];

struct result {
	unsigned long vcpus; /* a bit for each it ran on */
	unsigned long rounds, wrong;
};

static void work(int id)
{
	volatile double x = 1.0 + id, y = 0.5;
	unsigned long end = clock_ns() + DURATION, mine[64];
	struct result r = {0, 0, 0};

	for (unsigned int i = 0; i < 64; i++)
		mine[i] = (unsigned long)id * 1000 + i;
	do {
		register double sum __asm__("xmm9") = x;

		for (unsigned int i = 0; i < 1000; i++)
			__asm__ volatile("addsd %1, %0" : "+x"(sum) : "m"(y));
		r.wrong += sum != x + 500.0;
		for (unsigned int i = 0; i < 64; i++)
			r.wrong += mine[i] != (unsigned long)id * 1000 + i;
		r.vcpus |= 1ul << SYSCALL(SYS_vcpu, 0, 0, 0);
		r.rounds++;
	} while (clock_ns() < end);
	write(results[1], &r, sizeof(r));
	exit(0);
}

/* Starts the workers and adds up what they say; the number of those that said it. */
static unsigned int run_workers(struct result *all)
{
	unsigned int ended = 0;
	struct result r;

	pipe(results);
	for (int i = 0; i < WORKERS; i++)
		if (!fork())
			work(i);
	close(results[1]);
	while (read(results[0], &r, sizeof(r)) == sizeof(r)) {
		all->vcpus |= r.vcpus;
		all->wrong += r.wrong;
		ended += r.rounds > 0;
	}
	close(results[0]);
	while (wait(NULL) > 0)
		;
	return ended;
}

int main(int argc, char **argv)
{
	long n = SYSCALL(SYS_vcpus, 0, 0, 0);
	unsigned long end = clock_ns() + PATIENCE;
	struct result all = {0, 0, 0};
	bool all_worked = true, several;

	do {
		all_worked &= run_workers(&all) == WORKERS;
		several = all.vcpus & (all.vcpus - 1);
	} while (n > 1 && !several && clock_ns() < end);
	check("smp: every process gets its turn", all_worked);
	check("smp: each keeps its memory and its FPU registers", !all.wrong);
	check("smp: not all on one vCPU, if there are more", several || n == 1);
	return failures();
}
