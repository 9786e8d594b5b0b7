/* SPDX-License-Identifier: MIT */
/*
 * The log of a console, RUNDIR/console/guest-NAME.log, which xenconsoled writes whether or not
 * anybody is attached. pvd gives it a new name when it has grown large, and it begins anew.
 */
#include "toolstack/pvctl/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXT	 2000 /* bytes shown of what was there before */
#define PATIENCE 6000 /* times 10 ms for the log of a domain just made */

static int open_log(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* Back by at most CONTEXT bytes from the end, to where a line begins. */
static void seek_context(int fd)
{
	const off_t end = lseek(fd, 0, SEEK_END), from = end > CONTEXT ? end - CONTEXT : 0;
	char buf[CONTEXT], *line;
	const ssize_t n = pread(fd, buf, sizeof(buf), from);

	line = from && n > 0 ? memchr(buf, '\n', n) : NULL;
	lseek(fd, line ? from + (line + 1 - buf) : from, SEEK_SET);
}

bool log_open(struct console_log *l, uint32_t domid)
{
	char *name = store_read("/local/domain/%u/name", domid);

	snprintf(l->path, sizeof(l->path), "%s/console/guest-%s.log", rundir, name ? name : "");
	free(name);
	for (int i = 0; (l->fd = open_log(l->path)) < 0 && i < PATIENCE; i++)
		usleep(10000);
	if (l->fd < 0) {
		complain("%s: %s", l->path, strerror(errno));
		return false;
	}
	seek_context(l->fd);
	return true;
}

static bool copy(int fd)
{
	char buf[4096];
	bool any = false;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		console_write(buf, n);
		any = true;
	}
	return any;
}

bool log_copy(struct console_log *l)
{
	struct stat now, ours;
	bool any = copy(l->fd);
	int next;

	if (any || fstat(l->fd, &ours) || stat(l->path, &now) ||
	    (now.st_ino == ours.st_ino && now.st_dev == ours.st_dev))
		return any;
	/* renamed, and all of it read: go on in the new one */
	next = open_log(l->path);
	if (next >= 0) {
		copy(l->fd);
		close(l->fd);
		l->fd = next;
		any = copy(next);
	}
	return any;
}

static bool print(const char *fmt, const char *name)
{
	char path[220];
	int fd;

	snprintf(path, sizeof(path), fmt, rundir, name);
	fd = open_log(path);
	if (fd < 0)
		return false;
	copy(fd);
	close(fd);
	return true;
}

int console_print_log(const char *who)
{
	char *name = *who && who[strspn(who, "0123456789")] == 0
			     ? store_read("/local/domain/%s/name", who)
			     : strdup(who);
	bool any;

	if (!name || strchr(name, '/'))
		die("there is no domain '%s'", who);
	any = print("%s/console/guest-%s.log.1", name);
	any |= print("%s/console/guest-%s.log", name);
	if (!any)
		die("%s/console has no log of a domain named '%s'", rundir, name);
	free(name);
	return 0;
}
