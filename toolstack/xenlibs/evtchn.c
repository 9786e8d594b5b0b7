/* SPDX-License-Identifier: MIT */
/*
 * libxenevtchn. The handle's descriptor is an epoll set with one eventfd per bound port, each
 * EPOLLONESHOT: a port that was reported is masked until it is unmasked, as /dev/xen/evtchn has
 * it. The broker makes the eventfds at bind time; afterwards no event passes through it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <xenevtchn.h>

#include "toolstack/xenlibs/xenlib.h"

struct port {
	struct port *next;
	evtchn_port_t nr;
	int rx, tx;
};

struct xenevtchn_handle {
	struct lib_conn conn;
	int epfd;
	pthread_mutex_t lock;
	struct port *ports;
};

static struct port *find(xenevtchn_handle *h, evtchn_port_t nr)
{
	struct port *p;

	for (p = h->ports; p && p->nr != nr; p = p->next)
		;
	return p;
}

static xenevtchn_handle *open_on(int epfd)
{
	xenevtchn_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	h->epfd = epfd;
	if (!lib_conn_open(&h->conn))
		return h;
	free(h);
	return NULL;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned flags)
{
	xenevtchn_handle *h;
	int epfd;

	if (flags & ~XENEVTCHN_NO_CLOEXEC) {
		errno = EINVAL;
		return NULL;
	}
	epfd = epoll_create1(flags & XENEVTCHN_NO_CLOEXEC ? 0 : EPOLL_CLOEXEC);
	if (epfd < 0)
		return NULL;
	h = open_on(epfd);
	if (!h)
		close(epfd);
	return h;
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned flags)
{
	if (flags) {
		errno = EINVAL;
		return NULL;
	}
	return open_on(fd);
}

static void drop(xenevtchn_handle *h, struct port *p)
{
	/* a forked child may hold the eventfd too: closing alone would leave it in the set */
	epoll_ctl(h->epfd, EPOLL_CTL_DEL, p->rx, NULL);
	close(p->rx);
	close(p->tx);
	free(p);
}

int xenevtchn_close(xenevtchn_handle *h)
{
	struct port *p;

	if (!h)
		return 0;
	while ((p = h->ports)) {
		h->ports = p->next;
		drop(h, p);
	}
	lib_conn_close(&h->conn);
	close(h->epfd);
	free(h);
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *h)
{
	return h->epfd;
}

int xenevtchn_restrict(xenevtchn_handle *h, domid_t domid)
{
	return lib_restrict(h->conn.sock, domid);
}

static int unbind(xenevtchn_handle *h, evtchn_port_t port)
{
	return lib_ret(pvd_call(h->conn.sock, PVD_UNBIND, (uint64_t[6]){port}, NULL, 0, -1, NULL, 0,
				NULL, NULL));
}

static xenevtchn_port_or_error_t bind_port(xenevtchn_handle *h, enum pvd_op op, uint64_t a0,
					   uint64_t a1)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT};
	struct port *p = malloc(sizeof(*p));
	int fds[PVD_MAX_FDS];
	long rc = -ENOMEM;

	if (!p)
		goto fail;
	pthread_mutex_lock(&h->lock);
	rc = pvd_call(h->conn.sock, op, (uint64_t[6]){a0, a1}, NULL, 0, -1, NULL, 0, NULL, fds);
	if (rc < 0 || fds[1] < 0)
		goto unlock;
	*p = (struct port){h->ports, rc, fds[0], fds[1]};
	ev.data.u64 = p->nr;
	if (epoll_ctl(h->epfd, EPOLL_CTL_ADD, p->rx, &ev)) {
		rc = -errno;
		unbind(h, p->nr);
		close(fds[0]);
		close(fds[1]);
		goto unlock;
	}
	h->ports = p;
	rc = p->nr;
	pthread_mutex_unlock(&h->lock);
	return rc;
unlock:
	pthread_mutex_unlock(&h->lock);
	free(p);
fail:
	return lib_ret(rc < 0 ? rc : -EIO);
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *h, uint32_t domid)
{
	return bind_port(h, PVD_BIND_UNBOUND, domid, 0);
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t domid,
						     evtchn_port_t remote)
{
	return bind_port(h, PVD_BIND_DOMAIN, domid, remote);
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *h, unsigned int virq)
{
	return bind_port(h, PVD_BIND_VIRQ, virq, 0);
}

int xenevtchn_unbind(xenevtchn_handle *h, evtchn_port_t port)
{
	struct port **pp, *p;
	int rc = -1;

	pthread_mutex_lock(&h->lock);
	for (pp = &h->ports; (p = *pp) && p->nr != port; pp = &p->next)
		;
	if (p) {
		*pp = p->next;
		drop(h, p);
		rc = unbind(h, port);
	} else {
		errno = ENOTCONN;
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
	struct port *p;
	int rc = -1;

	pthread_mutex_lock(&h->lock);
	p = find(h, port);
	if (!p)
		errno = ENOTCONN;
	else /* a full counter is an event that is still pending */
		rc = write(p->tx, &(uint64_t){1}, 8) == 8 || errno == EAGAIN ? 0 : -1;
	pthread_mutex_unlock(&h->lock);
	return rc;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h)
{
	int flags = fcntl(h->epfd, F_GETFL);
	struct epoll_event ev;

	for (;;) {
		uint64_t count;
		struct port *p;
		int n = epoll_wait(h->epfd, &ev, 1, flags & O_NONBLOCK ? 0 : -1);

		if (n < 0)
			return -1;
		if (!n) {
			errno = EAGAIN;
			return -1;
		}
		pthread_mutex_lock(&h->lock);
		p = find(h, ev.data.u64);
		if (p && read(p->rx, &count, sizeof(count)) < 0 && errno != EAGAIN)
			p = NULL;
		pthread_mutex_unlock(&h->lock);
		if (p)
			return ev.data.u64;
	}
}

int xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = port};
	struct port *p;
	int rc = -1;

	pthread_mutex_lock(&h->lock);
	p = find(h, port);
	if (p)
		rc = epoll_ctl(h->epfd, EPOLL_CTL_MOD, p->rx, &ev);
	else
		errno = ENOTCONN;
	pthread_mutex_unlock(&h->lock);
	return rc;
}
