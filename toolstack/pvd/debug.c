/* SPDX-License-Identifier: MIT */
/*
 * A domain's debugger: one client at a time, by Xen's domctls (setdebugging, debug_op, gdbsx_*).
 * VIRQ_DEBUGGER says that the domain has stopped. When the client is gone the domain runs on, and
 * nothing of the debugger is left in it.
 */
#include <string.h>
#include <xen/domctl.h>

#include "toolstack/pvd/pvd.h"

static bool debugger_is(struct dom *d, struct client *c)
{
	bool is;

	pthread_mutex_lock(&state_lock);
	is = d->debugger == c;
	pthread_mutex_unlock(&state_lock);
	return is;
}

static long leave(struct dom *d)
{
	const long rc = ctl(d, CTL_DEBUG, 0, 0);

	pthread_mutex_lock(&state_lock);
	d->debugger = NULL;
	pthread_mutex_unlock(&state_lock);
	return rc;
}

static long set_debugging(struct client *c, struct dom *d, bool on)
{
	bool free;

	if (!on)
		return debugger_is(d, c) ? leave(d) : 0;
	pthread_mutex_lock(&state_lock);
	free = !d->debugger || d->debugger == c;
	if (free)
		d->debugger = c;
	pthread_mutex_unlock(&state_lock);
	if (!free)
		return -EBUSY;
	c->debugs = true;
	return ctl(d, CTL_DEBUG, 1, 0);
}

/* A part of what is asked for: as much as one message holds. */
static long memory_part(struct client *c, struct dom *d, struct xen_domctl_gdbsx_memio *p)
{
	uint8_t buf[4096];
	uint32_t n = p->remain < sizeof(buf) ? p->remain : sizeof(buf), len = n;
	const uint64_t arg[4] = {p->pgd3val, p->gva + (p->len - p->remain), n},
		       at = p->uva + (p->len - p->remain);
	long rc;

	if (p->gwr) {
		rc = copy_in(c, buf, at, n);
		return rc ? rc : ctl_call(d, CTL_DEBUG_WRITE, arg, buf, n, NULL, NULL, NULL);
	}
	rc = ctl_call(d, CTL_DEBUG_READ, arg, NULL, 0, NULL, buf, &len);
	if (rc <= 0)
		return rc;
	if (rc > (long)len)
		return -EIO;
	return copy_out(c, at, buf, rc) ? -EFAULT : rc;
}

/* pgd3val, which a 64-bit guest has no use for, is the vCPU by whose page tables it is. */
static long memory(struct client *c, struct dom *d, struct xen_domctl_gdbsx_memio *p)
{
	long rc = 0;

	for (p->remain = p->len; p->remain; p->remain -= rc) {
		rc = memory_part(c, d, p);
		if (rc <= 0)
			break;
		if ((uint64_t)rc > p->remain)
			return -EIO;
	}
	return rc < 0 ? rc : 0;
}

static long point(struct dom *d, struct xen_domctl_gdbsx_memio *p)
{
	const uint64_t arg[4] = {p->pgd3val, p->gva, p->len, p->gwr};
	const long rc = ctl_call(d, CTL_DEBUG_POINT, arg, NULL, 0, NULL, NULL, NULL);

	if (rc >= 0)
		p->remain = rc;
	return rc;
}

static long status(struct dom *d, struct xen_domctl_gdbsx_domstatus *p)
{
	struct pvdom_debug s;
	uint32_t len = sizeof(s);
	const long rc = ctl_call(d, CTL_DEBUG_STATUS, (uint64_t[4]){0}, NULL, 0, NULL, &s, &len);

	if (rc < 0 || len != sizeof(s))
		return rc < 0 ? rc : -EIO;
	p->paused = !!s.still;
	p->vcpu_ev = s.event;
	p->vcpu_id = s.event ? s.vcpu : ~0U;
	return 0;
}

long do_debug(struct client *c, struct dom *d, void *domctl)
{
	struct xen_domctl *u = domctl;
	const struct xen_domctl_gdbsx_memio *at = &u->u.gdbsx_guest_memio;

	if (u->cmd == XEN_DOMCTL_setdebugging)
		return set_debugging(c, d, u->u.setdebugging.enable);
	if (!debugger_is(d, c) && (u->cmd != PVD_DOMCTL_point || at->len))
		return -EPERM;
	switch (u->cmd) {
	case XEN_DOMCTL_gdbsx_guestmemio: return memory(c, d, &u->u.gdbsx_guest_memio);
	case XEN_DOMCTL_gdbsx_pausevcpu:
	case XEN_DOMCTL_gdbsx_unpausevcpu:
		return ctl(d, CTL_DEBUG_HOLD, u->u.gdbsx_pauseunp_vcpu.vcpu,
			   u->cmd == XEN_DOMCTL_gdbsx_pausevcpu);
	case XEN_DOMCTL_gdbsx_domstatus: return status(d, &u->u.gdbsx_domstatus);
	case XEN_DOMCTL_debug_op:
		if (u->u.debug_op.op > XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON)
			return -EINVAL;
		return ctl(d, CTL_DEBUG_STEP, u->u.debug_op.vcpu, u->u.debug_op.op);
	case PVD_DOMCTL_breakpoint:
		return ctl_call(d, CTL_DEBUG_BREAK, (uint64_t[4]){at->pgd3val, at->gva, at->gwr},
				NULL, 0, NULL, NULL, NULL);
	case PVD_DOMCTL_point: return point(d, &u->u.gdbsx_guest_memio);
	default: return -ENOSYS;
	}
}

/* The domain says that it has stopped. */
void debug_event(struct dom *d)
{
	if (!debugger_is(d, NULL))
		virq_raise(VIRQ_DEBUGGER);
}

void debug_of_client(struct client *c)
{
	struct dom *d, *next;

	if (!c->debugs)
		return;
	for (d = dom_get_from(0); d; d = next) {
		if (debugger_is(d, c))
			leave(d);
		next = dom_get_from(d->id + 1U);
		dom_put(d);
	}
}
