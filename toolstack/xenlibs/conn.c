/* SPDX-License-Identifier: MIT */
/* The way to the broker: where it listens, and one round trip. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "toolstack/pvd/client.h"

void pvd_rundir(char *buf, size_t size)
{
	const char *dir = getenv("PAVANE_RUNDIR"), *xdg = getenv("XDG_RUNTIME_DIR");

	/* getuid: xenconsoled runs with a geteuid that says 0 */
	if (dir && *dir)
		snprintf(buf, size, "%s", dir);
	else if (getuid() == 0)
		snprintf(buf, size, "/run/pavane");
	else if (xdg && *xdg)
		snprintf(buf, size, "%s/pavane", xdg);
	else
		snprintf(buf, size, "/tmp/pavane-%u", getuid());
}

int pvd_connect(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char dir[sizeof(sa.sun_path) - 16];
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (s < 0)
		return -1;
	pvd_rundir(dir, sizeof(dir));
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/pvd.sock", dir);
	if (connect(s, (void *)&sa, sizeof(sa))) {
		int err = errno;

		close(s);
		errno = err;
		return -1;
	}
	return s;
}

void fds_attach(struct msghdr *m, union fd_room *room, const int *fd, unsigned n)
{
	struct cmsghdr *c;

	memset(room, 0, sizeof(*room));
	m->msg_control = room->buf;
	m->msg_controllen = CMSG_SPACE(n * sizeof(int));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fd, n * sizeof(int));
}

static void take_fds(struct msghdr *m, int *fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fds && i < PVD_MAX_FDS)
				fds[i] = fd;
			else
				close(fd);
		}
	}
}

long pvd_call(int sock, uint32_t op, const uint64_t arg[6], const void *out, uint32_t out_len,
	      int fd_out, void *in, uint32_t in_size, uint64_t rsp_out[2], int *fds)
{
	struct pvd_req req = {.op = op, .len = out_len};
	struct pvd_rsp rsp;
	union fd_room control;
	struct iovec siov[2] = {{&req, sizeof(req)}, {(void *)out, out_len}};
	struct iovec riov[2] = {{&rsp, sizeof(rsp)}, {in, in_size}};
	struct msghdr s = {.msg_iov = siov, .msg_iovlen = 2};
	struct msghdr r = {.msg_iov = riov, .msg_iovlen = 2};
	ssize_t n;

	if (arg)
		memcpy(req.arg, arg, sizeof(req.arg));
	if (fds)
		for (int i = 0; i < PVD_MAX_FDS; i++)
			fds[i] = -1;
	if (fd_out >= 0)
		fds_attach(&s, &control, &fd_out, 1);
	do
		n = sendmsg(sock, &s, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -EIO;
	r.msg_control = control.buf;
	r.msg_controllen = sizeof(control.buf);
	do
		n = recvmsg(sock, &r, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof(rsp))
		return -EIO;
	take_fds(&r, fds);
	if (rsp_out)
		memcpy(rsp_out, rsp.out, sizeof(rsp.out));
	return rsp.ret;
}
