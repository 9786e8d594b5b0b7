/* SPDX-License-Identifier: MIT */
/*
 * The user-mode work of Debian's kernel as a PV guest. Its last line says how many checks there
 * were. It executes itself as "load exit STATUS" to see that exec works.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/stock/load.h"

#define LIMIT "300" /* seconds from one check to the next; all of them take 9 in the lab */

static unsigned checks, failures;
static timer_t watchdog;

/* Whoever runs us must get to know where we stand still, and have time to look. */
static void on_limit(int sig)
{
	static const char line[] = "not ok the check that comes next: no end in " LIMIT " s\n";

	_exit(write(STDOUT_FILENO, line, sizeof(line) - 1) < 0 ? 2 : 1);
}

static void watchdog_start(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMAX};

	signal(SIGRTMAX, on_limit);
	timer_create(CLOCK_MONOTONIC, &ev, &watchdog);
}

static void watchdog_rearm(void)
{
	const struct itimerspec it = {.it_value.tv_sec = atoi(LIMIT)};

	timer_settime(watchdog, 0, &it, NULL);
}

void check(bool ok, const char *name, const char *why, ...)
{
	va_list ap;

	checks++;
	failures += !ok;
	printf("%s %s", ok ? "ok" : "not ok", name);
	if (!ok) {
		printf(": ");
		va_start(ap, why);
		vprintf(why, ap);
		va_end(ap);
	}
	printf("\n");
	fflush(stdout);
	watchdog_rearm();
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ul + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "exit"))
		return atoi(argv[2]);
	watchdog_start();
	watchdog_rearm();
	processes();
	remap();
	signals();
	cpu();
	timers();
	domain();
	printf("# load: %u checks, %u failed\n", checks, failures);
	return failures != 0;
}
