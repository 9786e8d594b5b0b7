/* SPDX-License-Identifier: MIT */
/*
 * xenstored and xenconsoled, Debian's own, on our libraries. All of this but store_wait runs on
 * the main thread.
 *
 * A xenstored that dies takes every guest's store connection with it, so it is started again only
 * when no domain is left; until then clients get errors at once, since nobody listens.
 */
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/pvd/pvd.h"

#define CONSOLE_LOG_CHECK 5	      /* seconds */
#define CONSOLE_LOG_MAX	  (16L << 20) /* of each, and of the one before it */

static struct child store = {.name = "xenstored", .pidfd = -1};
static struct child console = {.name = "xenconsoled", .pidfd = -1};

/* The newest of the installed ones, or what the environment says. */
static int find_program(const char *name, const char *env, char *path, size_t size)
{
	const char *e = getenv(env);
	char pattern[64];
	glob_t g;

	if (e && *e) {
		snprintf(path, size, "%s", e);
		return 0;
	}
	snprintf(pattern, sizeof(pattern), "/usr/lib/xen-[0-9]*/bin/%s", name);
	if (glob(pattern, 0, NULL, &g))
		return -ENOENT;
	snprintf(path, size, "%s", g.gl_pathv[g.gl_pathc - 1]);
	globfree(&g);
	return 0;
}

static int start(struct child *c, const char *const argv[], bool as_root, const int *keep, int n)
{
	char ld[320], dir[128], preload[330];
	const char *env[] = {ld, dir, as_root ? preload : NULL, NULL};

	snprintf(ld, sizeof(ld), "LD_LIBRARY_PATH=%s", libdir);
	snprintf(dir, sizeof(dir), "XENSTORED_RUNDIR=%s/xenstored", rundir);
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s/pavane-asroot.so", libdir);
	return child_start(c, argv, env, keep, n);
}

static void store_path(struct sockaddr_un *sa)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/xenstored/socket", rundir);
}

static int store_listen(void)
{
	struct sockaddr_un sa;
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	store_path(&sa);
	unlink(sa.sun_path);
	if (s >= 0 && !bind(s, (void *)&sa, sizeof(sa)) && !listen(s, 64))
		return s;
	if (s >= 0)
		close(s);
	return -1;
}

static int write_dump(int sock, int ep)
{
	uint8_t buf[4096];
	char path[160];
	size_t len = store_dump(buf, sizeof(buf), sock, ep);
	int fd, ok;

	snprintf(path, sizeof(path), "%s/xenstored/state_dump", rundir);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ok = write(fd, buf, len) == (ssize_t)len;
	close(fd);
	return ok ? 0 : -EIO;
}

int store_start(void)
{
	char path[256], dir[160], pidfile[160];
	const char *const argv[] = {path, "-N", "-U", "-F", pidfile, NULL};
	int keep[2], rc;

	if (find_program("xenstored", "PAVANE_XENSTORED", path, sizeof(path))) {
		log_line("xenstored: not found: install xen-utils");
		return -ENOENT;
	}
	snprintf(dir, sizeof(dir), "%s/xenstored", rundir);
	snprintf(pidfile, sizeof(pidfile), "%s/xenstored.pid", rundir);
	mkdir(dir, 0700);
	unlink(pidfile);
	/* its event channel handle: xenevtchn_fdopen makes a handle of this epoll set */
	keep[0] = store_listen();
	keep[1] = epoll_create1(EPOLL_CLOEXEC);
	if (keep[0] < 0 || keep[1] < 0)
		rc = -errno;
	else
		rc = write_dump(keep[0], keep[1]);
	if (!rc)
		rc = start(&store, argv, false, keep, 2);
	/* only xenstored may hold the socket: when it is gone a client must not wait */
	for (int i = 0; i < 2; i++)
		if (keep[i] >= 0)
			close(keep[i]);
	return rc;
}

static void console_start(void)
{
	char path[256], logdir[160], pidfile[160], logarg[176], pidarg[176];
	const char *const argv[] = {path, "-i", "--log=guest", logarg, pidarg, NULL};

	if (find_program("xenconsoled", "PAVANE_XENCONSOLED", path, sizeof(path)))
		return;
	snprintf(logdir, sizeof(logdir), "%s/console", rundir);
	snprintf(pidfile, sizeof(pidfile), "%s/xenconsoled.pid", rundir);
	snprintf(logarg, sizeof(logarg), "--log-dir=%s", logdir);
	snprintf(pidarg, sizeof(pidarg), "--pid-file=%s", pidfile);
	mkdir(logdir, 0700);
	unlink(pidfile);
	start(&console, argv, getuid() != 0, NULL, 0);
}

/* One XS_READ, as any client would: does it come back? */
static bool answers(int ms)
{
	static const char path[] = "/local/domain/0/name";
	struct {
		uint32_t type, id, tx, len;
		char path[sizeof(path)];
	} __attribute__((packed)) q = {2, 0, 0, sizeof(path), ""};
	struct sockaddr_un sa;
	struct pollfd p;
	uint32_t r[4];
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = false;

	if (s < 0)
		return false;
	memcpy(q.path, path, sizeof(path));
	store_path(&sa);
	if (!connect(s, (void *)&sa, sizeof(sa)) &&
	    send(s, &q, sizeof(q), MSG_NOSIGNAL) == sizeof(q)) {
		p = (struct pollfd){s, POLLIN, 0};
		ok = poll(&p, 1, ms) == 1 && recv(s, r, sizeof(r), 0) == sizeof(r) && r[0] == 2;
	}
	close(s);
	return ok;
}

bool store_wait(int ms)
{
	const time_t until = uptime() + ms / 1000;

	while (uptime() <= until) {
		if (answers(1000))
			return true;
		if (!store.pid && dom_count()) /* not to be started as long as these live */
			return false;
		usleep(5000);
	}
	return false;
}

bool store_child_died(pid_t pid, int status)
{
	struct child *c = pid == store.pid ? &store : pid == console.pid ? &console : NULL;

	if (!c)
		return false;
	child_died(c, status);
	if (c == &store && console.pid) /* it would wait for its old connection forever */
		kill(console.pid, SIGKILL);
	return true;
}

/* False if it is not one, or still small. */
static bool rotate(const char *path)
{
	char old[160];
	struct stat st;

	if (lstat(path, &st) || !S_ISREG(st.st_mode) || st.st_size <= CONSOLE_LOG_MAX ||
	    snprintf(old, sizeof(old), "%s.1", path) >= (int)sizeof(old) || rename(path, old))
		return false;
	log_line("%s: begun anew at %ld bytes; the last ones are in %s", path, (long)st.st_size,
		 old);
	return true;
}

/*
 * xenconsoled appends what guests print for as long as they do: the disk is not to be theirs. What
 * it writes until it has heard of the new name goes into the old file, so nothing is lost.
 */
static void rotate_console_logs(void)
{
	static time_t last;
	char pattern[128];
	bool any = false;
	glob_t g;

	if (uptime() - last < CONSOLE_LOG_CHECK)
		return;
	last = uptime();
	snprintf(pattern, sizeof(pattern), "%s/console/guest-*.log", rundir);
	if (glob(pattern, GLOB_NOSORT, NULL, &g))
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		any |= rotate(g.gl_pathv[i]);
	globfree(&g);
	if (any && console.pid)
		kill(console.pid, SIGHUP); /* it opens its logs again */
}

void store_tick(void)
{
	rotate_console_logs();
	if (child_due(&store) && !dom_count() && !store_start())
		log_line("xenstored: started again");
	if (store.pid && child_due(&console) && answers(200))
		console_start();
}

void store_domain_gone(void)
{
	if (!store.pid)
		main_kick();
}

void store_stop(void)
{
	struct sockaddr_un sa;

	if (console.pid)
		kill(console.pid, SIGKILL);
	if (store.pid)
		kill(store.pid, SIGKILL);
	store_path(&sa);
	unlink(sa.sun_path);
}
