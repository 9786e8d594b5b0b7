/* SPDX-License-Identifier: MIT */
/*
 * Two-level event channels: a bit per port in evtchn_pending, a bit per word of ports in the
 * vCPU's evtchn_pending_sel, and one flag that says there is anything at all. The bits per port are
 * the domain's: of a word that its selector names, a vCPU takes only the ports that are its own.
 */
#include <pv/event.h>
#include <pv/lib.h>

#define WORD_BITS 64u

static struct {
	event_handler_t handler;
	void *data;
} bindings[EVENT_PORTS];

/* Ports of each vCPU; the first has all that no other asked for. */
static xen_ulong_t owned[MAX_VCPUS][EVENT_PORTS / WORD_BITS];

void (*event_upcall_exit)(struct trap_regs *regs);
unsigned long event_upcalls;
unsigned long event_counts[EVENT_PORTS];

static inline void set_bit_atomic(unsigned int nr, xen_ulong_t *map)
{
	__atomic_fetch_or(&map[nr / WORD_BITS], 1ull << nr % WORD_BITS, __ATOMIC_SEQ_CST);
}

static inline void clear_bit_atomic(unsigned int nr, xen_ulong_t *map)
{
	__atomic_fetch_and(&map[nr / WORD_BITS], ~(1ull << nr % WORD_BITS), __ATOMIC_SEQ_CST);
}

static inline bool get_bit(unsigned int nr, const xen_ulong_t *map)
{
	return READ_ONCE(map[nr / WORD_BITS]) >> nr % WORD_BITS & 1;
}

void event_mask(unsigned int port)
{
	set_bit_atomic(port, pv_shared_info.evtchn_mask);
}

/* Like an interrupt controller's: an event that arrived while masked is raised now. */
void event_unmask(unsigned int port)
{
	struct evtchn_unmask other = {.port = port};
	bool enabled = upcalls_save();
	struct vcpu_info *here = vcpu_info_here();

	if (port < EVENT_PORTS && !get_bit(port, owned[this_cpu->id])) {
		HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &other);
		upcalls_restore(enabled);
		return;
	}
	clear_bit_atomic(port, pv_shared_info.evtchn_mask);
	if (event_is_pending(port)) {
		set_bit_atomic(port / WORD_BITS, &here->evtchn_pending_sel);
		WRITE_ONCE(here->evtchn_upcall_pending, 1);
	}
	upcalls_restore(enabled);
}

/* A port that was just bound to this vCPU. */
static long own(long port)
{
	if (port > 0 && port < EVENT_PORTS) {
		clear_bit_atomic((unsigned int)port, owned[0]);
		set_bit_atomic((unsigned int)port, owned[this_cpu->id]);
	}
	return port;
}

/* Back to the first vCPU, where whoever gets the port next will look for it. */
static void disown(unsigned int port)
{
	for (unsigned int i = 1; i < MAX_VCPUS; i++)
		clear_bit_atomic(port, owned[i]);
	set_bit_atomic(port, owned[0]);
}

bool event_is_pending(unsigned int port)
{
	return get_bit(port, pv_shared_info.evtchn_pending);
}

bool event_is_masked(unsigned int port)
{
	return get_bit(port, pv_shared_info.evtchn_mask);
}

void event_clear(unsigned int port)
{
	clear_bit_atomic(port, pv_shared_info.evtchn_pending);
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
	struct evtchn_send arg = {.port = port};

	return HYPERVISOR_event_channel_op(EVTCHNOP_send, &arg);
}

long event_close(unsigned int port)
{
	struct evtchn_close arg = {.port = port};

	if (port < EVENT_PORTS) {
		event_bind(port, NULL, NULL);
		disown(port);
	}
	return HYPERVISOR_event_channel_op(EVTCHNOP_close, &arg);
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
	struct evtchn_alloc_unbound arg = {.dom = DOMID_SELF, .remote_dom = remote};
	long rc = HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &arg);

	return rc ? rc : (long)arg.port;
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

static void deliver(unsigned int port)
{
	clear_bit_atomic(port, pv_shared_info.evtchn_pending);
	if (port >= EVENT_PORTS)
		return;
	event_counts[port]++;
	if (bindings[port].handler)
		bindings[port].handler(port, bindings[port].data);
}

/* Ports that no handler can have are only cleared, by whichever vCPU sees them. */
static xen_ulong_t mine(unsigned int word)
{
	return word < EVENT_PORTS / WORD_BITS ? READ_ONCE(owned[this_cpu->id][word]) : ~0ul;
}

void event_upcall(struct trap_regs *regs);
void event_upcall(struct trap_regs *regs)
{
	struct vcpu_info *here = vcpu_info_here();

	__atomic_fetch_add(&event_upcalls, 1, __ATOMIC_RELAXED);
	do {
		xen_ulong_t sel;

		WRITE_ONCE(here->evtchn_upcall_pending, 0);
		sel = __atomic_exchange_n(&here->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
		for (; sel; sel &= sel - 1) {
			unsigned int word = (unsigned int)__builtin_ctzl(sel);
			xen_ulong_t bits;

			/* Read again after each one: a handler may mask or clear another. */
			while ((bits = READ_ONCE(pv_shared_info.evtchn_pending[word]) &
				       ~READ_ONCE(pv_shared_info.evtchn_mask[word]) & mine(word)) !=
			       0)
				deliver(word * WORD_BITS + (unsigned int)__builtin_ctzl(bits));
		}
	} while (READ_ONCE(here->evtchn_upcall_pending));
	if (event_upcall_exit)
		event_upcall_exit(regs);
}

void event_init(void)
{
	for (unsigned int i = 0; i < EVENT_PORTS / WORD_BITS; i++) {
		WRITE_ONCE(pv_shared_info.evtchn_mask[i], ~0ul);
		owned[0][i] = ~0ul;
	}
}
