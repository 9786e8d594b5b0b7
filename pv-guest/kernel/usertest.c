/* SPDX-License-Identifier: MIT */
/*
 * The self-test of user mode: programs that check what they see and say so, and what the kernel
 * sees of them. Its lines are the same wherever guest user mode exists, on any number of vCPUs.
 */
#include <pv/process.h>
#include "kernel.h"

static unsigned int passed, failed;

static void verdict(bool ok, const char *text)
{
	if (ok)
		passed++;
	else
		failed++;
	printf("%s user: %s\n", ok ? "ok" : "FAIL", text);
}

static int run(char *program, char *arg)
{
	char *argv[] = {program, arg};
	int status = -1;
	long pid = process_spawn(arg ? 2 : 1, argv);

	if (pid < 0 || process_wait((int)pid, &status) != pid)
		return -1;
	return status;
}

void usertest_run(void)
{
	static char *const programs[] = {"hello",   "forktest",	 "cowtest", "pipetest",
					 "sigtest", "faulttest", "smptest"};
	const char *missing = process_missing();
	unsigned long before;
	char text[64];

	passed = failed = 0;
	if (missing) {
		printf("skip usertest: %s\n", missing);
		return;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(programs); i++) {
		int status = run(programs[i], NULL);

		snprintf(text, sizeof(text), "%s ends with status %d", programs[i], status);
		verdict(!status, text);
	}
	verdict(run("nobody", NULL) < 0, "no program of that name");
	verdict(!run("init", "hello quiet | count"), "a line for the shell");
	verdict(!run("init", "hello | count"), "two programs and a pipe");
	/* Once more, now that every thread has its stack: nothing may stay behind. */
	before = page_free_count();
	for (unsigned int i = 0; i < ARRAY_SIZE(programs); i++)
		run(programs[i], "quiet");
	verdict(page_free_count() == before, "processes leave no page behind");
	printf("usertest: %u passed, %u failed\n", passed, failed);
}
