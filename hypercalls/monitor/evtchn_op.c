/* SPDX-License-Identifier: MIT */
/*
 * event_channel_op (public event_channel.h).
 */
#include <unistd.h>

#include "hypercalls/monitor/evtchn.h"

static bool is_self(const struct domain *d, uint16_t dom)
{
	return dom == DOMID_SELF || dom == d->id;
}

/*
 * What an unprivileged domain is told when it names another one as the subject: domain 0 always
 * exists, of the others it is told that they do not.
 */
static long foreign_errno(uint16_t dom)
{
	return dom ? -ESRCH : -EPERM;
}

static long bind_interdomain(struct domain *d, struct evtchn_bind_interdomain *op)
{
	uint64_t arg[4] = {op->remote_dom, op->remote_port};
	int fds[2] = {-1, -1};
	struct port *p;
	long port, rc;

	pthread_mutex_lock(&d->lock);
	if (is_self(d, op->remote_dom)) {
		struct port *r;

		rc = -EINVAL;
		if (!port_valid(d, op->remote_port))
			goto out;
		r = &d->port[op->remote_port];
		if (r->state != PORT_UNBOUND || r->remote_dom != d->id)
			goto out;
		port = rc = evtchn_port_alloc(d, PORT_RESERVED, 0);
		if (rc < 0)
			goto out;
		p = &d->port[port];
		p->remote_dom = d->id;
		p->remote_port = op->remote_port;
		r->remote_port = port;
		__atomic_store_n(&p->state, PORT_INTERDOMAIN, __ATOMIC_RELEASE);
		__atomic_store_n(&r->state, PORT_INTERDOMAIN, __ATOMIC_RELEASE);
		goto bound;
	}
	rc = -ESRCH;
	if (op->remote_dom >= DOMID_FIRST_RESERVED)
		goto out;
	port = rc = evtchn_port_alloc(d, PORT_RESERVED, 0);
	if (rc < 0)
		goto out;
	arg[2] = port;
	pthread_mutex_unlock(&d->lock);
	rc = up_call(d, UP_EVTCHN_BIND, arg, NULL, 0, NULL, 0, fds);
	pthread_mutex_lock(&d->lock);
	p = &d->port[port];
	if (rc >= 0 && (fds[0] < 0 || fds[1] < 0))
		rc = -EIO;
	if (rc >= 0)
		rc = io_watch(d, fds[0], port);
	if (rc < 0) {
		for (int i = 0; i < 2; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		evtchn_port_free(d, port);
		goto out;
	}
	p->rx = fds[0];
	p->tx = fds[1];
	p->remote_dom = op->remote_dom;
	p->remote_port = op->remote_port;
	__atomic_store_n(&p->state, PORT_INTERDOMAIN, __ATOMIC_RELEASE);
bound:
	op->local_port = port;
	/* The remote end may have sent while nobody was bound. */
	evtchn_raise(d, port);
	rc = 0;
out:
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static long bind_virq(struct domain *d, struct evtchn_bind_virq *op)
{
	struct vcpu *v = vcpu_by_id(d, op->vcpu);
	long port;

	if (op->virq >= NR_VIRQS || (virq_is_global(op->virq) && op->vcpu))
		return -EINVAL;
	if (!v)
		return -ENOENT;
	if (v->virq_port[op->virq])
		return -EEXIST;
	port = evtchn_port_alloc(d, PORT_VIRQ, op->vcpu);
	if (port < 0)
		return port;
	d->port[port].remote_port = op->virq;
	op->port = port;
	__atomic_store_n(&v->virq_port[op->virq], port, __ATOMIC_RELEASE);
	return 0;
}

static long bind_ipi(struct domain *d, struct evtchn_bind_ipi *op)
{
	long port;

	if (!vcpu_by_id(d, op->vcpu))
		return -ENOENT;
	port = evtchn_port_alloc(d, PORT_IPI, op->vcpu);
	if (port < 0)
		return port;
	op->port = port;
	return 0;
}

static long bind_vcpu(struct domain *d, const struct evtchn_bind_vcpu *op)
{
	struct port *p;

	if (!vcpu_by_id(d, op->vcpu))
		return -ENOENT;
	if (!port_valid(d, op->port))
		return -EINVAL;
	p = &d->port[op->port];
	switch (p->state) {
	case PORT_VIRQ:
		if (!virq_is_global(p->remote_port))
			return -EINVAL;
		break;
	case PORT_UNBOUND:
	case PORT_INTERDOMAIN: break;
	default: return -EINVAL;
	}
	p->vcpu = op->vcpu;
	return 0;
}

/* Close a port and tell whoever is at the other end. Takes d->lock, drops it for the broker. */
static long port_close(struct domain *d, uint64_t port)
{
	uint64_t arg[4] = {port};
	bool tell = false;
	struct port *p;

	if (!port_valid(d, port))
		return -EINVAL;
	pthread_mutex_lock(&d->lock);
	p = &d->port[port];
	switch (p->state) {
	case PORT_FREE:
	case PORT_RESERVED: pthread_mutex_unlock(&d->lock); return -EINVAL;
	case PORT_UNBOUND: tell = p->remote_dom != d->id; break;
	case PORT_INTERDOMAIN:
		tell = p->remote_dom != d->id;
		if (!tell && p->remote_port != port) {
			d->port[p->remote_port].state = PORT_UNBOUND;
			d->port[p->remote_port].remote_port = 0;
		}
		break;
	case PORT_VIRQ:
		__atomic_store_n(&d->vcpu[p->vcpu]->virq_port[p->remote_port], 0, __ATOMIC_RELEASE);
		/* A global VIRQ may have moved; it is registered with vCPU 0. */
		if (virq_is_global(p->remote_port))
			d->vcpu[0]->virq_port[p->remote_port] = 0;
		break;
	}
	if (tell) {
		/* Not free before the broker forgot it: the number must not be reused till then. */
		p->state = PORT_RESERVED;
		evtchn_port_drop_fds(d, p);
		pthread_mutex_unlock(&d->lock);
		up_call(d, UP_EVTCHN_CLOSE, arg, NULL, 0, NULL, 0, NULL);
		pthread_mutex_lock(&d->lock);
	}
	evtchn_port_free(d, port);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

/* EVTCHNOP_send: no lock where the event stays in the domain. */
static long port_send(struct domain *d, uint64_t port)
{
	const uint64_t one = 1;
	struct port *p;
	long rc = 0;

	if (!port_valid(d, port))
		return -EINVAL;
	p = &d->port[port];
	switch (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE)) {
	case PORT_IPI: evtchn_raise(d, port); return 0;
	case PORT_UNBOUND: return 0;
	case PORT_INTERDOMAIN:
		if (p->remote_dom == d->id) {
			evtchn_raise(d, p->remote_port);
			return 0;
		}
		break;
	default: return -EINVAL;
	}
	pthread_mutex_lock(&d->lock);
	if (p->state == PORT_INTERDOMAIN && p->tx >= 0)
		/* Full means that as many events as a counter holds are pending already. */
		(void)!write(p->tx, &one, sizeof(one));
	else if (p->state != PORT_INTERDOMAIN && p->state != PORT_UNBOUND)
		rc = -EINVAL;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static long port_unmask(struct domain *d, uint64_t port)
{
	struct vcpu *v;

	if (!port_valid(d, port))
		return -EINVAL;
	v = vcpu_by_id(d, d->port[port].vcpu);
	if (v && bit_clear(d->shared->evtchn_mask, port) &&
	    bit_test(d->shared->evtchn_pending, port))
		evtchn_mark_pending(v, port);
	return 0;
}

static long status_op(struct domain *d, struct evtchn_status *st)
{
	if (!is_self(d, st->dom))
		return foreign_errno(st->dom);
	return evtchn_status(d, st->port, st);
}

static long alloc_unbound(struct domain *d, struct evtchn_alloc_unbound *op)
{
	long port;

	if (!is_self(d, op->dom))
		return foreign_errno(op->dom);
	port = evtchn_alloc(d, op->remote_dom);
	if (port < 0)
		return port;
	op->port = port;
	return 0;
}

static long reset_op(struct domain *d, const struct evtchn_reset *op)
{
	if (!is_self(d, op->dom))
		return foreign_errno(op->dom);
	for (uint32_t i = 1; i < d->max_ports; i++)
		if (d->port[i].state != PORT_FREE)
			port_close(d, i);
	return 0;
}

/* Bytes of argument in, and whether they go back out. */
static const struct {
	uint8_t size;
	bool out;
} op_arg[] = {
	[EVTCHNOP_bind_interdomain] = {sizeof(struct evtchn_bind_interdomain), true},
	[EVTCHNOP_bind_virq] = {sizeof(struct evtchn_bind_virq), true},
	[EVTCHNOP_close] = {sizeof(struct evtchn_close), false},
	[EVTCHNOP_send] = {sizeof(struct evtchn_send), false},
	[EVTCHNOP_status] = {sizeof(struct evtchn_status), true},
	[EVTCHNOP_alloc_unbound] = {sizeof(struct evtchn_alloc_unbound), true},
	[EVTCHNOP_bind_ipi] = {sizeof(struct evtchn_bind_ipi), true},
	[EVTCHNOP_bind_vcpu] = {sizeof(struct evtchn_bind_vcpu), false},
	[EVTCHNOP_unmask] = {sizeof(struct evtchn_unmask), false},
	[EVTCHNOP_reset] = {sizeof(struct evtchn_reset), false},
};

/*
 * EVTCHNOP_* of public event_channel.h, for an unprivileged domain. FIFO channels are refused
 * with -ENOSYS, and a guest falls back to two levels. Not locked by the dispatcher.
 */
long do_event_channel_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
			 uint64_t a5)
{
	union {
		struct evtchn_bind_interdomain bind_interdomain;
		struct evtchn_bind_virq bind_virq;
		struct evtchn_close close;
		struct evtchn_send send;
		struct evtchn_status status;
		struct evtchn_alloc_unbound alloc_unbound;
		struct evtchn_bind_ipi bind_ipi;
		struct evtchn_bind_vcpu bind_vcpu;
		struct evtchn_unmask unmask;
		struct evtchn_reset reset;
	} op;
	struct domain *d = v->d;
	long rc;

	cmd = (uint32_t)cmd;
	if (cmd == EVTCHNOP_bind_pirq)
		return -EPERM;
	if (cmd >= sizeof(op_arg) / sizeof(op_arg[0]) || !op_arg[cmd].size)
		return -ENOSYS;
	if (copy_from_guest(v, &op, arg, op_arg[cmd].size))
		return -EFAULT;

	switch (cmd) {
	case EVTCHNOP_send: return port_send(d, op.send.port);
	case EVTCHNOP_unmask: return port_unmask(d, op.unmask.port);
	case EVTCHNOP_close: return port_close(d, op.close.port);
	case EVTCHNOP_reset: return reset_op(d, &op.reset);
	case EVTCHNOP_bind_interdomain: rc = bind_interdomain(d, &op.bind_interdomain); break;
	default:
		pthread_mutex_lock(&d->lock);
		if (cmd == EVTCHNOP_bind_virq)
			rc = bind_virq(d, &op.bind_virq);
		else if (cmd == EVTCHNOP_status)
			rc = status_op(d, &op.status);
		else if (cmd == EVTCHNOP_alloc_unbound)
			rc = alloc_unbound(d, &op.alloc_unbound);
		else if (cmd == EVTCHNOP_bind_ipi)
			rc = bind_ipi(d, &op.bind_ipi);
		else
			rc = bind_vcpu(d, &op.bind_vcpu);
		pthread_mutex_unlock(&d->lock);
	}
	if (!rc && op_arg[cmd].out && copy_to_guest(v, arg, &op, op_arg[cmd].size))
		rc = -EFAULT;
	return rc;
}

/* The call before 0x00030202: command and argument in one struct evtchn_op. */
long do_event_channel_op_compat(struct vcpu *v, uint64_t uop, uint64_t a2, uint64_t a3, uint64_t a4,
				uint64_t a5)
{
	uint32_t cmd;

	if (copy_from_guest(v, &cmd, uop, sizeof(cmd)))
		return -EFAULT;
	if (cmd > EVTCHNOP_unmask)
		return -EINVAL;
	return do_event_channel_op(v, cmd, uop + offsetof(struct evtchn_op, u), 0, 0, 0);
}
