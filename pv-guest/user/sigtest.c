/* SPDX-License-Identifier: MIT */
/* Signals: they end a process whatever it does, unless it has a handler. */
#include "user.h"

static volatile int seen;
static int fds[2];

static void note(int sig)
{
	seen = sig;
}

static void spin(void)
{
	for (;;)
		;
}

static void sleep_long(void)
{
	sleep_ns(60000 * MSEC);
}

static void read_forever(void)
{
	char c;

	read(fds[0], &c, 1);
}

static void spin_with_handler(void)
{
	signal(note);
	spin();
}

static int killed(void (*fn)(void), int sig)
{
	int status = -1, pid = fork();

	if (!pid) {
		fn();
		exit(0);
	}
	sleep_ns(5 * MSEC);
	kill(pid, sig);
	wait(&status);
	return status;
}

/* The handler returns into the middle of a computation whose registers must survive. */
static void handled(void)
{
	unsigned long a = 1, b = 2, c = 3, d = 4;
	int parent = getpid();

	signal(note);
	if (!fork()) {
		sleep_ns(5 * MSEC);
		exit(kill(parent, 5));
	}
	while (!seen) {
		a = a * 3 + 1;
		b = a ^ b;
		c += 1;
		d = b + c;
	}
	check("signal: the handler was called", seen == 5);
	check("signal: and what it interrupted goes on", c >= 3 && d == b + c && (a & 1) == a % 2);
	wait(NULL);
	seen = 0;
	kill(getpid(), 6);
	check("signal: to itself", seen == 6);
	signal(NULL);
}

int main(int argc, char **argv)
{
	pipe(fds);
	check("signal: ends one that spins", killed(spin, SIGTERM) == STATUS_SIGNAL(SIGTERM));
	check("signal: one that sleeps", killed(sleep_long, 3) == STATUS_SIGNAL(3));
	check("signal: one that reads", killed(read_forever, 4) == STATUS_SIGNAL(4));
	check("signal: SIGKILL, whatever the handler",
	      killed(spin_with_handler, SIGKILL) == STATUS_SIGNAL(SIGKILL));
	handled();
	check("signal: to nobody", kill(99999, 5) == -3);
	check("signal: none of that number", kill(getpid(), 64) == -22 && kill(getpid(), 0) == -22);
	check("signal: a handler in the kernel", SYSCALL(SYS_signal, 0x400000, 0x400000, 0) == -14);
	return failures();
}
