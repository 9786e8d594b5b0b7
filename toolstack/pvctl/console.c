/* SPDX-License-Identifier: MIT */
/*
 * A domain's console: the pty that xenconsoled made for it, until the domain ends or ^]. What a pty
 * holds is given to one reader: whoever comes later reads along from the log (console_log.c).
 *
 * While pvctl is attached it holds a lock that the reaper waits for, so the last lines of a
 * domain that ends are read before its console goes. kill -9 of pvctl drops the lock.
 */
#define XC_WANT_COMPAT_MAP_FOREIGN_API
#include "toolstack/pvctl/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <xen/io/console.h>

#define ESCAPE	  0x1d /* ^] */
#define FOLLOW_MS 100  /* between two looks at the log */
#define QUIET_MS  40   /* nothing for so long after the ring is empty: all was said */

static struct termios saved;

static bool raw;

static void restore(void)
{
	if (raw)
		tcsetattr(0, TCSADRAIN, &saved);
	raw = false;
}

static void on_signal(int sig)
{
	restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void raw_terminal(void)
{
	struct termios t;

	if (!isatty(0) || tcgetattr(0, &saved))
		return;
	t = saved;
	cfmakeraw(&t);
	t.c_oflag |= OPOST;
	raw = true;
	atexit(restore);
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	signal(SIGINT, on_signal);
	tcsetattr(0, TCSADRAIN, &t);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* xenconsoled writes the pty's name into the store when it has seen the domain. A line and -1. */
static int open_tty(uint32_t domid)
{
	const int64_t limit = now_ms() + 10000;
	char path[64], *tty;
	unsigned n;
	int fd;

	snprintf(path, sizeof(path), "/local/domain/%u/console/tty", domid);
	if (!xs_watch(xsh, path, "tty")) {
		fprintf(stderr, "pvctl: the store does not answer: %s\n", strerror(errno));
		return -1;
	}
	for (;;) {
		struct pollfd p = {xs_fileno(xsh), POLLIN, 0};
		char **w;

		tty = store_read("/local/domain/%u/console/tty", domid);
		if (tty && *tty)
			break;
		free(tty);
		if (now_ms() > limit) {
			fprintf(stderr, "pvctl: domain %u has no console; see %s/pvd.log\n", domid,
				rundir);
			return -1;
		}
		if (poll(&p, 1, 200) > 0 && (w = xs_read_watch(xsh, &n)))
			free(w);
	}
	xs_unwatch(xsh, path, "tty");
	fd = open(tty, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fprintf(stderr, "pvctl: console %s: %s\n", tty, strerror(errno));
	free(tty);
	return fd;
}

static struct xencons_interface *map_ring(uint32_t domid)
{
	char *ref = store_read("/local/domain/%u/console/ring-ref", domid);
	void *p = ref ? xc_map_foreign_range(xch, domid, 4096, PROT_READ, strtoul(ref, NULL, 10))
		      : NULL;

	free(ref);
	return p;
}

void console_write(const char *buf, ssize_t n)
{
	while (n > 0) {
		ssize_t w = write(1, buf, n);

		if (w < 0 && errno != EINTR)
			return;
		if (w > 0) {
			buf += w;
			n -= w;
		}
	}
}

static uint32_t received; /* bytes, as the ring counts them */

/* Read what there is. False: the console is gone. */
static bool from_guest(int tty)
{
	char buf[4096];
	ssize_t n = read(tty, buf, sizeof(buf));

	if (n > 0) {
		console_write(buf, n);
		received += n;
	}
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Typed or piped, not yet taken by the console. */
struct input {
	char buf[4096];
	size_t n;
	bool terminal, eof;
};

/* True: ^] was typed. */
static bool read_input(struct input *in)
{
	char buf[512], *esc;
	size_t room = sizeof(in->buf) - in->n;
	ssize_t n = read(0, buf, in->terminal || room > sizeof(buf) ? sizeof(buf) : room);

	if (n <= 0) {
		in->eof = n == 0 || (errno != EINTR && errno != EAGAIN);
		return false;
	}
	esc = in->terminal ? memchr(buf, ESCAPE, n) : NULL;
	if (esc)
		n = esc - buf;
	if ((size_t)n > room) /* typed at a guest that does not listen */
		n = room;
	memcpy(in->buf + in->n, buf, n);
	in->n += n;
	return esc != NULL;
}

static void write_input(struct input *in, int tty)
{
	ssize_t w = write(tty, in->buf, in->n);

	if (w < 0 && errno != EINTR && errno != EAGAIN) {
		in->n = 0; /* the console is gone: reading it says so too */
		in->eof = true;
	} else if (w > 0) {
		in->n -= w;
		memmove(in->buf, in->buf + w, in->n);
	}
}

/*
 * The guest has stopped: take what its ring and the pty still hold. Who was there from the first
 * byte on knows when it has them all; others wait until nothing more comes.
 */
static void drain(int tty, uint32_t domid)
{
	volatile struct xencons_interface *ring = map_ring(domid);
	const int64_t limit = now_ms() + 1000;
	struct pollfd p = {tty, POLLIN, 0};

	while (now_ms() < limit && !(ring && ring->out_prod == received)) {
		const bool empty = !ring || ring->out_cons == ring->out_prod;

		if (poll(&p, 1, QUIET_MS) > 0) {
			if (!from_guest(tty))
				break;
		} else if (empty) {
			break;
		}
	}
	if (ring)
		munmap((void *)ring, 4096);
}

/* Nobody reads here, but there is a log: xenconsoled, which writes it, may not even have begun. */
static void await_log(uint32_t domid)
{
	volatile struct xencons_interface *ring = map_ring(domid);
	const int64_t limit = now_ms() + 10000;

	while (ring && ring->out_cons != ring->out_prod && now_ms() < limit)
		usleep(1000);
	if (ring)
		munmap((void *)ring, 4096);
}

enum end { RUNNING, SHUT_DOWN, DESTROYED, BROKER_LOST };

static enum end end;
static unsigned end_reason; /* of SHUT_DOWN: SHUTDOWN_... */

/* A reaper that would not wait any longer left the reason in a file. */
static bool left_reason(uint32_t domid)
{
	char path[160];
	FILE *f;
	bool ok;

	domain_path(path, domid, "exit");
	f = fopen(path, "r");
	if (!f)
		return false;
	ok = fscanf(f, "%u", &end_reason) == 1;
	fclose(f);
	unlink(path);
	return ok;
}

/* True once the domain is shut down or gone; how it ended is kept for exit_status(). */
static bool ended(uint32_t domid)
{
	xc_domaininfo_t info;
	int n;

	if (end != RUNNING)
		return true;
	n = xc_domain_getinfolist(xch, domid, 1, &info);
	if (n < 0) {
		end = BROKER_LOST;
	} else if (n == 0 || info.domain != domid) {
		end = left_reason(domid) ? SHUT_DOWN : DESTROYED;
	} else if (info.flags & XEN_DOMINF_shutdown) {
		end_reason = (info.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
		end = SHUT_DOWN;
	} else if (info.flags & XEN_DOMINF_dying) {
		end = DESTROYED;
	}
	return end != RUNNING;
}

static int exit_status(uint32_t domid, bool created)
{
	char path[160];

	if (end == RUNNING) {
		fprintf(stderr,
			"pvctl: domain %u's console is gone; `pvctl console %u` tries again\n",
			domid, domid);
		return 1;
	}
	if (end == BROKER_LOST) {
		domain_path(path, domid, "lock"); /* nobody else cleans up any more */
		unlink(path);
		fprintf(stderr,
			"pvctl: the broker is gone, and domain %u with it; see %s/pvd.log\n", domid,
			rundir);
		return 1;
	}
	if (end == DESTROYED) {
		if (created)
			fprintf(stderr, "pvctl: domain %u was destroyed\n", domid);
		return created;
	}
	if (end_reason == SHUTDOWN_crash) {
		fprintf(stderr, "pvctl: domain %u crashed; `pvctl dmesg` may say why\n", domid);
		return 1;
	}
	if (end_reason != SHUTDOWN_poweroff && end_reason != SHUTDOWN_reboot) {
		fprintf(stderr, "pvctl: domain %u stopped for reason %u, not by a poweroff\n",
			domid, end_reason);
		return 1;
	}
	return 0;
}

/* The name is free again when pvctl returns, unless the config keeps the domain. */
static void await_reaper(uint32_t domid, int lock, bool created)
{
	xc_domaininfo_t info;
	char action[16];
	sigset_t old;
	bool goes;

	goes = end == SHUT_DOWN && config_action(domid, end_reason, action) &&
	       strcmp(action, "preserve");
	/* while another reads as well, the broker's reaper does it, which waits for all of them */
	if (created && goes && !strcmp(action, "destroy") && !flock(lock, LOCK_EX | LOCK_NB)) {
		signals_hold(&old);
		domain_remove(domid);
		sigprocmask(SIG_SETMASK, &old, NULL);
	}
	if (created)
		domain_finished(0);
	close(lock);
	for (int i = 0; goes && i < 12000 && domain_alive(domid, &info); i++)
		usleep(5000);
}

/* A lock that goes with this process. -1: another holds it, or it cannot be had. */
static int take_lock(uint32_t domid, const char *which, int how)
{
	char path[160];
	int fd;

	domain_path(path, domid, which);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && flock(fd, how)) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * The console's end comes before the domain's when xenconsoled dies: then there is nothing left to
 * read, and the domain itself goes on.
 */
static void settle(uint32_t domid)
{
	for (int i = 0; i < 100 && !ended(domid); i++)
		usleep(10000);
}

/* What came on the store's descriptor. Without a store the poll's timeout has to do. */
static void take_watches(struct pollfd *p)
{
	char **w;

	if (p->revents & (POLLHUP | POLLERR | POLLNVAL))
		p->fd = -1;
	while (p->fd >= 0 && (w = xs_check_watch(xsh)))
		free(w);
}

static int start_failed(uint32_t domid, bool created)
{
	fprintf(stderr, "pvctl: domain %u cannot be unpaused: %s\n", domid, strerror(errno));
	if (created)
		domain_remove(domid);
	return 1;
}

/* One round of poll(). True: the user left. */
static bool one_round(struct pollfd p[3], uint32_t domid, struct input *in)
{
	p[0].events = POLLIN | (in->n ? POLLOUT : 0);
	/* A terminal is read on, for ^]; a pipe can wait until the guest has taken its line. */
	p[2].fd = in->eof || (in->n && !in->terminal) ? -1 : 0;
	if (poll(p, 3, 1000) < 0)
		return false;
	if (p[2].fd >= 0 && p[2].revents && read_input(in))
		return true;
	if (in->n)
		write_input(in, p[0].fd);
	if (p[1].revents)
		take_watches(&p[1]);
	return false;
}

/* The domain has stopped, or its console is gone: the last lines have been read. */
static int finish(uint32_t domid, int lock, bool created)
{
	restore();
	await_reaper(domid, lock, created);
	return exit_status(domid, created);
}

static int write_and_read(uint32_t domid, int lock, bool unpause, bool created)
{
	const int tty = open_tty(domid);
	struct pollfd p[3] = {{.fd = tty}, {xs_fileno(xsh), POLLIN, 0}, {0, POLLIN, 0}};
	struct input in = {.terminal = isatty(0)};
	bool over = false;

	if (tty < 0) {
		if (created)
			domain_remove(domid);
		return 1;
	}
	xs_watch(xsh, "@releaseDomain", "end");
	if (unpause && xc_domain_unpause(xch, domid))
		return start_failed(domid, created);
	raw_terminal();
	while (!over) {
		p[0].revents = p[1].revents = p[2].revents = 0;
		if (one_round(p, domid, &in))
			return 0;
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && !from_guest(tty))
			over = true;
		if (p[1].revents || !(p[0].revents & POLLIN))
			over = over || ended(domid);
	}
	settle(domid);
	drain(tty, domid);
	return finish(domid, lock, created);
}

/* ^] on a terminal, which else is not listened to. */
static bool wants_to_leave(struct pollfd *p)
{
	char buf[256];
	ssize_t n;

	if (p->fd < 0 || !p->revents)
		return false;
	n = read(p->fd, buf, sizeof(buf));
	if (n <= 0)
		p->fd = -1;
	return n > 0 && memchr(buf, ESCAPE, n);
}

static int read_along(uint32_t domid, int lock)
{
	struct pollfd p[2] = {{isatty(0) ? 0 : -1, POLLIN, 0}, {xs_fileno(xsh), POLLIN, 0}};
	struct console_log log;

	if (!log_open(&log, domid))
		return 1;
	xs_watch(xsh, "@releaseDomain", "end");
	raw_terminal();
	while (!ended(domid)) {
		log_copy(&log);
		p[0].revents = p[1].revents = 0;
		poll(p, 2, FOLLOW_MS);
		if (wants_to_leave(&p[0]))
			return 0;
		if (p[1].revents)
			take_watches(&p[1]);
	}
	/* xenconsoled writes the rest when it sees the end, as we do */
	for (int quiet = 0; quiet < 2; quiet += !log_copy(&log))
		usleep(QUIET_MS * 1000);
	return finish(domid, lock, false);
}

int console_attach(uint32_t domid, bool unpause, bool created)
{
	const int lock = take_lock(domid, "lock", LOCK_SH);

	if (take_lock(domid, "tty", LOCK_EX | LOCK_NB) < 0) {
		fputs("pvctl: another pvctl has this console: you read along, and cannot type "
		      "(^] leaves)\n",
		      stderr);
		return read_along(domid, lock);
	}
	return write_and_read(domid, lock, unpause, created);
}

int console_read_only(uint32_t domid)
{
	return read_along(domid, take_lock(domid, "lock", LOCK_SH));
}

int domain_wait(uint32_t domid, bool unpause)
{
	struct pollfd p = {xs_fileno(xsh), POLLIN, 0};
	int lock = take_lock(domid, "lock", LOCK_SH);

	xs_watch(xsh, "@releaseDomain", "end");
	if (unpause && xc_domain_unpause(xch, domid))
		return start_failed(domid, true);
	while (!ended(domid)) {
		poll(&p, 1, 1000);
		if (p.revents)
			take_watches(&p);
	}
	await_log(domid);
	await_reaper(domid, lock, true);
	return exit_status(domid, true);
}
