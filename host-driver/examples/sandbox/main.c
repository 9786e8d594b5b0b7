/* SPDX-License-Identifier: MIT */
/*
 * sandbox [-v] POLICY -- PROGRAM [ARGUMENT...]
 *
 * Runs a static program under a policy (policy.c says how one looks; busybox.policy is one). -v
 * tells of each system call. The exit status is the program's own, 128 + the signal that would
 * have ended it, or 125: not even started.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"

#define NOT_STARTED 125

static int status;

void sandbox_end(int how)
{
	status = how;
	pv_user_stop();
}

/* Whatever ring 3 does wrong ends ring 3, and leaves us to tell of it. */
static void on_exception(struct pv_frame *f)
{
	static const uint8_t signals[32] = {
		[0] = SIGFPE, [1] = SIGTRAP, [3] = SIGTRAP,
		[6] = SIGILL, [16] = SIGFPE, [19] = SIGFPE,
	};

	if (!pv_from_user(f)) { /* ours: the library's report of it, and the end */
		pv_on(f->vector, NULL, 0);
		return;
	}
	fprintf(stderr, "sandbox: the program ends: exception %lu at %#lx", (long)f->vector,
		(long)f->rip);
	if (f->vector == PV_VECTOR_PAGE_FAULT)
		fprintf(stderr, ", address %#lx", (long)pv_fault_address());
	fprintf(stderr, "\n");
	sandbox_end(128 + (signals[f->vector] ?: SIGSEGV));
}

/* Vector registers as after reset: what ours hold is ours. */
static void fpu_reset(void)
{
	static const struct {
		uint32_t unused[6], mxcsr, zero[1017];
	} area __attribute__((aligned(64))) = {.mxcsr = 0x1f80};

	__asm__ volatile("xrstor64 (%0)" : : "r"(&area), "a"(0xff), "d"(0) : "memory");
}

static char *find(const char *name)
{
	char *path = NULL, *copy;

	if (strchr(name, '/'))
		return strdup(name);
	copy = strdup(getenv("PATH") ?: "/bin:/usr/bin");
	for (char *dir = strtok(copy, ":"); dir; dir = strtok(NULL, ":")) {
		if (asprintf(&path, "%s/%s", dir, name) > 0 && !access(path, X_OK))
			break;
		free(path);
		path = NULL;
	}
	free(copy);
	return path ?: strdup(name);
}

int main(int argc, char **argv)
{
	struct pv_frame regs;
	char *file;
	int ret, opt;

	while ((opt = getopt(argc, argv, "+v")) == 'v')
		calls_trace = true;
	if (opt != -1 || argc - optind < 3 || strcmp(argv[optind + 1], "--")) {
		fprintf(stderr, "usage: sandbox [-v] POLICY -- PROGRAM [ARGUMENT...]\n");
		return NOT_STARTED;
	}
	if (!policy_read(argv[optind]))
		return NOT_STARTED;
	argv += optind + 2;
	ret = pv_enter();
	if (!ret)
		ret = memory_init();
	if (ret) {
		fprintf(stderr, "sandbox: %s (is pvhost.ko loaded?)\n", strerror(-ret));
		return NOT_STARTED;
	}
	file = find(argv[0]);
	if (!elf_load(file, argv, environ, &regs))
		return NOT_STARTED;
	free(file);
	calls_init();
	for (unsigned v = 0; v < 32; v++)
		pv_on(v, on_exception, 0);
	pv_on(PV_SYSCALL, on_syscall, 0);
	pv_user_set_fs(0);
	fpu_reset();
	pv_user_run(&regs);
	return status;
}
