/* SPDX-License-Identifier: MIT */
/*
 * Event channels with an end outside a domain: dom0's ports, each owned by a client connection,
 * and the channels between two domains. A channel is two eventfds that pvd makes when it is bound
 * and gives to both ends; after that no event passes through here.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xen/event_channel.h>

#include "toolstack/pvd/pvd.h"

#define MAX_PORTS 4096

static struct port {
	uint32_t state; /* EVTCHNSTAT_* */
	struct client *owner;
	int rx, tx; /* the owner's */
	uint16_t dom;
	uint32_t remote, virq;
} ports[MAX_PORTS]; /* port 0 is never valid */

struct end {
	uint16_t dom;
	uint32_t port;
};

/* A channel between two domains. */
static struct link {
	struct link *next;
	struct end end[2];
} * links;

static void poke(int fd)
{
	if (write(fd, &(uint64_t){1}, 8) < 0)
		return; /* full: it is pending already */
}

static struct port *port_of(struct client *c, uint32_t nr)
{
	return nr && nr < MAX_PORTS && ports[nr].state && ports[nr].owner == c ? ports + nr : NULL;
}

static long port_new(struct client *c, const struct port *init, int fds[2])
{
	int rx = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	    tx = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t n;

	if (rx < 0 || tx < 0)
		goto fail;
	pthread_mutex_lock(&state_lock);
	for (n = 1; n < MAX_PORTS && ports[n].state; n++)
		;
	if (n < MAX_PORTS) {
		ports[n] = *init;
		ports[n].owner = c;
		ports[n].rx = fds[0] = rx;
		ports[n].tx = fds[1] = tx;
	}
	pthread_mutex_unlock(&state_lock);
	if (n < MAX_PORTS)
		return n;
	errno = ENOSPC;
fail:
	n = errno;
	if (rx >= 0)
		close(rx);
	if (tx >= 0)
		close(tx);
	return -(long)n;
}

static void port_free(struct port *p) /* state_lock held */
{
	close(p->rx);
	close(p->tx);
	memset(p, 0, sizeof(*p));
}

/* Tell a domain that its channel to `from` has ended. It checks that there is one. */
static void disconnect(struct end at, struct end from)
{
	struct dom *d = dom_get(at.dom);

	if (!d)
		return;
	ctl_call(d, CTL_EVTCHN_DISCONNECT, (uint64_t[4]){at.port, from.dom, from.port}, NULL, 0,
		 NULL, NULL, NULL);
	dom_put(d);
}

long port_bind_virq(struct client *c, uint32_t virq, int fds[2])
{
	if (virq >= NR_VIRQS)
		return -EINVAL;
	return port_new(c, &(struct port){.state = EVTCHNSTAT_virq, .virq = virq}, fds);
}

long port_bind_unbound(struct client *c, uint32_t domid, int fds[2])
{
	struct dom *d = dom_get(domid);

	if (!d)
		return -ESRCH;
	dom_put(d);
	return port_new(c, &(struct port){.state = EVTCHNSTAT_unbound, .dom = domid}, fds);
}

long port_bind_domain(struct client *c, uint32_t domid, uint32_t remote, int fds[2])
{
	struct dom *d = dom_get(domid);
	long port, rc;

	if (!d)
		return -ESRCH;
	/* listed as connected before the domain knows: its close may come at once */
	port = port_new(
		c, &(struct port){.state = EVTCHNSTAT_interdomain, .dom = domid, .remote = remote},
		fds);
	if (port < 0) {
		dom_put(d);
		return port;
	}
	rc = ctl_call(d, CTL_EVTCHN_CONNECT, (uint64_t[4]){remote, 0, port}, NULL, 0,
		      (int[2]){fds[1], fds[0]}, NULL, NULL);
	dom_put(d);
	pthread_mutex_lock(&state_lock);
	if (rc < 0) {
		port_free(ports + port);
		fds[0] = fds[1] = -1;
	} else {
		poke(fds[0]); /* as Xen does: what happened before the bind is not lost */
	}
	pthread_mutex_unlock(&state_lock);
	return rc < 0 ? rc : port;
}

long port_close(struct client *c, uint32_t nr)
{
	struct port *p, old;

	pthread_mutex_lock(&state_lock);
	p = port_of(c, nr);
	if (p) {
		old = *p;
		port_free(p);
	}
	pthread_mutex_unlock(&state_lock);
	if (!p)
		return -EINVAL;
	if (old.state == EVTCHNSTAT_interdomain)
		disconnect((struct end){old.dom, old.remote}, (struct end){0, nr});
	return 0;
}

void ports_of_client(struct client *c)
{
	for (uint32_t n = 1; n < MAX_PORTS; n++) {
		pthread_mutex_lock(&state_lock);
		while (n < MAX_PORTS && ports[n].owner != c)
			n++;
		pthread_mutex_unlock(&state_lock);
		if (n < MAX_PORTS) /* only this thread gives ports to c, or takes them */
			port_close(c, n);
	}
}

long port_status(uint32_t nr, void *status)
{
	struct evtchn_status *s = status;
	struct port *p = ports + nr;

	if (!nr || nr >= MAX_PORTS)
		return -EINVAL;
	pthread_mutex_lock(&state_lock);
	s->status = p->state;
	s->vcpu = 0;
	switch (p->state) {
	case EVTCHNSTAT_unbound: s->u.unbound.dom = p->dom; break;
	case EVTCHNSTAT_interdomain:
		s->u.interdomain.dom = p->dom;
		s->u.interdomain.port = p->remote;
		break;
	case EVTCHNSTAT_virq: s->u.virq = p->virq; break;
	}
	pthread_mutex_unlock(&state_lock);
	return 0;
}

void port_notify(uint32_t nr)
{
	pthread_mutex_lock(&state_lock);
	if (nr && nr < MAX_PORTS && ports[nr].state)
		poke(ports[nr].tx);
	pthread_mutex_unlock(&state_lock);
}

void virq_raise(uint32_t virq)
{
	pthread_mutex_lock(&state_lock);
	for (uint32_t n = 1; n < MAX_PORTS; n++)
		if (ports[n].state == EVTCHNSTAT_virq && ports[n].virq == virq)
			poke(ports[n].rx);
	pthread_mutex_unlock(&state_lock);
}

/* A guest binds to a port that dom0 left unbound for it. Its rx is the owner's tx. */
static long bind_to_dom0(struct dom *d, uint32_t remote, uint32_t port, int fds[2])
{
	struct port *p = ports + remote;
	long rc = -EINVAL;

	if (!remote || remote >= MAX_PORTS)
		return rc;
	pthread_mutex_lock(&state_lock);
	if (p->state == EVTCHNSTAT_unbound && p->dom == d->id && !d->dying) {
		fds[0] = fcntl(p->tx, F_DUPFD_CLOEXEC, 3);
		fds[1] = fcntl(p->rx, F_DUPFD_CLOEXEC, 3);
		rc = fds[0] < 0 || fds[1] < 0 ? -EMFILE : 0;
		if (!rc) {
			p->state = EVTCHNSTAT_interdomain;
			p->remote = port;
		}
	}
	pthread_mutex_unlock(&state_lock);
	return rc;
}

/* Take out a link that ends at this domain, and at this port of it unless that is NULL. */
static bool unlink_end(uint16_t dom, const uint32_t *port, struct end *own, struct end *other)
{
	struct link **pp, *l = NULL;
	int i = 0;

	pthread_mutex_lock(&state_lock);
	for (pp = &links; (l = *pp); pp = &l->next) {
		for (i = 0; i < 2; i++)
			if (l->end[i].dom == dom && (!port || l->end[i].port == *port))
				break;
		if (i < 2)
			break;
	}
	if (l) {
		*pp = l->next;
		*own = l->end[i];
		*other = l->end[!i];
	}
	pthread_mutex_unlock(&state_lock);
	free(l);
	return l != NULL;
}

long domain_bind(struct dom *d, uint32_t remote_dom, uint32_t remote, uint32_t port, int fds[2])
{
	struct end own, other;
	struct dom *r;
	struct link *l;
	bool dying;
	long rc;

	if (port >= PVDOM_MAX_PORTS)
		return -EINVAL;
	domain_close(d, port); /* a port has one channel: if it had another, that ends */
	if (!remote_dom)
		return bind_to_dom0(d, remote, port, fds);
	if (remote_dom == d->id) /* its monitor needs nobody for that, and cannot answer now */
		return -EINVAL;
	r = dom_get(remote_dom);
	if (!r)
		return -ESRCH;
	l = malloc(sizeof(*l));
	fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!l || fds[0] < 0 || fds[1] < 0) {
		free(l);
		dom_put(r);
		return -ENOMEM;
	}
	*l = (struct link){NULL, {{d->id, port}, {remote_dom, remote}}};
	pthread_mutex_lock(&state_lock);
	dying = d->dying; /* then nobody would take the link out again */
	if (!dying) {
		l->next = links;
		links = l;
	}
	pthread_mutex_unlock(&state_lock);
	if (dying) {
		free(l);
		dom_put(r);
		return -ESRCH;
	}
	/* the other domain's monitor knows whether that port waits for this one */
	rc = ctl_call(r, CTL_EVTCHN_CONNECT, (uint64_t[4]){remote, d->id, port}, NULL, 0,
		      (int[2]){fds[1], fds[0]}, NULL, NULL);
	if (rc < 0)
		unlink_end(d->id, &port, &own, &other);
	dom_put(r);
	return rc < 0 ? rc : 0;
}

/* dom0's ports that lead to this domain wait for it again. port NULL: all. */
static void release_ports(uint16_t dom, const uint32_t *port)
{
	pthread_mutex_lock(&state_lock);
	for (uint32_t n = 1; n < MAX_PORTS; n++)
		if (ports[n].state == EVTCHNSTAT_interdomain && ports[n].dom == dom &&
		    (!port || ports[n].remote == *port))
			ports[n].state = EVTCHNSTAT_unbound;
	pthread_mutex_unlock(&state_lock);
}

void domain_close(struct dom *d, uint32_t port)
{
	struct end own, other;

	release_ports(d->id, &port);
	while (unlink_end(d->id, &port, &own, &other))
		if (other.dom != d->id)
			disconnect(other, own);
}

void ports_of_domain(uint16_t domid)
{
	struct end own, other;

	release_ports(domid, NULL);
	while (unlink_end(domid, NULL, &own, &other))
		disconnect(other, own);
}
