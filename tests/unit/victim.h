/* SPDX-License-Identifier: MIT */
/* For the tests of sandboxes: a process that a confined one must not harm. */
#ifndef PAVANE_VICTIM_H
#define PAVANE_VICTIM_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t victim;

/* It ends with the test, also with one that fails: it holds the output that a runner waits for. */
static void victim_start(void)
{
	const pid_t test = getpid();

	victim = fork();
	if (!victim) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* Yama would protect it, too */
		while (getppid() == test)
			pause();
		_exit(0);
	}
}

static void victim_lives(void)
{
	usleep(20000);
	assert_int_equal(waitpid(victim, NULL, WNOHANG), 0);
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
}

#endif
