/* SPDX-License-Identifier: MIT */
/*
 * A guest's packet filter. The program is the guest's; it runs in the kernel, behind the kernel's
 * verifier, compiled by the kernel's JIT: SO_ATTACH_FILTER on one end of a pair of
 * sockets. A frame sent to the other end is there at once, or was dropped by the program. Sockets
 * of datagrams would do, too, but can send to any other by its name (confine.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "toolstack/backends/net/net.h"

#define SNDBUF (256 << 10) /* one frame of any size, with the kernel's own bookkeeping */

static int open_pair(int sv[2])
{
	const int size = SNDBUF;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv))
		return -errno;
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

int filter_attach(struct filter *f, const struct sock_filter *prog, unsigned n)
{
	const struct sock_fprog p = {.len = n, .filter = (struct sock_filter *)prog};
	int sv[2], rc;

	if (!n || n > BPF_MAXINSNS)
		return -EINVAL;
	rc = open_pair(sv);
	if (rc)
		return rc;
	if (setsockopt(sv[1], SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p))) {
		rc = -errno;
		close(sv[0]);
		close(sv[1]);
		return rc;
	}
	filter_detach(f);
	f->in = sv[0];
	f->out = sv[1];
	return 0;
}

void filter_detach(struct filter *f)
{
	if (f->in < 0)
		return;
	close(f->in);
	close(f->out);
	f->in = f->out = -1;
}

bool filter_pass(struct filter *f, const struct frame *frame)
{
	char byte;

	if (f->in < 0)
		return true;
	if (send(f->in, frame->data, frame->len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 &&
	    recv(f->out, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0)
		return true;
	f->dropped++;
	return false;
}
