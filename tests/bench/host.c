/* SPDX-License-Identifier: MIT */
/* The host's own cost of entering a kernel: `getppid`, the peer of a null hypercall. */
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20
#define CALLS  200000

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(void)
{
	double best = 1e18;

	for (int r = 0; r < ROUNDS; r++) {
		double t = now();

		for (int i = 0; i < CALLS; i++)
			syscall(SYS_getppid);
		t = (now() - t) / CALLS;
		if (t < best)
			best = t;
	}
	printf("bench getppid %.1f\n", best);
	return 0;
}
