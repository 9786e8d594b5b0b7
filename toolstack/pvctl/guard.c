/* SPDX-License-Identifier: MIT */
/*
 * A domain that is being built has no saved config yet, so nobody would clean up after a pvctl that
 * is killed meanwhile. A child does: it waits at a pipe and removes the domain if the pipe ends
 * before the parent has said that all is well.
 */
#include "toolstack/pvctl/pvctl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 100 /* of 20 ms */

static ssize_t read_all(int fd, void *buf, size_t size)
{
	ssize_t n;

	do
		n = read(fd, buf, size);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The broker may still be at it when its client has died: look for a while. */
static void remove_by_uuid(const xen_domain_handle_t uuid)
{
	for (int i = 0; i < TRIES; i++, usleep(20000)) {
		xc_domaininfo_t info;
		uint32_t next = 0;

		for (; xc_domain_getinfolist(xch, next, 1, &info) == 1; next = info.domain + 1)
			if (!memcmp(info.handle, uuid, sizeof(info.handle))) {
				domain_remove(info.domain);
				return;
			}
	}
}

static void guard(int fd, const xen_domain_handle_t uuid)
{
	char done;

	setsid(); /* what kills pvctl's process group does not kill this */
	if (read_all(fd, &done, 1) != 1) {
		/* the parent's handles are not for a child */
		xch = xc_interface_open(NULL, NULL, 0);
		xsh = xs_open(0);
		if (xch)
			remove_by_uuid(uuid);
	}
	_exit(0);
}

bool guard_start(struct guard *g, const xen_domain_handle_t uuid)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		return false;
	fflush(NULL);
	g->pid = fork();
	if (g->pid == 0) {
		close(fd[1]);
		guard(fd[0], uuid);
	}
	close(fd[0]);
	g->fd = fd[1];
	if (g->pid < 0)
		close(fd[1]);
	return g->pid > 0;
}

void guard_end(struct guard *g)
{
	if (write(g->fd, "", 1) < 0) { /* it is gone: nothing to tell */
	}
	close(g->fd);
	waitpid(g->pid, NULL, 0);
}
