/* SPDX-License-Identifier: MIT */
/* pvd: the broker between Xen's tools and the domains' processes. */
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hypercalls/pvdom/tsc.h"
#include "hypercalls/pvdom/version.h"
#include "toolstack/pvd/pvd.h"
#include "toolstack/pvd/std.h"

#define START_TRIES 200 /* of 50 ms */

char rundir[90], bindir[256], libdir[300];
uint32_t tsc_rate;

static void find_dirs(void)
{
	char exe[256];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = 0;
	snprintf(bindir, sizeof(bindir), "%s", dirname(exe));
	snprintf(libdir, sizeof(libdir), "%s/../lib/pavane", bindir);
}

static int make_rundir(void)
{
	struct stat st;

	char dir[256];

	pvd_rundir(dir, sizeof(dir));
	if (strlen(dir) >= sizeof(rundir)) { /* a socket's name has 107 characters */
		fprintf(stderr, "pvd: %s: too long for a run directory\n", dir);
		return -1;
	}
	memcpy(rundir, dir, strlen(dir) + 1);
	if (mkdir(rundir, 0700) && errno != EEXIST) {
		fprintf(stderr, "pvd: %s: %s\n", rundir, strerror(errno));
		return -1;
	}
	/* /tmp/pavane-UID may be somebody else's trap */
	if (lstat(rundir, &st) || !S_ISDIR(st.st_mode) || st.st_uid != getuid()) {
		fprintf(stderr, "pvd: %s: not a directory of this user's\n", rundir);
		return -1;
	}
	if ((st.st_mode & 0777) != 0700 && chmod(rundir, 0700)) {
		fprintf(stderr, "pvd: %s: %s\n", rundir, strerror(errno));
		return -1;
	}
	return 0;
}

/* The lock says that a pvd lives; it ends with the process, however that ends. */
static int take_lock(void)
{
	char path[128], pid[16];
	int fd, n;

	snprintf(path, sizeof(path), "%s/pvd.pid", rundir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return -EBUSY;
	}
	n = snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (ftruncate(fd, 0) || write(fd, pid, n) != n)
		return -EIO;
	return fd;
}

/* What the domains of a pvd that was killed left behind. */
static void clear_stale(void)
{
	char dir[128], pattern[140];
	glob_t g;

	snprintf(dir, sizeof(dir), "%s/domains", rundir);
	mkdir(dir, 0700);
	snprintf(pattern, sizeof(pattern), "%s/*.cfg", dir);
	if (glob(pattern, 0, NULL, &g))
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		unlink(g.gl_pathv[i]);
	globfree(&g);
}

/*
 * status: where to say 'k' when the socket listens, 'b' when another pvd has the lock; who reads
 * the end of the file instead knows that it failed.
 */
static int serve(bool to_log, int status)
{
	const struct tsc_sample begin = tsc_sample();
	struct rlimit nofile;
	char path[128];
	pthread_t t;
	int rc, fd, lock = take_lock();

	if (lock == -EBUSY && status < 0)
		fprintf(stderr, "pvd: already serves %s\n", rundir);
	if (lock < 0)
		return lock == -EBUSY && write(status, "b", 1) == 1 ? 0 : 1;
	umask(077);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(fd, 0);
	if (to_log) {
		snprintf(path, sizeof(path), "%s/pvd.log", rundir);
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (fd < 0)
			return 1;
		dup2(fd, 1);
		dup2(fd, 2);
	}
	setvbuf(stderr, NULL, _IOLBF, 0);
	if (!getrlimit(RLIMIT_NOFILE, &nofile)) {
		nofile.rlim_cur = nofile.rlim_max;
		setrlimit(RLIMIT_NOFILE, &nofile);
	}
	if (chdir("/"))
		return 1;
	clear_stale();
	rc = main_prepare();
	tsc_rate = tsc_khz(begin);
	if (!rc)
		rc = server_listen();
	if (!rc)
		rc = -pthread_create(&t, NULL, server_thread, NULL);
	if (!rc)
		rc = store_start();
	if (rc) {
		log_line("pvd: cannot start: %s", strerror(-rc));
		server_close();
		store_stop();
		return 1;
	}
	log_line("Pavane: pvd %d serves %s", getpid(), rundir);
	if (status >= 0) {
		if (write(status, "k", 1) != 1)
			log_line("pvd: whoever started it has gone");
		close(status);
	}
	rc = main_loop();
	server_close();
	log_line("Pavane: pvd ends");
	_exit(rc ? 1 : 0);
}

/* 1: serving and the store answers; 0: serving without a store; < 0: nobody there. */
static int hello(uint64_t *domains)
{
	uint64_t out[2] = {0};
	int s = pvd_connect();
	long rc;

	if (s < 0)
		return -1;
	rc = pvd_call(s, PVD_HELLO, (uint64_t[6]){PVD_PROTO}, NULL, 0, -1, NULL, 0, out, NULL);
	close(s);
	*domains = out[1];
	return rc < 0 ? -1 : out[0] != 0;
}

/* What the one that needed a daemon had open, a lock perhaps, is not the daemon's. */
static void close_inherited(int keep)
{
	if (keep > 3)
		close_range(3, keep - 1, 0);
	close_range(keep + 1, ~0U, 0);
}

/* 'k', 'b', or 0 if it failed. */
static char start_child(void)
{
	int p[2], status;
	char word = 0;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC))
		return 0;
	pid = fork();
	if (!pid) {
		setsid();
		close_inherited(p[1]);
		/* a second fork, so that the daemon is nobody's child to wait for */
		pid = fork();
		_exit(pid ? pid < 0 : serve(true, p[1]));
	}
	close(p[1]);
	if (pid > 0) {
		waitpid(pid, &status, 0);
		if (read(p[0], &word, 1) != 1)
			word = 0;
	}
	close(p[0]);
	return word;
}

static int daemon_start(void)
{
	for (int i = 0; i < START_TRIES; i++) {
		uint64_t domains = 0;
		int h = hello(&domains);

		if (h > 0)
			return 0;
		if (!h && domains) {
			fprintf(stderr,
				"pvd: xenstored is gone; it comes back when no domain is left\n");
			return 0;
		}
		/* one that has the lock but does not listen yet, or no longer, may still do so */
		if (!h || !start_child())
			break;
		if (i)
			usleep(50000);
	}
	fprintf(stderr, "pvd: does not start; see %s/pvd.log\n", rundir);
	return 1;
}

static int daemon_stop(void)
{
	int s = pvd_connect();

	if (s < 0)
		return 0;
	pvd_call(s, PVD_STOP, NULL, NULL, 0, -1, NULL, 0, NULL, NULL);
	close(s);
	for (int i = 0; i < 200; i++) {
		int fd = take_lock();

		if (fd >= 0) {
			close(fd);
			return 0;
		}
		usleep(20000);
	}
	fprintf(stderr, "pvd: does not stop; see %s/pvd.log\n", rundir);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{"daemon", no_argument, 0, 'd'},
		{"foreground", no_argument, 0, 'f'},
		{"stop", no_argument, 0, 's'},
		{"help", no_argument, 0, 'h'},
		{0},
	};
	int opt;

	std_open();
	if (version_asked("pvd", argc, argv))
		return 0;
	opt = getopt_long(argc, argv, "h", opts, NULL);
	if (opt == 'h') {
		printf("usage: pvd --daemon | --foreground | --stop\n\n"
		       "The broker of Pavane's domains. pvctl starts it when it is needed.\n"
		       "  --daemon      start it, unless it runs; return when it and xenstored serve\n"
		       "  --foreground  the same in this process, logging to standard error\n"
		       "  --stop        end it and every domain\n"
		       "  --version     say which this is\n\n"
		       "PAVANE_RUNDIR   its directory: socket, log, xenstored, consoles\n");
		return 0;
	}
	if (argc != 2 || (opt != 'd' && opt != 'f' && opt != 's')) {
		fprintf(stderr, "usage: pvd --daemon | --foreground | --stop | --help\n");
		return 2;
	}
	find_dirs();
	if (make_rundir())
		return 1;
	return opt == 'd' ? daemon_start() : opt == 's' ? daemon_stop() : serve(false, -1);
}
