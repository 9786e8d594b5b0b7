/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of the program: numbers in a table of its own, so that it cannot name ours, those of
 * /dev/pvhost and of the policy's folders.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fds.h"
#include "sandbox.h"

#define MAX_FDS 64

static int fds[MAX_FDS]; /* the host's number, or -1 */

void fds_init(void)
{
	/* Copies: the program may close them, and our messages still go where they should. */
	for (int i = 0; i < MAX_FDS; i++)
		fds[i] = i < 3 ? fcntl(i, F_DUPFD_CLOEXEC, 3) : -1;
}

int fd_host(uint64_t fd)
{
	return fd < MAX_FDS ? fds[fd] : -1;
}

/* A number for host descriptor `host`, not below `min`. -errno passes through. */
long fd_new(int host, uint64_t min)
{
	if (host < 0)
		return host;
	for (; min < MAX_FDS; min++) {
		if (fds[min] < 0) {
			fds[min] = host;
			return min;
		}
	}
	close(host);
	return -EMFILE;
}

long own_close(int call, uint64_t *a)
{
	const int host = fd_host(a[0]);

	if (host < 0)
		return -EBADF;
	fds[a[0]] = -1;
	return close(host) ? -errno : 0;
}

static int fd_copy(uint64_t fd)
{
	const int copy = fcntl(fd_host(fd), F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -errno : copy;
}

long own_dup(int call, uint64_t *a)
{
	return fd_new(fd_copy(a[0]), 0);
}

long own_dup2(int call, uint64_t *a)
{
	int copy;

	if (a[1] >= MAX_FDS || fd_host(a[0]) < 0)
		return -EBADF;
	if (a[0] == a[1])
		return a[1];
	copy = fd_copy(a[0]);
	if (copy < 0)
		return copy;
	if (fds[a[1]] >= 0)
		close(fds[a[1]]);
	fds[a[1]] = copy;
	return a[1];
}

long own_fcntl(int call, uint64_t *a)
{
	const int host = fd_host(a[0]);

	if (host < 0)
		return -EBADF;
	switch (a[1]) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC: return fd_new(fd_copy(a[0]), a[2]);
	case F_GETFD:
	case F_SETFD: return 0; /* there is no execve */
	case F_GETFL: return pv_host_call(SYS_fcntl, host, F_GETFL, 0, 0, 0, 0);
	default: return -EINVAL;
	}
}

/* Of all that ioctl can do: is this a terminal, and how wide. */
long own_ioctl(int call, uint64_t *a)
{
	const uint64_t size = a[1] == TCGETS ? 36 : a[1] == TIOCGWINSZ ? sizeof(struct winsize) : 0;

	if (fd_host(a[0]) < 0)
		return -EBADF;
	if (!size)
		return -ENOTTY;
	if (!memory_inside(a[2], size))
		return -EFAULT;
	return pv_host_call(SYS_ioctl, fd_host(a[0]), a[1], a[2], 0, 0, 0);
}

long own_poll(int call, uint64_t *a)
{
	struct pollfd theirs[MAX_FDS], ours[MAX_FDS];
	const uint64_t n = a[1] < MAX_FDS ? a[1] : MAX_FDS, size = n * sizeof(ours[0]);
	long ret;

	if (a[1] > MAX_FDS || memory_copy(theirs, a[0], size) != size)
		return a[1] > MAX_FDS ? -EINVAL : -EFAULT;
	for (unsigned i = 0; i < n; i++)
		ours[i] = (struct pollfd){fd_host(theirs[i].fd), theirs[i].events, 0};
	ret = pv_host_call(SYS_poll, (long)ours, n, a[2], 0, 0, 0);
	for (unsigned i = 0; i < n; i++)
		theirs[i].revents = ours[i].revents;
	return ret >= 0 && !memory_put(a[0], theirs, size) ? -EFAULT : ret;
}
