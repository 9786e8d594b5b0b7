/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("sched-block", "block and poll must not sleep through the event they wait for");

static unsigned int seen;

static void note(unsigned int port, void *data)
{
	seen++;
}

static long poll(unsigned int n, evtchn_port_t *ports, uint64_t timeout)
{
	struct sched_poll arg = {.nr_ports = n, .timeout = timeout};

	set_xen_guest_handle(arg.ports, ports);
	return HYPERVISOR_sched_op(SCHEDOP_poll, &arg);
}

static void block(unsigned int port, unsigned int timer)
{
	upcalls_disable();
	seen = 0;
	event_send(port);
	check_eq("block, already pending", HYPERVISOR_sched_op(SCHEDOP_block, NULL), 0);
	check_eq("block unmasks", this_vcpu->evtchn_upcall_mask, 0);
	check_eq("block delivers", seen, 1);

	/* The distance shrinks until the timer fires while the vCPU is about to fall asleep. */
	for (uint64_t i = 0; i < 300; i++) {
		upcalls_disable();
		seen = 0;
		HYPERVISOR_set_timer_op(time_ns() + (300 - i) * 1000);
		while (!seen)
			HYPERVISOR_sched_op(SCHEDOP_block, NULL);
	}
	check_eq("block, timer: 300 times", seen, 1);
	(void)timer;
}

static void polls(unsigned int port, unsigned int timer)
{
	evtchn_port_t ports[2] = {port, timer};
	uint64_t start = time_ns();

	upcalls_disable();
	event_mask(port);
	event_mask(timer);
	event_send(port);
	check_eq("poll, pending and masked", poll(1, ports, 0), 0);
	check("poll leaves it pending", event_is_pending(port));
	check_eq("poll leaves the mask", this_vcpu->evtchn_upcall_mask, 1);
	event_clear(port);

	check_eq("poll until a time", poll(1, ports, start + 5 * MSEC), 0);
	check("poll waited", time_ns() - start >= 5 * MSEC);
	check_eq("poll, time over", poll(1, ports, 1), 0);
	check_eq("poll of nothing, time over", poll(0, ports, 1), 0);

	for (uint64_t i = 0; i < 300; i++) {
		HYPERVISOR_set_timer_op(time_ns() + (300 - i) * 1000);
		while (!event_is_pending(timer))
			poll(2, ports, 0);
		event_clear(timer);
	}
	check("poll, timer: 300 times", true);

	ports[0] = 1u << 20;
	check_eq("poll, no such port", poll(1, ports, 1), -XEN_EINVAL);
	check_eq("poll, too many", poll(129, ports, 1), -XEN_EINVAL);
	check_eq("poll, too many to count", poll(~0u, ports, 1), -XEN_EINVAL);
	event_unmask(port);
	event_unmask(timer);
}

/* A masked port's event must not end a block; only an upcall does. */
static void block_masked(unsigned int port)
{
	uint64_t start = time_ns();

	upcalls_disable();
	event_mask(port);
	event_send(port);
	seen = 0;
	HYPERVISOR_set_timer_op(start + 10 * MSEC);
	while (!seen)
		HYPERVISOR_sched_op(SCHEDOP_block, NULL);
	check("block sleeps over a masked port", time_ns() - start >= 10 * MSEC);
	event_clear(port);
	event_unmask(port);
}

void test_main(void)
{
	long port = event_bind_ipi(), timer = event_bind_virq(VIRQ_TIMER);

	HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL);
	event_bind((unsigned int)port, note, NULL);
	event_bind((unsigned int)timer, note, NULL);
	block((unsigned int)port, (unsigned int)timer);
	polls((unsigned int)port, (unsigned int)timer);
	block_masked((unsigned int)port);
	check_eq("yield", HYPERVISOR_sched_op(SCHEDOP_yield, NULL), 0);
}
