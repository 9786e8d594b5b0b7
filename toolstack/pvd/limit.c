/* SPDX-License-Identifier: MIT */
/*
 * No guest can make its process need much more memory than the translator's tables take when they
 * are full. A process that has touched more, or made the host keep page tables for it, is not its
 * monitor's any longer: it is ended before the host runs short. What it can map is bounded by
 * itself (hypercalls/pvdom/limits.c); page tables no limit of the host's counts.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <xen/sched.h>

#include "toolstack/pvd/pvd.h"

#define PERIOD_MS 400

/*
 * KiB: the tables of a full cache are 1,159 MiB (translate/block.h, page_id.c), a vCPU's 27. The
 * page tables of its windows, which user code can have made for nothing: 128 MiB where it has
 * touched a page of each GiB of all eight (the kernel keeps those of the third level), and 56 for
 * 14,000 spans.
 */
#define TABLES	       (1536UL << 10)
#define OF_VCPU	       (32UL << 10)
#define PART_OF_MEMORY 32 /* the frame table, and page tables for the RAM at some places */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000UL + ts.tv_nsec / 1000000;
}

/* KiB of a process' own: private pages, here or in swap, and page tables. 0 if it has ended. */
static uint64_t own_memory(pid_t pid)
{
	char path[40], line[128];
	uint64_t sum = 0, kib;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %lu", &kib) == 1 ||
		    sscanf(line, "VmSwap: %lu", &kib) == 1 || sscanf(line, "VmPTE: %lu", &kib) == 1)
			sum += kib;
	fclose(f);
	return sum;
}

static void look_at(struct dom *d)
{
	const uint64_t max = TABLES + d->max_vcpus * OF_VCPU +
			     d->nr_frames * (PAGE_SIZE / 1024) / PART_OF_MEMORY;
	const uint64_t has = own_memory(d->pid);
	char why[128];

	if (has <= max)
		return;
	syscall(SYS_pidfd_send_signal, d->pidfd, SIGKILL, NULL, 0);
	snprintf(why, sizeof(why), "its process took %lu MiB beside its RAM, of %lu", has >> 10,
		 max >> 10);
	dom_shutdown(d, SHUTDOWN_crash, why);
}

void limit_tick(void)
{
	static uint64_t last;
	struct dom *d;

	if (now_ms() - last < PERIOD_MS)
		return;
	last = now_ms();
	for (uint32_t id = 0; (d = dom_get_from(id)); dom_put(d)) {
		id = d->id + 1;
		if (!d->reaped)
			look_at(d);
	}
}
