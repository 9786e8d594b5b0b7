/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("event-ports", "a port's life: bind, status, close, and every wrong step refused");

static long status_of(long port)
{
	struct evtchn_status st = {.dom = DOMID_SELF, .port = (evtchn_port_t)port};
	long rc = HYPERVISOR_event_channel_op(EVTCHNOP_status, &st);

	return rc ? rc : (long)st.status;
}

static long bind_virq(unsigned int virq, unsigned int vcpu)
{
	struct evtchn_bind_virq arg = {.virq = virq, .vcpu = vcpu};
	long rc = HYPERVISOR_event_channel_op(EVTCHNOP_bind_virq, &arg);

	return rc ? rc : (long)arg.port;
}

static void virqs(void)
{
	long port = bind_virq(VIRQ_TIMER, 0), debug;

	check("virq: timer", port > 0);
	check_eq("virq: status", status_of(port), EVTCHNSTAT_virq);
	check_eq("virq: twice", bind_virq(VIRQ_TIMER, 0), -XEN_EEXIST);
	debug = bind_virq(VIRQ_DEBUG, 0);
	check("virq: another", debug > 0 && debug != port);
	check_eq("virq: none such", bind_virq(NR_VIRQS, 0), -XEN_EINVAL);
	check_eq("virq: no such vcpu", bind_virq(VIRQ_XENOPROF, 99), -XEN_ENOENT);
	check_eq("virq: cannot be sent", event_send((unsigned int)port), -XEN_EINVAL);
	event_close((unsigned int)port);
	check_eq("virq: status closed", status_of(port), EVTCHNSTAT_closed);
	port = bind_virq(VIRQ_TIMER, 0);
	check("virq: again after close", port > 0);
	event_close((unsigned int)port);
	event_close((unsigned int)debug);
}

static void ipis(void)
{
	struct evtchn_bind_ipi bad = {.vcpu = 99};
	long port = event_bind_ipi();
	struct evtchn_bind_vcpu move = {.port = (evtchn_port_t)port};

	check("ipi", port > 0);
	check_eq("ipi: status", status_of(port), EVTCHNSTAT_ipi);
	check_eq("ipi: cannot move", HYPERVISOR_event_channel_op(EVTCHNOP_bind_vcpu, &move),
		 -XEN_EINVAL);
	check_eq("ipi: no such vcpu", HYPERVISOR_event_channel_op(EVTCHNOP_bind_ipi, &bad),
		 -XEN_ENOENT);
	check_eq("ipi: close", event_close((unsigned int)port), 0);
	check_eq("ipi: close twice", event_close((unsigned int)port), -XEN_EINVAL);
	check_eq("ipi: send when closed", event_send((unsigned int)port), -XEN_EINVAL);
}

static void interdomain(void)
{
	long unbound = event_alloc_unbound(DOMID_SELF);
	struct evtchn_bind_interdomain bind = {
		.remote_dom = DOMID_SELF,
		.remote_port = (evtchn_port_t)unbound,
	};
	struct evtchn_bind_vcpu move = {.port = (evtchn_port_t)unbound};
	struct evtchn_alloc_unbound other = {.dom = 0x7abc, .remote_dom = DOMID_SELF};

	check("unbound", unbound > 0);
	check_eq("unbound: status", status_of(unbound), EVTCHNSTAT_unbound);
	check_eq("unbound: send goes nowhere", event_send((unsigned int)unbound), 0);
	check_eq("unbound: may move", HYPERVISOR_event_channel_op(EVTCHNOP_bind_vcpu, &move), 0);
	move.vcpu = 99;
	check_eq("unbound: to a vcpu there is",
		 HYPERVISOR_event_channel_op(EVTCHNOP_bind_vcpu, &move), -XEN_ENOENT);
	check_eq("loop", HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind), 0);
	check_eq("loop: status", status_of(bind.local_port), EVTCHNSTAT_interdomain);
	check("loop: the new end is pending at once", event_is_pending(bind.local_port));
	event_clear(bind.local_port);
	check_eq("loop: send", event_send(bind.local_port), 0);
	check("loop: arrives at the other end", event_is_pending((unsigned int)unbound));
	check("loop: and not at this one", !event_is_pending(bind.local_port));
	event_clear((unsigned int)unbound);
	check_eq("loop: send back", event_send((unsigned int)unbound), 0);
	check("loop: arrives back", event_is_pending(bind.local_port));
	check_eq("loop: bound ports bind no more",
		 HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind), -XEN_EINVAL);
	check_eq("loop: close", event_close(bind.local_port), 0);
	check_eq("loop: the other end is unbound again", status_of(unbound), EVTCHNSTAT_unbound);
	check_eq("loop: close", event_close((unsigned int)unbound), 0);
	bind.remote_port = 1u << 20;
	check_eq("no such remote port",
		 HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind), -XEN_EINVAL);
	bind.remote_dom = 0x7abc;
	check_eq("no such domain", HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind),
		 -XEN_ESRCH);
	check_eq("a port of nobody's", HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &other),
		 -XEN_ESRCH);
}

void test_main(void)
{
	check_eq("port 0", event_send(0), -XEN_EINVAL);
	check_eq("a free port", event_send(3999), -XEN_EINVAL);
	check_eq("behind the last", event_send(1u << 20), -XEN_EINVAL);
	check_eq("close port 0", event_close(0), -XEN_EINVAL);
	check_eq("status of port 0", status_of(0), EVTCHNSTAT_closed);
	check_eq("status behind the last", status_of(1 << 20), -XEN_EINVAL);
	virqs();
	ipis();
	interdomain();
}
