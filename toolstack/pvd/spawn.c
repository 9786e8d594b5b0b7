/* SPDX-License-Identifier: MIT */
/*
 * Children, and the main thread's loop. Every child asks the kernel to be killed when the thread
 * that forked it ends, so only the main thread forks, and nothing outlives a pvd that is killed.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hypercalls/pvdom/namespaces.h"
#include "toolstack/pvd/pvd.h"

#define MAX_ENV 256

struct job {
	struct job *next;
	const char *const *argv;
	char **env;
	const int *keep;
	int nkeep, pidfd;
	bool apart;
	pid_t pid;
	bool done;
};

extern char **environ;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static struct job *jobs;
static pthread_t main_thread;
static int kick_fd = -1, sig_fd = -1;
static bool stopping;
static char rundir_env[128];

static void kick(void)
{
	if (write(kick_fd, &(uint64_t){1}, 8) < 0)
		return;
}

void main_stop(void)
{
	__atomic_store_n(&stopping, true, __ATOMIC_SEQ_CST);
	kick();
}

/* Between fork and exec: async-signal-safe calls only, other threads may hold any lock. */
static void child(const struct job *j, pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* 0 in a PID namespace of its own; there, pvd's end is that of the sockets to it */
	if (getppid() && getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* with --foreground there may be some of whoever started pvd */
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	for (int i = 0; i < j->nkeep; i++)
		fcntl(j->keep[i], F_SETFD, 0);
	execve(j->argv[0], (char *const *)j->argv, j->env);
	_exit(127);
}

static void run(struct job *j)
{
	pid_t self = getpid(), pid = j->apart ? namespaces_fork() : fork();

	if (!pid)
		child(j, self);
	j->pidfd = -1;
	if (pid < 0) {
		j->pid = -errno;
		return;
	}
	/* not reaped before this thread says so: the number is still the child's */
	j->pidfd = syscall(SYS_pidfd_open, pid, 0);
	j->pid = pid;
}

/* What the loader, sanitizers and Pavane itself need to know; a guest need not know the rest. */
static bool told_apart(const char *var)
{
	const char *end = strchrnul(var, '=');

	return !strncmp(var, "LD_", 3) || !strncmp(var, "PAVANE_", 7) ||
	       (end - var > 8 && !strncmp(end - 8, "_OPTIONS", 8));
}

/* The environment with `extra` put before what it replaces. */
static char **make_env(const char *const *extra, bool apart)
{
	char **env = calloc(MAX_ENV, sizeof(*env));
	int n = 0, fixed;

	if (!env)
		return NULL;
	env[n++] = rundir_env;
	while (extra && *extra && n < 16)
		env[n++] = (char *)*extra++;
	fixed = n;
	for (char **e = environ; *e && n < MAX_ENV - 1; e++) {
		size_t name = strcspn(*e, "=") + 1;
		int i;

		for (i = 0; i < fixed && strncmp(env[i], *e, name); i++)
			;
		if (i == fixed && (!apart || told_apart(*e)))
			env[n++] = *e;
	}
	return env;
}

static pid_t start(struct job *j, int *pidfd)
{
	if (!j->env)
		return -ENOMEM;
	if (pthread_equal(pthread_self(), main_thread)) {
		run(j);
	} else {
		pthread_mutex_lock(&lock);
		j->next = jobs;
		jobs = j;
		kick();
		while (!j->done)
			pthread_cond_wait(&done, &lock);
		pthread_mutex_unlock(&lock);
	}
	free(j->env);
	if (pidfd)
		*pidfd = j->pidfd;
	else if (j->pidfd >= 0)
		close(j->pidfd);
	return j->pid;
}

pid_t spawn(const char *const argv[], const char *const env[], const int *keep, int nkeep,
	    int *pidfd)
{
	struct job j = {.argv = argv, .env = make_env(env, false), .keep = keep, .nkeep = nkeep};

	return start(&j, pidfd);
}

pid_t spawn_apart(const char *const argv[], const int *keep, int nkeep, int *pidfd)
{
	struct job j = {.argv = argv,
			.env = make_env(NULL, true),
			.keep = keep,
			.nkeep = nkeep,
			.apart = true};

	return start(&j, pidfd);
}

static void run_jobs(void)
{
	pthread_mutex_lock(&lock);
	while (jobs) {
		struct job *j = jobs;

		jobs = j->next;
		run(j);
		j->done = true;
	}
	pthread_cond_broadcast(&done);
	pthread_mutex_unlock(&lock);
}

static void reap_children(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!store_child_died(pid, status) && !backend_died(pid, status))
			dom_died(pid, status);
}

static void end_children(void)
{
	dom_kill_all();
	backend_kill_all();
	store_stop();
	/* all of them are being killed; do not wait for one stuck in the kernel */
	for (int i = 0; i < 100; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			break;
		if (!pid)
			usleep(10000);
	}
}

/* To be called first, by the main thread, before any other exists. */
int main_prepare(void)
{
	sigset_t set;

	main_thread = pthread_self();
	snprintf(rundir_env, sizeof(rundir_env), "PAVANE_RUNDIR=%s", rundir);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sig_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return sig_fd < 0 || kick_fd < 0 ? -errno : 0;
}

int main_loop(void)
{
	while (!__atomic_load_n(&stopping, __ATOMIC_SEQ_CST)) {
		struct pollfd p[2] = {{kick_fd, POLLIN, 0}, {sig_fd, POLLIN, 0}};
		struct signalfd_siginfo si;
		uint64_t count;

		poll(p, 2, 500);
		if (p[0].revents && read(kick_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return -errno;
		while (read(sig_fd, &si, sizeof(si)) == sizeof(si))
			if (si.ssi_signo != SIGCHLD)
				main_stop();
		run_jobs();
		reap_children();
		store_tick();
		backend_tick();
		log_tick();
		limit_tick();
		dom_tick();
	}
	end_children();
	return 0;
}

void main_kick(void)
{
	kick();
}
