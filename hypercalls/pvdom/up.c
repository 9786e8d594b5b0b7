/* SPDX-License-Identifier: MIT */
/* Requests to the broker, from any vCPU thread, one at a time. */
#include <sys/socket.h>
#include <sys/uio.h>

#include "hypercalls/pvdom/pvdom.h"

#define MAX_FDS 2

long up_call(struct domain *d, uint32_t op, const uint64_t arg[4], const void *out,
	     uint32_t out_len, void *in, uint32_t in_size, int fds[2])
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
	struct pvdom_req req = {.op = op, .len = out_len};
	struct pvdom_rsp rsp;
	union {
		char buf[CMSG_SPACE(MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec siov[2] = {{&req, sizeof(req)}, {(void *)out, out_len}};
	struct iovec riov[2] = {{&rsp, sizeof(rsp)}, {in, in_size}};
	struct msghdr s = {.msg_iov = siov, .msg_iovlen = 2};
	struct msghdr r = {.msg_iov = riov,
			   .msg_iovlen = 2,
			   .msg_control = control.buf,
			   .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c;
	ssize_t n;
	long ret = -EIO;

	for (int i = 0; i < 4; i++)
		req.arg[i] = arg[i];
	if (fds)
		fds[0] = fds[1] = -1;
	pthread_mutex_lock(&one);
	do
		n = sendmsg(d->up_fd, &s, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		goto out;
	do
		n = recvmsg(d->up_fd, &r, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof(rsp))
		goto out;
	for (c = CMSG_FIRSTHDR(&r); c; c = CMSG_NXTHDR(&r, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; fds && i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
			fds[i] = ((int *)CMSG_DATA(c))[i];
	}
	ret = rsp.ret;
out:
	pthread_mutex_unlock(&one);
	return ret;
}
