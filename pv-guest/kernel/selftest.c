/* SPDX-License-Identifier: MIT */
/*
 * The self-test. Its output is the same, byte for byte, on every correct hypervisor: no addresses,
 * times or frame numbers, and nothing that only an initial or only a guest domain can do.
 */
#include <pv/thread.h>
#include <pv/time.h>
#include "kernel.h"

static unsigned int passed, failed;

void check(const char *name, bool ok)
{
	if (ok)
		passed++;
	else
		failed++;
	printf(ok ? "ok %s\n" : "FAIL %s: condition is false\n", name);
}

void check_eq(const char *name, long got, long want)
{
	if (got == want) {
		passed++;
		printf("ok %s\n", name);
		return;
	}
	failed++;
	printf("FAIL %s: got %ld (0x%lx), want %ld (0x%lx)\n", name, got, got, want, want);
}

static volatile unsigned long spins[2];
static volatile bool stop;

static void spin(void *arg)
{
	volatile unsigned long *count = arg;

	while (!stop)
		++*count;
}

static volatile unsigned int order[4], order_len;

static void noter(void *arg)
{
	order[order_len++] = (unsigned int)(unsigned long)arg;
}

void selftest_threads(void)
{
	unsigned long before = thread_preemptions;
	uint64_t start = time_ns();

	do { /* again if the first was preempted before it came to it */
		order_len = 0;
		thread_create("noter", noter, (void *)1ul);
		thread_create("noter", noter, (void *)2ul);
		while (order_len < 2)
			thread_yield();
	} while (order[0] != 1 && time_ns() - start < 60 * SEC);
	check("threads run in the order of their creation", order[0] == 1 && order[1] == 2);
	order_len = 0;

	spins[0] = spins[1] = 0;
	stop = false;
	thread_create("spin", spin, (void *)&spins[0]);
	thread_create("spin", spin, (void *)&spins[1]);
	do /* we may have but a part of a processor */
		thread_sleep(100 * MSEC);
	while ((thread_preemptions == before || spins[0] <= 100 || spins[1] <= 100) &&
	       time_ns() - start < 60 * SEC);
	stop = true;
	check("threads are preempted by the timer", thread_preemptions > before);
	check("threads share the processor", spins[0] > 100 && spins[1] > 100);
	check("a sleeping thread wakes in time",
	      time_ns() - start >= 100 * MSEC && time_ns() - start < 60 * SEC);
	thread_sleep(20 * MSEC);
}

unsigned int selftest_run(void)
{
	passed = failed = 0;
	/* It looks at one vCPU closely: let that be the first, whatever else there is. */
	thread_pin(0);
	selftest_hypercalls();
	selftest_vcpu();
	selftest_events();
	selftest_time();
	selftest_traps();
	selftest_mm();
	selftest_pin();
	selftest_grants();
	selftest_threads();
	thread_pin(-1);
	printf("selftest: %u passed, %u failed\n", passed, failed);
	return failed;
}
