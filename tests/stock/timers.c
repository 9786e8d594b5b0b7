/* SPDX-License-Identifier: MIT */
/* Time, as the hypervisor's clock and timer give it. */
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/stock/load.h"

#define MS 1000000ul

/* A busy machine is late now and then, but never early. */
#define LATE (60000 * MS)

static void sleeping(void)
{
	uint64_t worst = 0;
	unsigned early = 0;

	for (unsigned i = 1; i <= 20; i++) {
		const struct timespec t = {0, i * MS};
		const uint64_t start = now_ns();
		uint64_t took;

		nanosleep(&t, NULL);
		took = now_ns() - start;
		early += took < i * MS;
		if (took - i * MS > worst)
			worst = took - i * MS;
	}
	check(!early && worst < LATE, "nanosleep", "%u early, %lu us late", early, worst / 1000);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	alarms++;
}

/* A timer that interrupts a program which does nothing but compute. */
static void ticking(void)
{
	const struct itimerval it = {{0, 10000}, {0, 10000}}, off = {{0, 0}, {0, 0}};
	const uint64_t start = now_ns();
	uint64_t took;

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &it, NULL);
	while (alarms < 20 && now_ns() - start < LATE)
		;
	setitimer(ITIMER_REAL, &off, NULL);
	took = now_ns() - start;
	check(alarms >= 20 && took >= 195 * MS, "a timer interrupts a loop", "%d in %lu ms", alarms,
	      took / MS);
	signal(SIGALRM, SIG_DFL);
}

static void waiting(void)
{
	const struct itimerspec it = {{0, 0}, {0, 30 * MS}};
	const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	const uint64_t start = now_ns();
	int first, second;
	bool early;

	timerfd_settime(fd, 0, &it, NULL);
	first = poll(&p, 1, 5);
	early = first && now_ns() - start < 30 * MS;
	second = poll(&p, 1, LATE / MS);
	check(!early && second == 1 && now_ns() - start >= 30 * MS, "poll", "%d %d after %lu us",
	      first, second, (now_ns() - start) / 1000);
	close(fd);
}

/* The clock in the process (vDSO) and the kernel's are one, and neither goes back. */
static void clocks(void)
{
	struct timespec own, kernel, before = {0, 0};
	unsigned back = 0;

	for (unsigned i = 0; i < 5000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &own);
		if (i % 2)
			syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &own);
		back += own.tv_sec < before.tv_sec ||
			(own.tv_sec == before.tv_sec && own.tv_nsec < before.tv_nsec);
		before = own;
	}
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &kernel);
	check(!back, "clocks never go back", "%u times", back);
	check(kernel.tv_sec >= 1000000000, "the time of day", "%ld", kernel.tv_sec);
}

void timers(void)
{
	sleeping();
	ticking();
	waiting();
	clocks();
}
