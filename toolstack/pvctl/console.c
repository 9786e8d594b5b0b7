/* SPDX-License-Identifier: MIT */
/*
 * A domain's console: the pty that xenconsoled made for it, until the domain ends or ^].
 *
 * While pvctl is attached it holds a lock that the reaper waits for, so the last lines of a
 * domain that ends are read before its console goes. kill -9 of pvctl drops the lock.
 */
#define XC_WANT_COMPAT_MAP_FOREIGN_API
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <xen/io/console.h>

#define ESCAPE	 0x1d /* ^] */
#define QUIET_MS 40   /* nothing for so long after the ring is empty: all was said */

static struct termios saved;

static void restore(void)
{
	tcsetattr(0, TCSADRAIN, &saved);
}

static void raw_terminal(void)
{
	struct termios t;

	if (!isatty(0) || tcgetattr(0, &saved))
		return;
	t = saved;
	cfmakeraw(&t);
	t.c_oflag |= OPOST;
	tcsetattr(0, TCSADRAIN, &t);
	atexit(restore);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* xenconsoled writes the pty's name into the store when it has seen the domain. */
static int open_tty(uint32_t domid)
{
	const int64_t end = now_ms() + 10000;
	char path[64], *tty;
	unsigned n;
	int fd;

	snprintf(path, sizeof(path), "/local/domain/%u/console/tty", domid);
	if (!xs_watch(xsh, path, "tty"))
		die("the store does not answer: %s", strerror(errno));
	for (;;) {
		struct pollfd p = {xs_fileno(xsh), POLLIN, 0};
		char **w;

		tty = store_read("/local/domain/%u/console/tty", domid);
		if (tty && *tty)
			break;
		free(tty);
		if (now_ms() > end)
			die("domain %u has no console: xenconsoled did not take it; see %s/pvd.log",
			    domid, rundir);
		if (poll(&p, 1, 200) > 0 && (w = xs_read_watch(xsh, &n)))
			free(w);
	}
	xs_unwatch(xsh, path, "tty");
	fd = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		die("console %s: %s", tty, strerror(errno));
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

static void copy_out(const char *buf, ssize_t n)
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

/* Read what there is. False: the console is gone. */
static bool from_guest(int tty)
{
	char buf[4096];
	ssize_t n = read(tty, buf, sizeof(buf));

	if (n > 0)
		copy_out(buf, n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

enum input { INPUT_OPEN, INPUT_EOF, INPUT_DETACH };

static enum input to_guest(int tty)
{
	char buf[512], *esc;
	ssize_t n = read(0, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 && errno == EINTR ? INPUT_OPEN : INPUT_EOF;
	esc = isatty(0) ? memchr(buf, ESCAPE, n) : NULL;
	if (esc)
		n = esc - buf;
	for (ssize_t done = 0; done < n;) {
		ssize_t w = write(tty, buf + done, n - done);

		if (w < 0 && errno != EINTR)
			return INPUT_EOF;
		done += w > 0 ? w : 0;
	}
	return esc ? INPUT_DETACH : INPUT_OPEN;
}

/* The guest has stopped: take what its ring and the pty still hold. */
static void drain(int tty, uint32_t domid)
{
	volatile struct xencons_interface *ring = map_ring(domid);
	const int64_t end = now_ms() + 1000;
	struct pollfd p = {tty, POLLIN, 0};

	while (now_ms() < end) {
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

static int exit_status(uint32_t domid)
{
	char path[160];
	int reason = -1;
	FILE *f;

	domain_path(path, domid, "exit");
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%d", &reason) != 1)
			reason = -1;
		fclose(f);
		unlink(path);
	}
	if (reason == SHUTDOWN_crash)
		fprintf(stderr, "pvctl: domain %u crashed; `pvctl dmesg` may say why\n", domid);
	return reason == SHUTDOWN_crash ? 1 : 0;
}

/* True once the domain is shut down or gone; its reason is kept for exit_status(). */
static bool ended(uint32_t domid)
{
	xc_domaininfo_t info;
	char path[160];
	FILE *f;

	if (!domain_alive(domid, &info))
		return true;
	if (!(info.flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying)))
		return false;
	domain_path(path, domid, "exit");
	f = fopen(path, "w");
	if (f) {
		fprintf(f, "%u\n",
			(info.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask);
		fclose(f);
	}
	return true;
}

static int take_lock(uint32_t domid)
{
	char path[160];
	int fd;

	domain_path(path, domid, "lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		flock(fd, LOCK_SH);
	return fd;
}

static void drop_watch(void)
{
	char **w;

	while ((w = xs_check_watch(xsh)))
		free(w);
}

int console_attach(uint32_t domid, bool unpause, bool wait_end)
{
	int lock = take_lock(domid), tty = open_tty(domid);
	struct pollfd p[3] = {{tty, POLLIN, 0}, {xs_fileno(xsh), POLLIN, 0}, {0, POLLIN, 0}};
	bool over = false;

	xs_watch(xsh, "@releaseDomain", "end");
	raw_terminal();
	if (unpause && xc_domain_unpause(xch, domid))
		die("domain %u cannot be unpaused: %s", domid, strerror(errno));
	while (!over) {
		if (poll(p, 3, 1000) < 0 && errno != EINTR)
			break;
		if (p[0].revents && !from_guest(tty))
			over = true;
		if (p[1].revents)
			drop_watch();
		if (p[2].revents) {
			enum input in = to_guest(tty);

			if (in == INPUT_DETACH)
				return 0;
			if (in == INPUT_EOF)
				p[2].fd = -1;
		}
		if (p[1].revents || !p[0].revents)
			over = over || ended(domid);
	}
	ended(domid);
	drain(tty, domid);
	close(lock);
	return exit_status(domid);
}

int domain_wait(uint32_t domid)
{
	struct pollfd p = {xs_fileno(xsh), POLLIN, 0};
	int lock = take_lock(domid);

	xs_watch(xsh, "@releaseDomain", "end");
	while (!ended(domid)) {
		poll(&p, 1, 1000);
		drop_watch();
	}
	close(lock);
	return exit_status(domid);
}
