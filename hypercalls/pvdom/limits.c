/* SPDX-License-Identifier: MIT */
/*
 * A bound on the memory that a domain's process can have beside its RAM.
 *
 * RLIMIT_DATA counts private memory that can be written to, touched or not. What there is of it
 * when the vCPUs' threads have been made, the translator's tables above all, is what the process
 * needs; the frame table comes later, when the RAM's size is known, and with it the limit. The
 * filter of system calls refuses what is not counted (sandbox.c), and pvd ends a process that has
 * touched far more than a guest can make it (toolstack/pvd/limit.c).
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hypercalls/pvdom/pvdom.h"

/* For `pvctl check` and what libc may want. */
#define SPARE	      (16UL << 20)
#define SPARE_OF_VCPU (8UL << 20)

static int statm = -1;
static size_t needed; /* bytes; 0: unknown */

bool limits_open(void)
{
	statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	return statm >= 0;
}

void limits_measure(void)
{
	char text[128] = "";
	size_t data;

	/* size resident shared text lib data: the last is private and writable, and the stack */
	if (statm >= 0 && read(statm, text, sizeof(text) - 1) > 0 &&
	    sscanf(text, "%*u %*u %*u %*u %*u %zu", &data) == 1)
		needed = data * PAGE_SIZE;
	close(statm);
	statm = -1;
}

void limits_set(const struct domain *d, size_t tables)
{
	const size_t max = needed + tables + SPARE + d->nr_vcpus * SPARE_OF_VCPU;
	const struct rlimit limit = {max, max};

	/* It fails where there is a lower one already. */
	if (needed)
		setrlimit(RLIMIT_DATA, &limit);
}
