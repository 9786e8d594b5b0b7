/* SPDX-License-Identifier: MIT */
/* What a user program has: system calls, the strings and printf of pv/lib.h, and checks. */
#ifndef USER_H
#define USER_H

#include <pv/lib.h>
#include <pv/syscall.h>

static inline long syscall3(long nr, unsigned long a, unsigned long b, unsigned long c)
{
	long rc;

	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory", "cc");
	return rc;
}

#define SYSCALL(nr, a, b, c) \
	syscall3(nr, (unsigned long)(a), (unsigned long)(b), (unsigned long)(c))

static inline void __attribute__((noreturn)) exit(int status)
{
	for (;;)
		SYSCALL(SYS_exit, status, 0, 0);
}

static inline int fork(void)
{
	return (int)SYSCALL(SYS_fork, 0, 0, 0);
}

static inline int exec(const char *name, char *const argv[])
{
	return (int)SYSCALL(SYS_exec, name, argv, 0);
}

static inline int wait(int *status)
{
	return (int)SYSCALL(SYS_wait, status, 0, 0);
}

static inline int pipe(int fds[2])
{
	return (int)SYSCALL(SYS_pipe, fds, 0, 0);
}

static inline long read(int fd, void *buf, size_t n)
{
	return SYSCALL(SYS_read, fd, buf, n);
}

static inline long write(int fd, const void *buf, size_t n)
{
	return SYSCALL(SYS_write, fd, buf, n);
}

static inline int open(const char *name)
{
	return (int)SYSCALL(SYS_open, name, 0, 0);
}

static inline int close(int fd)
{
	return (int)SYSCALL(SYS_close, fd, 0, 0);
}

static inline int dup(int fd)
{
	return (int)SYSCALL(SYS_dup, fd, 0, 0);
}

static inline int getpid(void)
{
	return (int)SYSCALL(SYS_getpid, 0, 0, 0);
}

static inline long sleep_ns(unsigned long ns)
{
	return SYSCALL(SYS_sleep, ns, 0, 0);
}

static inline void yield(void)
{
	SYSCALL(SYS_yield, 0, 0, 0);
}

static inline void *sbrk(long by)
{
	return (void *)SYSCALL(SYS_sbrk, by, 0, 0);
}

static inline int kill(int pid, int sig)
{
	return (int)SYSCALL(SYS_kill, pid, sig, 0);
}

static inline unsigned long clock_ns(void)
{
	return (unsigned long)SYSCALL(SYS_clock, 0, 0, 0);
}

#define MSEC 1000000ul

/* libc.c: a handler for all signals, or NULL. */
int signal(void (*handler)(int sig));
/* Runs fn in a child of its own; the child's status. */
int in_child(void (*fn)(void));

/* Says "ok WHAT" or "FAIL WHAT" and remembers failures; says nothing good if told to be quiet. */
void check(const char *what, bool ok);
/* What main() of a test returns. */
int failures(void);
extern bool quiet;

int main(int argc, char **argv);

#endif
