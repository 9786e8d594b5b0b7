/* SPDX-License-Identifier: MIT */
/* Memory and event channels that the guest shares with us, by libxengnttab and libxenevtchn. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "toolstack/backends/common/backend.h"

#define BIND_TRIES   12000 /* a minute */
#define BIND_WAIT_US 5000

void *dev_map(struct dev *d, uint32_t *refs, uint32_t n, int prot)
{
	return xengnttab_map_domain_grant_refs(d->gnt, n, d->domid, refs, prot);
}

void dev_unmap(struct dev *d, void *addr, uint32_t n)
{
	if (xengnttab_unmap(d->gnt, addr, n))
		dev_log(d, "cannot unmap %u grants: %s", n, strerror(errno));
}

int dev_bind(struct dev *d, uint32_t guest_port)
{
	int port = xenevtchn_bind_interdomain(d->evtchn, d->domid, guest_port);

	/* our predecessor's end is closed when pvd has noticed that it is dead: soon */
	for (int i = 0; port < 0 && d->successor && i < BIND_TRIES; i++) {
		usleep(BIND_WAIT_US);
		port = xenevtchn_bind_interdomain(d->evtchn, d->domid, guest_port);
	}
	return port;
}

void dev_notify(struct dev *d, uint32_t port)
{
	xenevtchn_notify(d->evtchn, port);
}

void dev_unbind(struct dev *d, uint32_t port)
{
	for (uint32_t i = 0; i < d->nr_masked; i++)
		if (d->masked[i] == port)
			d->masked[i--] = d->masked[--d->nr_masked];
	xenevtchn_unbind(d->evtchn, port);
}

bool dev_read_ring(struct dev *d, const char *sub, uint32_t order, const char *ref_name,
		   uint32_t refs[DEV_MAX_RING_REF])
{
	uint64_t value;
	char node[64];

	if (1U << order > DEV_MAX_RING_REF)
		return false;
	for (uint32_t i = 0; i < 1U << order; i++) {
		if (order)
			snprintf(node, sizeof(node), "%s%s%u", sub, ref_name, i);
		else
			snprintf(node, sizeof(node), "%s%s", sub, ref_name);
		if (!dev_read_u64(d, d->front, node, UINT32_MAX, &value)) {
			/* one page under the name that it would have among several */
			snprintf(node, sizeof(node), "%s%s0", sub, ref_name);
			if (order || !dev_read_u64(d, d->front, node, UINT32_MAX, &value))
				return false;
		}
		refs[i] = value;
	}
	return true;
}

/* A port that was reported stays masked while we look at the rings anyway. */
void ring_event(struct dev *d)
{
	int port;

	while (d->nr_masked < DEV_MAX_PORTS && (port = xenevtchn_pending(d->evtchn)) >= 0)
		d->masked[d->nr_masked++] = port;
}

void ring_unmask(struct dev *d)
{
	while (d->nr_masked)
		xenevtchn_unmask(d->evtchn, d->masked[--d->nr_masked]);
}

static void evtchn_ready(struct dev *d, struct dev_fd *f, uint32_t events)
{
	ring_event(d);
}

/* Without the broker there are no domains; this one's guest is dead by now. */
static void pvd_gone(struct dev *d, struct dev_fd *f, uint32_t events)
{
	dev_log(d, "pvd is gone");
	_exit(1);
}

int ring_open(struct dev *d)
{
	d->gnt = xengnttab_open(NULL, 0);
	d->evtchn = xenevtchn_open(NULL, 0);
	if (!d->gnt || !d->evtchn) {
		dev_log(d, "cannot reach pvd: %s", strerror(errno));
		return -1;
	}
	d->evtchn_fd = (struct dev_fd){xenevtchn_fd(d->evtchn), evtchn_ready};
	if (fcntl(d->evtchn_fd.fd, F_SETFL, O_NONBLOCK))
		return -1;
	d->pvd_fd = (struct dev_fd){xengnttab_fd(d->gnt), pvd_gone};
	return dev_watch_fd(d, &d->evtchn_fd, EPOLLIN) || dev_watch_fd(d, &d->pvd_fd, EPOLLRDHUP);
}
