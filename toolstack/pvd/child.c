/* SPDX-License-Identifier: MIT */
/* A program that is to run: started again at once when it ends, unless it keeps ending. */
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/pvd/pvd.h"

#define KEEPS_DYING 5  /* seconds; one that lived longer is started again at once */
#define MAX_DELAY   16 /* seconds */

time_t uptime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

int child_start(struct child *c, const char *const argv[], const char *const env[], const int *keep,
		int nkeep)
{
	pid_t pid;

	c->since = uptime();
	pid = spawn(argv, env, keep, nkeep, &c->pidfd);
	if (pid < 0) {
		log_line("%s: cannot start: error %d", c->name, -pid);
		return pid;
	}
	c->pid = pid;
	return 0;
}

void child_died(struct child *c, int status)
{
	c->pid = 0;
	if (c->pidfd >= 0)
		close(c->pidfd);
	c->pidfd = -1;
	if (uptime() - c->since > KEEPS_DYING)
		c->delay = 0;
	else
		c->delay = c->delay ? c->delay * 2 : 1;
	if (c->delay > MAX_DELAY)
		c->delay = MAX_DELAY;
	log_line("%s: ended (%s %d)", c->name, WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

bool child_due(const struct child *c)
{
	return !c->pid && (!c->delay || uptime() >= c->since + c->delay);
}
