/* SPDX-License-Identifier: MIT */
/*
 * Makes a thread of another process call its kernel, as a guest could that has taken over its
 * pvdom: test-inject TID NR [ARGUMENT...] Prints "signal N" if the process is no more, else "=
 * VALUE", and lets the thread go on.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

static pid_t tid;

static int failed(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 1;
}

static void must(const char *what, long rc)
{
	if (rc < 0)
		exit(failed(what));
}

/* Until it stops. False: it has ended. */
static int stops(void)
{
	int status;

	must("wait", waitpid(tid, &status, __WALL));
	if (WIFSIGNALED(status))
		printf("signal %d\n", WTERMSIG(status));
	return WIFSTOPPED(status);
}

int main(int argc, char **argv)
{
	struct user_regs_struct was, r;
	long a[6] = {0};

	if (argc < 3 || argc > 9)
		return 2;
	tid = atoi(argv[1]);
	for (int i = 3; i < argc; i++)
		a[i - 3] = strtol(argv[i], NULL, 0);
	must("seize", ptrace(PTRACE_SEIZE, tid, NULL, NULL));
	must("interrupt", ptrace(PTRACE_INTERRUPT, tid, NULL, NULL));
	if (!stops())
		return 0;
	must("registers", ptrace(PTRACE_GETREGS, tid, NULL, &was));
	r = was;
	if ((long)was.orig_rax < 0) { /* it is not in a call, so there is no such instruction */
		printf("not in a system call\n");
		return 1;
	}
	r.orig_rax = -1; /* the call it was in is not begun again */
	r.rip -= 2;	 /* the instruction itself is */
	r.rax = strtol(argv[2], NULL, 0);
	r.rdi = a[0], r.rsi = a[1], r.rdx = a[2], r.r10 = a[3], r.r8 = a[4], r.r9 = a[5];
	must("set registers", ptrace(PTRACE_SETREGS, tid, NULL, &r));
	must("step", ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL));
	if (!stops())
		return 0;
	must("result", ptrace(PTRACE_GETREGS, tid, NULL, &r));
	printf("= %ld\n", (long)r.rax);
	must("set back", ptrace(PTRACE_SETREGS, tid, NULL, &was));
	must("detach", ptrace(PTRACE_DETACH, tid, NULL, NULL));
	return 0;
}
