/* SPDX-License-Identifier: MIT */
/*
 * Handlers of event channels, on pavane/event.h. Pending bits are the domain's: of those that it
 * sees, a vCPU takes only the ports that are its own.
 */
#include <pavane/event.h>
#include <pv/event.h>
#include <pv/lib.h>

static struct {
	event_handler_t handler;
	void *data;
} bindings[EVENT_PORTS];

/* Ports of each vCPU; the first has all that no other asked for. */
static xen_ulong_t owned[MAX_VCPUS][PV_EVENT_WORDS];

void (*event_upcall_exit)(struct trap_regs *regs);
unsigned long event_upcalls;
unsigned long event_counts[EVENT_PORTS];

static void own_bit(unsigned int vcpu, unsigned int port, bool set)
{
	xen_ulong_t *word = &owned[vcpu][port / PV_EVENT_BITS];

	if (set)
		__atomic_fetch_or(word, PV_EVENT_BIT(port), __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(word, ~PV_EVENT_BIT(port), __ATOMIC_SEQ_CST);
}

void event_mask(unsigned int port)
{
	pv_event_mask(&pv_shared_info, port);
}

/* Like an interrupt controller's: an event that arrived while masked is raised now. */
void event_unmask(unsigned int port)
{
	struct evtchn_unmask other = {.port = port};
	bool enabled = upcalls_save();

	if (port < EVENT_PORTS &&
	    !(READ_ONCE(owned[this_cpu->id][port / PV_EVENT_BITS]) & PV_EVENT_BIT(port)))
		HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &other);
	else
		pv_event_unmask(&pv_shared_info, vcpu_info_here(), port);
	upcalls_restore(enabled);
}

/* A port that was just bound to this vCPU. */
static long own(long port)
{
	if (port > 0 && port < EVENT_PORTS) {
		own_bit(0, (unsigned int)port, false);
		own_bit(this_cpu->id, (unsigned int)port, true);
	}
	return port;
}

/* Back to the first vCPU, where whoever gets the port next will look for it. */
static void disown(unsigned int port)
{
	for (unsigned int i = 1; i < MAX_VCPUS; i++)
		own_bit(i, port, false);
	own_bit(0, port, true);
}

bool event_is_pending(unsigned int port)
{
	return pv_event_is_pending(&pv_shared_info, port);
}

bool event_is_masked(unsigned int port)
{
	return READ_ONCE(pv_shared_info.evtchn_mask[port / PV_EVENT_BITS]) & PV_EVENT_BIT(port);
}

void event_clear(unsigned int port)
{
	pv_event_clear(&pv_shared_info, port);
}

void event_bind(unsigned int port, event_handler_t handler, void *data)
{
	if (port >= EVENT_PORTS)
		panic("event port %u", port);
	event_mask(port);
	bindings[port].data = data;
	bindings[port].handler = handler;
	if (handler)
		event_unmask(port);
}

long event_send(unsigned int port)
{
	return pv_event_send(port);
}

long event_close(unsigned int port)
{
	if (port < EVENT_PORTS) {
		event_bind(port, NULL, NULL);
		disown(port);
	}
	return pv_event_close(port);
}

long event_bind_virq(unsigned int virq)
{
	struct evtchn_bind_virq arg = {.virq = virq, .vcpu = this_cpu->id};
	long rc = HYPERVISOR_event_channel_op(EVTCHNOP_bind_virq, &arg);

	return rc ? rc : own(arg.port);
}

long event_bind_ipi(void)
{
	struct evtchn_bind_ipi arg = {.vcpu = this_cpu->id};
	long rc = HYPERVISOR_event_channel_op(EVTCHNOP_bind_ipi, &arg);

	return rc ? rc : own(arg.port);
}

long event_alloc_unbound(domid_t remote)
{
	evtchn_port_t port;
	long rc = pv_event_alloc(remote, &port);

	return rc ? rc : (long)port;
}

domid_t own_domid(void)
{
	struct evtchn_status st = {.dom = DOMID_SELF};
	long port = event_alloc_unbound(DOMID_SELF);

	if (port < 0)
		return DOMID_INVALID;
	st.port = (evtchn_port_t)port;
	HYPERVISOR_event_channel_op(EVTCHNOP_status, &st);
	event_close(st.port);
	return st.u.unbound.dom;
}

static void deliver(evtchn_port_t port, void *unused)
{
	if (port >= EVENT_PORTS)
		return;
	event_counts[port]++;
	if (bindings[port].handler)
		bindings[port].handler(port, bindings[port].data);
}

void event_upcall(struct trap_regs *regs);
void event_upcall(struct trap_regs *regs)
{
	__atomic_fetch_add(&event_upcalls, 1, __ATOMIC_RELAXED);
	pv_event_deliver(&pv_shared_info, vcpu_info_here(), owned[this_cpu->id], deliver, NULL);
	if (event_upcall_exit)
		event_upcall_exit(regs);
}

/* Ports that no handler can have are every vCPU's: whoever sees one clears it. */
void event_init(void)
{
	for (unsigned int i = 0; i < PV_EVENT_WORDS; i++) {
		bool handled = i < EVENT_PORTS / PV_EVENT_BITS;

		if (handled)
			WRITE_ONCE(pv_shared_info.evtchn_mask[i], ~0ul);
		for (unsigned int vcpu = 0; vcpu < (handled ? 1 : MAX_VCPUS); vcpu++)
			owned[vcpu][i] = ~0ul;
	}
}
