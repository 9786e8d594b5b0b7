/* SPDX-License-Identifier: MIT */
/* The rest of the C library; strings and printf are the kernel's own (pv-guest/lib). */
#include "user.h"

bool quiet;
static int failed;

/* printf ends here. */
void console_write(const char *s, size_t n)
{
	write(1, s, n);
}

void start(int argc, char **argv);
void start(int argc, char **argv)
{
	quiet = argc > 1 && !strcmp(argv[1], "quiet");
	exit(main(argc, argv));
}

/* Where a handler returns to: the kernel pushed this address, and above it what it must restore. */
void __attribute__((naked)) restorer(void);
void __attribute__((naked)) restorer(void)
{
	__asm__ volatile("movl %0, %%eax; syscall; ud2" ::"i"(SYS_sigreturn));
}

int signal(void (*handler)(int sig))
{
	return (int)SYSCALL(SYS_signal, handler, restorer, 0);
}

int in_child(void (*fn)(void))
{
	int status = -1, pid = fork();

	if (!pid) {
		fn();
		exit(0);
	}
	if (pid < 0 || wait(&status) != pid)
		return -1;
	return status;
}

void check(const char *what, bool ok)
{
	failed += !ok;
	if (!ok || !quiet)
		printf("%s %s\n", ok ? "ok" : "FAIL", what);
}

int failures(void)
{
	return failed;
}
