/* SPDX-License-Identifier: MIT */
/*
 * Event channels of the two-level ABI (public event_channel.h, xen.h): the port table, and the
 * pending and selector bits that the guest shares.
 *
 * The table changes under d->lock only. Raising an event takes no lock: it reads the table
 * racily (every field is bounded when used) and changes shared memory by atomic operations.
 */
#include <unistd.h>

#include "hypercalls/monitor/evtchn.h"

int evtchn_init(struct domain *d)
{
	for (uint32_t i = 0; i < MAX_PORTS; i++) {
		d->port[i] = (struct port){.rx = -1, .tx = -1};
		d->port[i].state = i ? PORT_FREE : PORT_RESERVED;
	}
	if (!d->max_ports || d->max_ports > MAX_PORTS)
		d->max_ports = MAX_PORTS;
	return 0;
}

/* Make the vCPU take an upcall: its selector bit for the word of `port`, and the flag. */
void evtchn_mark_pending(struct vcpu *v, uint32_t port)
{
	struct vcpu_info *info = __atomic_load_n(&v->info, __ATOMIC_ACQUIRE);

	if (!info)
		return;
	if (bit_set(&info->evtchn_pending_sel, port / 64))
		return;
	if (!__atomic_exchange_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST))
		vcpu_wake(v);
}

void evtchn_raise(struct domain *d, uint32_t port)
{
	struct vcpu *v;

	if (!d->shared || !port_valid(d, port) || bit_set(d->shared->evtchn_pending, port))
		return;
	v = vcpu_by_id(d, d->port[port].vcpu);
	if (v && !bit_test(d->shared->evtchn_mask, port))
		evtchn_mark_pending(v, port);
	/* SCHEDOP_poll looks at the pending bit alone, masked or not. */
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *p = d->vcpu[i];

		if (p && p->polling && (!p->poll_port || p->poll_port == port))
			vcpu_wake(p);
	}
}

bool virq_is_global(uint32_t virq)
{
	return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF &&
	       virq != VIRQ_XENPMU;
}

void virq_raise(struct vcpu *v, uint32_t virq)
{
	uint16_t port;

	if (virq >= NR_VIRQS)
		return;
	if (virq_is_global(virq))
		v = v->d->vcpu[0];
	port = __atomic_load_n(&v->virq_port[virq], __ATOMIC_ACQUIRE);
	if (port)
		evtchn_raise(v->d, port);
}

/* The lowest free port, taken in `state` for vCPU `vcpu`; -ENOSPC. d->lock held. */
long evtchn_port_alloc(struct domain *d, enum port_state state, uint32_t vcpu)
{
	for (uint32_t i = 1; i < d->max_ports; i++) {
		if (d->port[i].state != PORT_FREE)
			continue;
		d->port[i] = (struct port){.state = state, .vcpu = vcpu, .rx = -1, .tx = -1};
		return i;
	}
	return -ENOSPC;
}

void evtchn_port_free(struct domain *d, uint32_t port)
{
	bit_clear(d->shared->evtchn_pending, port);
	d->port[port] = (struct port){.state = PORT_FREE, .rx = -1, .tx = -1};
}

/* Stop watching and close the descriptors of a port. d->lock held. */
void evtchn_port_drop_fds(struct domain *d, struct port *p)
{
	if (p->rx >= 0) {
		io_unwatch(d, p->rx);
		close(p->rx);
	}
	if (p->tx >= 0)
		close(p->tx);
	p->rx = p->tx = -1;
}

long evtchn_alloc(struct domain *d, uint16_t remote)
{
	long port = evtchn_port_alloc(d, PORT_UNBOUND, 0);

	if (port > 0)
		d->port[port].remote_dom = remote == DOMID_SELF ? d->id : remote;
	return port;
}

long evtchn_connect(struct domain *d, uint32_t port, uint16_t dom, uint32_t rport, int rx, int tx)
{
	struct port *p;
	int rc;

	if (!port_valid(d, port))
		return -EINVAL;
	p = &d->port[port];
	if (p->state != PORT_UNBOUND || p->remote_dom != dom || dom == d->id)
		return -EINVAL;
	rc = io_watch(d, rx, port);
	if (rc < 0)
		return rc;
	p->rx = rx;
	p->tx = tx;
	p->remote_port = rport;
	__atomic_store_n(&p->state, PORT_INTERDOMAIN, __ATOMIC_RELEASE);
	return 0;
}

/* That end closed. One that the port does not lead to (any more) changes nothing. */
long evtchn_disconnect(struct domain *d, uint32_t port, uint16_t dom, uint32_t rport)
{
	struct port *p;

	if (!port_valid(d, port))
		return -EINVAL;
	p = &d->port[port];
	if (p->state != PORT_INTERDOMAIN || dom == d->id || p->remote_dom != dom ||
	    p->remote_port != rport)
		return -EINVAL;
	p->state = PORT_UNBOUND;
	p->remote_port = 0;
	evtchn_port_drop_fds(d, p);
	return 0;
}

long evtchn_status(struct domain *d, uint32_t port, struct evtchn_status *st)
{
	const struct port *p;

	if (port >= d->max_ports)
		return -EINVAL;
	p = &d->port[port];
	st->vcpu = p->vcpu;
	switch (p->state) {
	case PORT_UNBOUND:
		st->status = EVTCHNSTAT_unbound;
		st->u.unbound.dom = p->remote_dom;
		break;
	case PORT_INTERDOMAIN:
		st->status = EVTCHNSTAT_interdomain;
		st->u.interdomain.dom = p->remote_dom;
		st->u.interdomain.port = p->remote_port;
		break;
	case PORT_VIRQ:
		st->status = EVTCHNSTAT_virq;
		st->u.virq = p->remote_port;
		break;
	case PORT_IPI: st->status = EVTCHNSTAT_ipi; break;
	default: st->status = EVTCHNSTAT_closed; st->vcpu = 0;
	}
	return 0;
}

void evtchn_rx(struct domain *d, uint32_t port)
{
	uint64_t n;
	bool raise = false;

	if (!port_valid(d, port))
		return;
	/* The lock keeps a closing vCPU from giving the descriptor's number away under us. */
	pthread_mutex_lock(&d->lock);
	if (d->port[port].state == PORT_INTERDOMAIN && d->port[port].rx >= 0)
		raise = read(d->port[port].rx, &n, sizeof(n)) == sizeof(n);
	if (raise)
		evtchn_raise(d, port);
	pthread_mutex_unlock(&d->lock);
}
