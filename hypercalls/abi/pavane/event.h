/* SPDX-License-Identifier: MIT */
/*
 * Event channels, two-level ABI: the interrupts of a PV guest. A port is pending (a bit of the
 * domain's), may be masked (another), and a vCPU has one flag for "something is pending" and one
 * that keeps the upcall away, which is its interrupt flag.
 *
 * `s` is the shared_info page, `v` the vcpu_info of the vCPU that runs this: nobody may move the
 * caller to another meanwhile.
 */
#ifndef PAVANE_EVENT_H
#define PAVANE_EVENT_H

#include <stdbool.h>
#include <pavane/barrier.h>
#include <pavane/hypercall.h>

#define PV_EVENT_BITS	(8 * (unsigned int)sizeof(xen_ulong_t)) /* ports per word */
#define PV_EVENT_WORDS	PV_EVENT_BITS
#define PV_EVENT_NR	(PV_EVENT_BITS * PV_EVENT_WORDS)
#define PV_EVENT_BIT(p) ((xen_ulong_t)1 << (p) % PV_EVENT_BITS)

/* ---- the upcall mask: cli, sti, pushf and popf ---- */

static inline void pv_upcalls_disable(struct vcpu_info *v)
{
	PV_WRITE(&v->evtchn_upcall_mask, 1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Unlike sti, a plain store delivers nothing: what came in while masked is asked for here. */
static inline void pv_upcalls_enable(struct vcpu_info *v)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	PV_WRITE(&v->evtchn_upcall_mask, 0);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* The end of any hypercall delivers; this one does nothing else. */
	if (PV_READ(&v->evtchn_upcall_pending))
		HYPERVISOR_xen_version(XENVER_version, NULL);
}

/* Disables, and says whether they were enabled: what pv_upcalls_restore() wants. */
static inline bool pv_upcalls_save(struct vcpu_info *v)
{
	bool enabled = !PV_READ(&v->evtchn_upcall_mask);

	pv_upcalls_disable(v);
	return enabled;
}

static inline void pv_upcalls_restore(struct vcpu_info *v, bool enabled)
{
	if (enabled)
		pv_upcalls_enable(v);
}

/*
 * sti; hlt: enables upcalls and sleeps until one was delivered, in one step. Call it with upcalls
 * disabled, or what ends the wait may come between the caller's look and the sleep. They are
 * enabled on return.
 */
static inline void pv_block(void)
{
	HYPERVISOR_sched_op(SCHEDOP_block, NULL);
}

/* ---- ports ---- */

static inline bool pv_event_is_pending(const struct shared_info *s, evtchn_port_t port)
{
	return (PV_READ(&s->evtchn_pending[port / PV_EVENT_BITS]) & PV_EVENT_BIT(port)) != 0;
}

static inline void pv_event_clear(struct shared_info *s, evtchn_port_t port)
{
	__atomic_fetch_and(&s->evtchn_pending[port / PV_EVENT_BITS], ~PV_EVENT_BIT(port),
			   __ATOMIC_SEQ_CST);
}

/* A masked port still becomes pending, and raises nothing. */
static inline void pv_event_mask(struct shared_info *s, evtchn_port_t port)
{
	__atomic_fetch_or(&s->evtchn_mask[port / PV_EVENT_BITS], PV_EVENT_BIT(port),
			  __ATOMIC_SEQ_CST);
}

/*
 * Unmasks a port that is bound to this vCPU (another's: EVTCHNOP_unmask), with upcalls disabled. An
 * event that came while it was masked is raised now: the hypervisor does so only for those that
 * come later.
 */
static inline void pv_event_unmask(struct shared_info *s, struct vcpu_info *v, evtchn_port_t port)
{
	__atomic_fetch_and(&s->evtchn_mask[port / PV_EVENT_BITS], ~PV_EVENT_BIT(port),
			   __ATOMIC_SEQ_CST);
	if (pv_event_is_pending(s, port)) {
		__atomic_fetch_or(&v->evtchn_pending_sel, PV_EVENT_BIT(port / PV_EVENT_BITS),
				  __ATOMIC_SEQ_CST);
		PV_WRITE(&v->evtchn_upcall_pending, 1);
	}
}

/*
 * The upcall's body, with upcalls disabled: calls handler(port, arg) for each pending port that is
 * not masked, after clearing its pending bit, until none is left. `mine` has a bit for each port
 * that this vCPU serves; NULL for all.
 */
static inline void pv_event_deliver(struct shared_info *s, struct vcpu_info *v,
				    const xen_ulong_t *mine,
				    void (*handler)(evtchn_port_t port, void *arg), void *arg)
{
	do {
		xen_ulong_t words;

		/* The flag before the words before the bits: they are set the other way round. */
		PV_WRITE(&v->evtchn_upcall_pending, 0);
		words = __atomic_exchange_n(&v->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
		for (; words; words &= words - 1) {
			unsigned int w = (unsigned int)__builtin_ctzl(words);
			xen_ulong_t bits;

			/* Read again after each one: a handler may mask or clear another. */
			while ((bits = PV_READ(&s->evtchn_pending[w]) &
				       ~PV_READ(&s->evtchn_mask[w]) &
				       (mine ? PV_READ(&mine[w]) : ~(xen_ulong_t)0)) != 0) {
				evtchn_port_t port =
					w * PV_EVENT_BITS + (unsigned int)__builtin_ctzl(bits);

				pv_event_clear(s, port);
				handler(port, arg);
			}
		}
	} while (PV_READ(&v->evtchn_upcall_pending));
}

/* A new port that `remote` may bind to; 0 or a negative Xen error number. Mask it first. */
static inline long pv_event_alloc(domid_t remote, evtchn_port_t *port)
{
	struct evtchn_alloc_unbound arg;
	long rc;

	arg.dom = DOMID_SELF;
	arg.remote_dom = remote;
	arg.port = 0;
	rc = HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &arg);
	*port = rc ? 0 : arg.port;
	return rc;
}

static inline long pv_event_send(evtchn_port_t port)
{
	struct evtchn_send arg;

	arg.port = port;
	return HYPERVISOR_event_channel_op(EVTCHNOP_send, &arg);
}

/* Mask it first; whoever gets the same number next has its pending bit cleared by the hypervisor.
 */
static inline long pv_event_close(evtchn_port_t port)
{
	struct evtchn_close arg;

	arg.port = port;
	return HYPERVISOR_event_channel_op(EVTCHNOP_close, &arg);
}

#endif
