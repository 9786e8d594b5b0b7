/* SPDX-License-Identifier: MIT */
/*
 * The user-mode work of Debian's kernel as a PV guest. Its last line says how many checks there
 * were. It executes itself as "load exit STATUS" to see that exec works.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/stock/load.h"

static unsigned checks, failures;

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
	processes();
	signals();
	cpu();
	timers();
	domain();
	printf("# load: %u checks, %u failed\n", checks, failures);
	return failures != 0;
}
