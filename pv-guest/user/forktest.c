/* SPDX-License-Identifier: MIT */
/* fork, exec, exit and wait. */
#include "user.h"

#define MANY 20

static void nothing(void)
{
}

static void exit_7(void)
{
	exit(7);
}

static void run_hello(void)
{
	char *argv[] = {"hello", "quiet", NULL};

	exec("hello", argv);
	exit(99);
}

static void exec_nobody(void)
{
	char *argv[] = {"nobody", NULL};

	exit(exec("nobody", argv) < 0 ? 5 : 6);
}

static void grandchild(void)
{
	exit(in_child(exit_7) + 1);
}

/* Leaves a child behind that outlives it. */
static void orphan(void)
{
	if (!fork()) {
		sleep_ns(20 * MSEC);
		exit(0);
	}
}

static void many(void)
{
	int sum = 0, status, pids[MANY];
	bool different = true;

	for (int i = 0; i < MANY; i++) {
		pids[i] = fork();
		if (!pids[i])
			exit(i);
		for (int j = 0; j < i; j++)
			different &= pids[i] > 0 && pids[i] != pids[j];
	}
	for (int i = 0; i < MANY; i++)
		if (wait(&status) > 0)
			sum += status;
	check("fork: twenty children at once", different);
	check("fork: each has its own status", sum == MANY * (MANY - 1) / 2);
}

/* Until there is no room for another; then all are waited for. */
static void too_many(void)
{
	int n = 0, fds[2], waited = 0, status;
	char c;

	pipe(fds);
	for (;; n++) {
		int pid = fork();

		if (pid < 0)
			break;
		if (!pid) {
			close(fds[1]);
			read(fds[0], &c, 1);
			exit(0);
		}
	}
	close(fds[1]);
	while (wait(&status) > 0)
		waited++;
	close(fds[0]);
	check("fork: too many is an error, not a crash", n > MANY && waited == n);
}

int main(int argc, char **argv)
{
	int status;

	check("fork: a child ends", in_child(nothing) == 0);
	check("fork: its status", in_child(exit_7) == 7);
	check("fork: a child of a child", in_child(grandchild) == 8);
	check("exec: another program", in_child(run_hello) == 0);
	check("exec: no such program", in_child(exec_nobody) == 5);
	check("wait: no child", wait(&status) == -10);
	check("fork: a child outlives its parent", in_child(orphan) == 0);
	many();
	too_many();
	sleep_ns(40 * MSEC);
	return failures();
}
