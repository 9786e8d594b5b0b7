/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("event-deliver", "pending, selector, upcall flag and three masks: each must do its own part");

static unsigned int order[16], count;
static bool masked_inside;

static void note(unsigned int port, void *data)
{
	if (count < ARRAY_SIZE(order))
		order[count] = port;
	count++;
	masked_inside = this_vcpu->evtchn_upcall_mask;
}

static void bits(unsigned int port)
{
	unsigned long sel = 1ul << port / 64;

	event_bind(port, note, NULL);
	upcalls_disable();
	this_vcpu->evtchn_upcall_pending = 0;
	this_vcpu->evtchn_pending_sel = 0;
	check_eq("send", event_send(port), 0);
	check("pending", event_is_pending(port));
	check("selector", this_vcpu->evtchn_pending_sel & sel);
	check_eq("upcall pending", this_vcpu->evtchn_upcall_pending, 1);
	check_eq("masked: not delivered", count, 0);
	check_eq("send again", event_send(port), 0);
	upcalls_enable();
	check_eq("two sends, one event", count, 1);
	check("the upcall runs masked", masked_inside);
	check_eq("and returns unmasked", this_vcpu->evtchn_upcall_mask, 0);

	/* Already pending: Xen takes it that the guest knows, and raises nothing. */
	upcalls_disable();
	event_send(port);
	this_vcpu->evtchn_upcall_pending = 0;
	this_vcpu->evtchn_pending_sel = 0;
	event_send(port);
	check_eq("already pending: no upcall", this_vcpu->evtchn_upcall_pending, 0);
	event_clear(port);

	event_mask(port);
	event_send(port);
	check("masked port: pending", event_is_pending(port));
	check_eq("masked port: no selector", (long)(this_vcpu->evtchn_pending_sel & sel), 0);
	check_eq("masked port: no upcall", this_vcpu->evtchn_upcall_pending, 0);
	count = 0;
	upcalls_enable();
	check_eq("masked port: not delivered", count, 0);
}

static void unmask(unsigned int port)
{
	struct evtchn_unmask arg = {.port = port};

	/* From bits(): masked and pending. */
	check_eq("EVTCHNOP_unmask", HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &arg), 0);
	check_eq("EVTCHNOP_unmask delivers", count, 1);
	check("EVTCHNOP_unmask clears the mask", !event_is_masked(port));
	check_eq("EVTCHNOP_unmask of nothing pending",
		 HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &arg), 0);
	check_eq("nothing more", count, 1);
	arg.port = 1u << 20;
	check_eq("EVTCHNOP_unmask: no such port",
		 HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &arg), -XEN_EINVAL);
}

/* An upcall flag set by hand counts as well: that is how a guest re-raises what it lost. */
static void by_hand(unsigned int port)
{
	count = 0;
	upcalls_disable();
	__atomic_fetch_or(&pv_shared_info.evtchn_pending[port / 64], 1ul << port % 64,
			  __ATOMIC_SEQ_CST);
	this_vcpu->evtchn_pending_sel = 1ul << port / 64;
	this_vcpu->evtchn_upcall_pending = 1;
	upcalls_enable();
	check_eq("raised by hand", count, 1);
}

static unsigned int inner_port;

static void nested(unsigned int port, void *data)
{
	note(port, data);
	event_send(inner_port);
	/* Masked: it must not come before we return. */
	check_eq("no upcall inside an upcall", count, 1);
}

static void chain(unsigned int a, unsigned int b)
{
	count = 0;
	inner_port = b;
	event_bind(a, nested, NULL);
	event_bind(b, note, NULL);
	event_send(a);
	check_eq("both came", count, 2);
	check("in the order of sending", order[0] == a && order[1] == b);
}

void test_main(void)
{
	long a = event_bind_ipi(), b = event_bind_ipi();

	check("bind_ipi", a > 0 && b > 0 && a != b);
	bits((unsigned int)a);
	unmask((unsigned int)a);
	by_hand((unsigned int)a);
	chain((unsigned int)a, (unsigned int)b);
	chain((unsigned int)b, (unsigned int)a);
}
