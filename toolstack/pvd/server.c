/* SPDX-License-Identifier: MIT */
/* The socket and its clients: one thread each, requests in order. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/grant_table.h>

#include "toolstack/pvd/pvd.h"

static int listen_fd = -1;

struct packet {
	struct pvd_req q;
	uint8_t data[PVD_MAX_PAYLOAD];
};

struct answer {
	struct pvd_rsp r;
	int fds[PVD_MAX_FDS]; /* lent, not to be closed; -1: none */
	struct dom *d;	      /* whose descriptor is lent */
	uint8_t data[PVD_MAX_PAYLOAD];
};

static long domain_ram(const struct pvd_req *q, struct answer *a)
{
	a->d = dom_get(q->arg[0]);
	if (!a->d)
		return -ESRCH;
	pthread_mutex_lock(&state_lock);
	a->r.out[0] = a->d->nr_frames;
	a->r.out[1] = a->d->has_run && !a->d->dead;
	pthread_mutex_unlock(&state_lock);
	if (!a->r.out[0])
		return -ENODEV;
	a->fds[0] = a->d->ram_fd;
	return 0;
}

static long domain_stats(const struct pvd_req *q, struct answer *a)
{
	struct pvd_domain_stats *s = (void *)a->data;
	struct pvdom_info i;
	struct dom *d = dom_get(q->arg[0]);

	if (!d)
		return -ESRCH;
	ctl_info(d, &i);
	memset(s, 0, sizeof(*s));
	s->pid = d->pid;
	memcpy(s->provider, i.provider, sizeof(s->provider));
	_Static_assert(sizeof(s->sandbox) == sizeof(i.sandbox), "the same text");
	memcpy(s->sandbox, i.sandbox, sizeof(s->sandbox));
	memcpy(s->provider_why, i.provider_why, sizeof(s->provider_why));
	memcpy(s->why, d->why, sizeof(s->why));
	a->r.len = sizeof(*s);
	dom_put(d);
	return 0;
}

/*
 * The domain's process belongs to its guest: what is handed to it can neither be read nor make it
 * wait.
 */
static bool trace_file(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
}

static long domain_trace(uint64_t domid, uint64_t what, int fd)
{
	struct dom *d;
	long rc;

	if (!what != (fd < 0) || (fd >= 0 && !trace_file(fd)))
		return -EINVAL;
	d = dom_get(domid);
	if (!d)
		return -ESRCH;
	rc = ctl_call(d, CTL_TRACE, (uint64_t[4]){what}, NULL, 0, what ? (int[2]){fd, fd} : NULL,
		      NULL, NULL);
	dom_put(d);
	return rc;
}

static long domain_check(uint64_t domid, uint64_t times, int fd)
{
	struct dom *d;
	long rc;

	if (fd >= 0 && !trace_file(fd))
		return -EINVAL;
	d = dom_get(domid);
	if (!d)
		return -ESRCH;
	rc = ctl_call(d, CTL_CHECK, (uint64_t[4]){times}, NULL, 0,
		      fd >= 0 ? (int[2]){fd, fd} : NULL, NULL, NULL);
	dom_put(d);
	return rc;
}

/* Bytes that a copy takes from the request, or puts into the answer. */
static uint32_t bytes_in(const struct pvd_copy *cp)
{
	return cp->src_is_ref ? 0 : cp->len;
}

static uint32_t bytes_out(const struct pvd_copy *cp)
{
	return cp->dst_is_ref ? 0 : cp->len;
}

/* Do n copies and all their bytes fit into the request, and into the answer? */
static bool copies_fit(const struct packet *p, uint64_t n)
{
	const struct pvd_copy *cp = (const void *)p->data;
	uint32_t in, out;

	if (!n || n > p->q.len / sizeof(*cp))
		return false;
	in = n * sizeof(*cp);
	out = n * sizeof(int16_t);
	for (uint64_t i = 0; i < n; i++) {
		if (cp[i].len > PAGE_SIZE)
			return false;
		in += bytes_in(cp + i);
		out += bytes_out(cp + i);
		if (in > p->q.len || out > PVD_MAX_PAYLOAD)
			return false;
	}
	return true;
}

static long grant_copy(struct packet *p, struct answer *a)
{
	const struct pvd_copy *cp = (const void *)p->data;
	const uint64_t n = p->q.arg[0];
	int16_t *status = (void *)a->data;
	uint8_t *in, *out, between[PAGE_SIZE] = {0};

	if (!copies_fit(p, n))
		return -EINVAL;
	in = p->data + n * sizeof(*cp);
	out = a->data + n * sizeof(*status);
	for (uint64_t i = 0; i < n; i++, cp++) {
		uint8_t *buf = bytes_in(cp) ? in : bytes_out(cp) ? out : between;

		status[i] = grant_copy_client(cp, buf, bytes_in(cp));
		if (status[i])
			memset(out, 0, bytes_out(cp));
		in += bytes_in(cp);
		out += bytes_out(cp);
	}
	a->r.len = out - a->data;
	return 0;
}

static bool copies_allowed(const struct client *c, const struct packet *p)
{
	const struct pvd_copy *cp = (const void *)p->data;

	if (!copies_fit(p, p->q.arg[0]))
		return false;
	for (uint64_t i = 0; i < p->q.arg[0]; i++, cp++)
		if ((cp->src_is_ref && cp->src_dom != c->restrict_to) ||
		    (cp->dst_is_ref && cp->dst_dom != c->restrict_to))
			return false;
	return true;
}

/* What a restricted connection may still do, and about whom. */
static bool allowed(const struct client *c, const struct packet *p)
{
	if (c->restrict_to < 0)
		return true;
	switch (p->q.op) {
	case PVD_DOMAIN_RAM:
	case PVD_BIND_DOMAIN:
	case PVD_BIND_UNBOUND:
	case PVD_GRANT_MAP:
	case PVD_HOLD:
	case PVD_DOMAIN_STATS:
	case PVD_RESTRICT: return p->q.arg[0] == (uint64_t)c->restrict_to;
	case PVD_GRANT_COPY: return copies_allowed(c, p);
	case PVD_HELLO:
	case PVD_UNBIND:
	case PVD_DROP:
	case PVD_GRANT_UNMAP: return true;
	default: return false;
	}
}

static long finished(struct client *c, uint64_t attend)
{
	c->unfinished = 0;
	if (c->attends)
		dom_attend(c->attends, false);
	c->attends = 0;
	if (!attend || attend >= FIRST_RESERVED)
		return attend ? -EINVAL : 0;
	c->attends = attend;
	return dom_attend(attend, true);
}

static long serve(struct client *c, struct packet *p, int fd, struct answer *a)
{
	const struct pvd_req *q = &p->q;
	long rc;

	if (!allowed(c, p))
		return -EPERM;
	switch (q->op) {
	case PVD_HELLO:
		if (q->arg[0] != PVD_PROTO)
			return -EPROTO;
		a->r.out[0] = store_wait(60000);
		a->r.out[1] = dom_count();
		main_kick(); /* xenconsoled waits for the store, too */
		return 0;
	case PVD_STOP: main_stop(); return 0;
	case PVD_ARENA:
		return q->arg[2] != PVD_PROTO ? -EPROTO : arena_attach(c, q->arg[0], q->arg[1], fd);
	case PVD_HYPERCALL: return hypercall(c, q->arg[0], q->arg + 1);
	case PVD_DOMAIN_RAM: return domain_ram(q, a);
	case PVD_RESTRICT:
		if (q->arg[0] >= FIRST_RESERVED)
			return -EINVAL;
		c->restrict_to = q->arg[0];
		return 0;
	case PVD_BIND_VIRQ: return port_bind_virq(c, q->arg[0], a->fds);
	case PVD_BIND_DOMAIN: return port_bind_domain(c, q->arg[0], q->arg[1], a->fds);
	case PVD_BIND_UNBOUND: return port_bind_unbound(c, q->arg[0], a->fds);
	case PVD_UNBIND: return port_close(c, q->arg[0]);
	case PVD_GRANT_MAP:
		rc = grant_map(c, q, (void *)p->data, (void *)a->data, a->fds);
		if (rc >= 0)
			a->r.len = q->len / sizeof(uint32_t) * sizeof(uint64_t);
		return rc;
	case PVD_GRANT_UNMAP: return grant_unmap(c, q->arg[0]);
	case PVD_GRANT_COPY: return grant_copy(p, a);
	case PVD_DOMAIN_STATS: return domain_stats(q, a);
	case PVD_BACKEND: return backend_start(q->arg[0], q->arg[1], q->arg[2]);
	case PVD_HOLD: return hold_begin(c, q->arg[0], q->arg[1], q->arg[2], a->r.out);
	case PVD_DROP: return hold_end(c, q->arg[0]);
	case PVD_TRACE: return domain_trace(q->arg[0], q->arg[1], fd);
	case PVD_FINISHED: return finished(c, q->arg[0]);
	case PVD_CHECK: return domain_check(q->arg[0], q->arg[1], fd);
	default: return -ENOSYS;
	}
}

static int reply(struct client *c, struct answer *a)
{
	union fd_room control;
	struct iovec iov[2] = {{&a->r, sizeof(a->r)}, {a->data, a->r.len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;
	int nfds = 0;

	while (nfds < PVD_MAX_FDS && a->fds[nfds] >= 0)
		nfds++;
	if (nfds)
		fds_attach(&m, &control, a->fds, nfds);
	do
		n = sendmsg(c->sock, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/*
 * One request. *fd: the descriptor that came with it, or -1. Alignment leaves room for more than
 * the one that was asked for: a message with another number of them has none.
 */
static ssize_t receive(int sock, struct packet *p, int *fd)
{
	union fd_room control;
	struct iovec iov = {p, sizeof(*p)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.buf,
			   .msg_controllen = sizeof(control.buf)};
	int got[PVD_MAX_FDS];
	struct cmsghdr *h;
	size_t len;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n;
	h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
		return n;
	len = h->cmsg_len - CMSG_LEN(0);
	memcpy(got, CMSG_DATA(h), len);
	if (len == sizeof(int))
		*fd = got[0];
	else
		for (size_t i = 0; i < len / sizeof(int); i++)
			close(got[i]);
	return n;
}

static void *client_thread(void *arg)
{
	struct client *c = arg;
	/* on the stack, which is an earlier thread's: malloc would begin an arena for each */
	struct packet packet, *p = &packet;
	struct answer answer, *a = &answer;

	for (;;) {
		int fd, rc;
		ssize_t n = receive(c->sock, p, &fd);

		if (n <= 0)
			break;
		memset(&a->r, 0, sizeof(a->r));
		a->fds[0] = a->fds[1] = -1;
		a->d = NULL;
		if (n < (ssize_t)sizeof(p->q) || p->q.len != n - sizeof(p->q))
			a->r.ret = -EINVAL;
		else
			a->r.ret = serve(c, p, fd, a);
		if (fd >= 0)
			close(fd);
		rc = reply(c, a);
		if (a->d)
			dom_put(a->d);
		if (rc)
			break;
	}
	grants_of_client(c);
	holds_of_client(c);
	debug_of_client(c);
	ports_of_client(c);
	arena_detach(c);
	if (c->unfinished)
		dom_abandoned(c->unfinished);
	finished(c, 0);
	close(c->sock);
	free(c);
	return NULL;
}

static void admit(int s)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct client *c;
	pthread_t t;

	/* the directory keeps others out; this is the second lock */
	if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
	    (peer.uid != getuid() && peer.uid != 0)) {
		close(s);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(s);
		return;
	}
	c->sock = s;
	c->restrict_to = backend_domain(peer.pid);
	/* It asked and died: a backend's process, perhaps, that is not listed any longer. */
	if (c->restrict_to < 0 && kill(peer.pid, 0) && errno == ESRCH) {
		close(s);
		free(c);
		return;
	}
	if (pthread_create(&t, NULL, client_thread, c)) {
		close(s);
		free(c);
		return;
	}
	pthread_detach(t);
}

void *server_thread(void *unused)
{
	for (;;) {
		int s = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (s >= 0)
			admit(s);
		else if (errno != EINTR && errno != ECONNABORTED)
			usleep(10000); /* out of descriptors: some client will leave */
	}
	return NULL;
}

static void sock_path(struct sockaddr_un *sa)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/pvd.sock", rundir);
}

int server_listen(void)
{
	struct sockaddr_un sa;

	sock_path(&sa);
	unlink(sa.sun_path); /* we hold the lock: whoever left it is dead */
	listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (listen_fd < 0 || bind(listen_fd, (void *)&sa, sizeof(sa)) || listen(listen_fd, 64))
		return -errno;
	return 0;
}

void server_close(void)
{
	struct sockaddr_un sa;

	sock_path(&sa);
	unlink(sa.sun_path);
}
