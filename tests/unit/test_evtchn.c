/* SPDX-License-Identifier: MIT */
/* Event channels: evtchn.c, evtchn_op.c, and the sleeping in sched.c that they end. */
#include "tests/unit/fake_monitor.h"

static long op(unsigned cmd, void *arg)
{
	return do_event_channel_op(current, cmd, (uint64_t)arg, 0, 0, 0);
}

static bool pending(uint32_t port)
{
	return dom.shared->evtchn_pending[port / 64] >> (port % 64) & 1;
}

static uint32_t ipi(uint32_t vcpu)
{
	struct evtchn_bind_ipi *b = arg_at(0);

	*b = (struct evtchn_bind_ipi){.vcpu = vcpu};
	assert_int_equal(op(EVTCHNOP_bind_ipi, b), 0);
	return b->port;
}

static uint32_t unbound(uint16_t remote)
{
	struct evtchn_alloc_unbound *a = arg_at(0);

	*a = (struct evtchn_alloc_unbound){.dom = DOMID_SELF, .remote_dom = remote};
	assert_int_equal(op(EVTCHNOP_alloc_unbound, a), 0);
	return a->port;
}

static long bind(uint16_t remote, uint32_t rport, uint32_t *port)
{
	struct evtchn_bind_interdomain *b = arg_at(64);
	long rc;

	*b = (struct evtchn_bind_interdomain){.remote_dom = remote, .remote_port = rport};
	rc = op(EVTCHNOP_bind_interdomain, b);
	*port = b->local_port;
	return rc;
}

static long simple(unsigned cmd, uint32_t port)
{
	*(uint32_t *)arg_at(128) = port;
	return op(cmd, arg_at(128));
}

static long status(uint32_t port, struct evtchn_status *st)
{
	struct evtchn_status *g = arg_at(192);
	long rc;

	*g = (struct evtchn_status){.dom = DOMID_SELF, .port = port};
	rc = op(EVTCHNOP_status, g);
	*st = *g;
	return rc;
}

static void sending_an_ipi_sets_pending_selector_and_upcall(void **state)
{
	uint32_t port = ipi(1);

	assert_int_not_equal(port, 0);
	assert_int_equal(simple(EVTCHNOP_send, port), 0);
	assert_true(pending(port));
	assert_int_equal(vcpus[1].info->evtchn_pending_sel, 1UL << (port / 64));
	assert_int_equal(vcpus[1].info->evtchn_upcall_pending, 1);
	assert_int_equal(vcpus[0].info->evtchn_upcall_pending, 0);
	assert_int_equal(kicks, 1);
	/* Pending already: nothing more happens. */
	assert_int_equal(simple(EVTCHNOP_send, port), 0);
	assert_int_equal(kicks, 1);
}

static void a_masked_port_waits_for_unmask(void **state)
{
	uint32_t port = ipi(0);

	dom.shared->evtchn_mask[port / 64] |= 1UL << (port % 64);
	assert_int_equal(simple(EVTCHNOP_send, port), 0);
	assert_true(pending(port));
	assert_int_equal(vcpus[0].info->evtchn_upcall_pending, 0);
	assert_int_equal(simple(EVTCHNOP_unmask, port), 0);
	assert_int_equal(vcpus[0].info->evtchn_upcall_pending, 1);
}

static void the_lowest_free_port_is_given_and_the_table_has_an_end(void **state)
{
	struct evtchn_bind_ipi *b = arg_at(0);
	uint32_t first = ipi(0), second = ipi(0);

	assert_int_equal(first, 1);
	assert_int_equal(second, 2);
	assert_int_equal(simple(EVTCHNOP_close, first), 0);
	assert_int_equal(ipi(0), first);
	for (int i = 2; i < MAX_PORTS - 1; i++)
		ipi(0);
	assert_int_equal(op(EVTCHNOP_bind_ipi, b), -ENOSPC);
}

static void a_virq_is_bound_once_and_raised_where_it_was_bound(void **state)
{
	struct evtchn_bind_virq *b = arg_at(0);

	*b = (struct evtchn_bind_virq){.virq = VIRQ_TIMER, .vcpu = 1};
	assert_int_equal(op(EVTCHNOP_bind_virq, b), 0);
	assert_int_equal(op(EVTCHNOP_bind_virq, b), -EEXIST);
	virq_raise(&vcpus[1], VIRQ_TIMER);
	assert_true(pending(b->port));
	assert_int_equal(vcpus[1].info->evtchn_upcall_pending, 1);
	assert_int_equal(simple(EVTCHNOP_send, b->port), -EINVAL);
	assert_int_equal(simple(EVTCHNOP_close, b->port), 0);
	assert_false(pending(b->port));
	assert_int_equal(op(EVTCHNOP_bind_virq, b), 0);

	*b = (struct evtchn_bind_virq){.virq = VIRQ_CONSOLE, .vcpu = 1};
	assert_int_equal(op(EVTCHNOP_bind_virq, b), -EINVAL);
	*b = (struct evtchn_bind_virq){.virq = 24};
	assert_int_equal(op(EVTCHNOP_bind_virq, b), -EINVAL);
	*b = (struct evtchn_bind_virq){.virq = VIRQ_DEBUG, .vcpu = 2};
	assert_int_equal(op(EVTCHNOP_bind_virq, b), -ENOENT);
}

static void a_loopback_channel_works_both_ways_without_the_broker(void **state)
{
	uint32_t a = unbound(DOMID_SELF), b;
	struct evtchn_status st;

	assert_int_equal(bind(DOMID_SELF, a, &b), 0);
	/* Binding raises the new end. */
	assert_true(pending(b));
	assert_int_equal(simple(EVTCHNOP_send, b), 0);
	assert_true(pending(a));
	dom.shared->evtchn_pending[0] = 0;
	assert_int_equal(simple(EVTCHNOP_send, a), 0);
	assert_true(pending(b));
	assert_int_equal(status(a, &st), 0);
	assert_int_equal(st.status, EVTCHNSTAT_interdomain);
	assert_int_equal(st.u.interdomain.port, b);
	assert_int_equal(st.u.interdomain.dom, 7);
	assert_int_equal(simple(EVTCHNOP_close, b), 0);
	assert_int_equal(status(a, &st), 0);
	assert_int_equal(st.status, EVTCHNSTAT_unbound);
	assert_int_equal(up_calls, 0);
}

static void a_remote_channel_sends_and_receives_by_its_eventfds(void **state)
{
	uint64_t n = 0;
	uint32_t port;

	assert_int_equal(bind(0, 33, &port), 0);
	assert_int_equal(up_op, UP_EVTCHN_BIND);
	assert_int_equal(up_arg[0], 0);
	assert_int_equal(up_arg[1], 33);
	assert_int_equal(up_arg[2], port);
	assert_int_equal(watched, 1);
	assert_int_equal(simple(EVTCHNOP_send, port), 0);
	assert_int_equal(read(up_peer[1], &n, 8), 8);
	assert_int_equal(n, 1);

	dom.shared->evtchn_pending[0] = 0;
	evtchn_rx(&dom, port);
	assert_false(pending(port));
	n = 1;
	assert_int_equal(write(up_peer[0], &n, 8), 8);
	evtchn_rx(&dom, port);
	assert_true(pending(port));

	assert_int_equal(simple(EVTCHNOP_close, port), 0);
	assert_int_equal(up_op, UP_EVTCHN_CLOSE);
	assert_int_equal(unwatched, 1);
	evtchn_rx(&dom, port);
	assert_int_equal(simple(EVTCHNOP_close, port), -EINVAL);
}

static void a_refused_bind_gives_its_port_back(void **state)
{
	uint32_t port;

	up_ret = -ESRCH;
	assert_int_equal(bind(3, 1, &port), -ESRCH);
	up_ret = 0;
	up_gives_fds = false;
	assert_int_equal(bind(3, 1, &port), -EIO);
	assert_int_equal(ipi(0), 1);
}

static void the_broker_connects_only_an_unbound_port_for_that_domain(void **state)
{
	long port = evtchn_alloc(&dom, 0);
	int fd = eventfd(0, EFD_NONBLOCK), fd2 = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(evtchn_connect(&dom, port, 1, 5, fd, fd2), -EINVAL);
	assert_int_equal(evtchn_connect(&dom, port + 1, 0, 5, fd, fd2), -EINVAL);
	assert_int_equal(evtchn_connect(&dom, 1 << 20, 0, 5, fd, fd2), -EINVAL);
	assert_int_equal(evtchn_connect(&dom, port, 0, 5, fd, fd2), 0);
	assert_int_equal(evtchn_connect(&dom, port, 0, 5, fd, fd2), -EINVAL);
	/* what another end, or another domain, has closed was not this channel */
	assert_int_equal(evtchn_disconnect(&dom, port, 0, 6), -EINVAL);
	assert_int_equal(evtchn_disconnect(&dom, port, 3, 5), -EINVAL);
	assert_int_equal(dom.port[port].state, PORT_INTERDOMAIN);
	assert_int_equal(evtchn_disconnect(&dom, port, 0, 5), 0);
	assert_int_equal(evtchn_disconnect(&dom, port, 0, 5), -EINVAL);
	assert_int_equal(dom.port[port].state, PORT_UNBOUND);
}

static void bad_ports_vcpus_and_pointers_are_refused_with_xens_errnos(void **state)
{
	struct evtchn_bind_vcpu *bv = arg_at(0);
	struct evtchn_alloc_unbound *a = arg_at(0);
	struct evtchn_status st;
	uint32_t port;

	assert_int_equal(simple(EVTCHNOP_send, 0), -EINVAL);
	assert_int_equal(simple(EVTCHNOP_send, ~0U), -EINVAL);
	assert_int_equal(simple(EVTCHNOP_send, 9), -EINVAL);
	assert_int_equal(simple(EVTCHNOP_close, 9), -EINVAL);
	assert_int_equal(status(9, &st), 0);
	assert_int_equal(st.status, EVTCHNSTAT_closed);
	assert_int_equal(status(1 << 20, &st), -EINVAL);
	assert_int_equal(op(EVTCHNOP_send, (void *)BAD_VA), -EFAULT);
	assert_int_equal(op(EVTCHNOP_init_control, guest), -ENOSYS);
	assert_int_equal(op(EVTCHNOP_expand_array, guest), -ENOSYS);
	assert_int_equal(op(99, guest), -ENOSYS);
	assert_int_equal(op(EVTCHNOP_bind_pirq, guest), -EPERM);
	*a = (struct evtchn_alloc_unbound){.dom = 0};
	assert_int_equal(op(EVTCHNOP_alloc_unbound, a), -EPERM);
	*a = (struct evtchn_alloc_unbound){.dom = 3};
	assert_int_equal(op(EVTCHNOP_alloc_unbound, a), -ESRCH);
	assert_int_equal(bind(DOMID_SELF, 500, &port), -EINVAL);
	port = ipi(0);
	*bv = (struct evtchn_bind_vcpu){.port = port, .vcpu = 1};
	assert_int_equal(op(EVTCHNOP_bind_vcpu, bv), -EINVAL);
	*bv = (struct evtchn_bind_vcpu){.port = port, .vcpu = 2};
	assert_int_equal(op(EVTCHNOP_bind_vcpu, bv), -ENOENT);
}

static void bind_vcpu_moves_where_events_arrive(void **state)
{
	struct evtchn_bind_vcpu *bv = arg_at(0);
	uint32_t a = unbound(DOMID_SELF), b;

	assert_int_equal(bind(DOMID_SELF, a, &b), 0);
	*bv = (struct evtchn_bind_vcpu){.port = a, .vcpu = 1};
	assert_int_equal(op(EVTCHNOP_bind_vcpu, bv), 0);
	assert_int_equal(simple(EVTCHNOP_send, b), 0);
	assert_int_equal(vcpus[1].info->evtchn_upcall_pending, 1);
}

static void reset_closes_every_port(void **state)
{
	struct evtchn_reset *r = arg_at(0);
	uint32_t a = unbound(DOMID_SELF), b;

	ipi(0);
	bind(DOMID_SELF, a, &b);
	bind(0, 4, &b);
	*r = (struct evtchn_reset){.dom = DOMID_SELF};
	assert_int_equal(op(EVTCHNOP_reset, r), 0);
	for (int i = 1; i < MAX_PORTS; i++)
		assert_int_equal(dom.port[i].state, PORT_FREE);
	assert_int_equal(unwatched, 1);
}

static void *raise_later(void *port)
{
	usleep(20000);
	evtchn_raise(&dom, (uint32_t)(uintptr_t)port);
	return NULL;
}

static void block_ends_when_another_thread_raises_an_event(void **state)
{
	pthread_t t;
	uint32_t port = ipi(0);

	vcpus[0].info->evtchn_upcall_mask = 1;
	pthread_create(&t, NULL, raise_later, (void *)(uintptr_t)port);
	assert_int_equal(do_sched_op(current, SCHEDOP_block, 0, 0, 0, 0), 0);
	assert_int_equal(vcpus[0].info->evtchn_upcall_mask, 0);
	assert_true(event_deliverable(current));
	assert_false(current->blocked);
	pthread_join(t, NULL);
}

static void block_ends_at_the_timers_deadline(void **state)
{
	struct evtchn_bind_virq *b = arg_at(0);
	uint64_t start;

	*b = (struct evtchn_bind_virq){.virq = VIRQ_TIMER};
	assert_int_equal(op(EVTCHNOP_bind_virq, b), 0);
	start = system_time(&dom);
	do_set_timer_op(current, start + 5000000, 0, 0, 0, 0);
	assert_int_equal(do_sched_op(current, SCHEDOP_block, 0, 0, 0, 0), 0);
	assert_true(system_time(&dom) >= start + 5000000);
	assert_true(pending(b->port));
	assert_true(current->runstate.time[RUNSTATE_blocked] >= 4000000);
}

static void poll_sees_a_masked_port_and_its_timeout(void **state)
{
	struct sched_poll *p = arg_at(0x200);
	uint32_t *port = arg_at(0x300);
	uint64_t start = system_time(&dom);
	pthread_t t;

	*port = ipi(0);
	dom.shared->evtchn_mask[0] = ~0UL;
	p->ports.p = port;
	p->nr_ports = 1;
	p->timeout = start + 3000000;
	assert_int_equal(do_sched_op(current, SCHEDOP_poll, (uint64_t)p, 0, 0, 0), 0);
	assert_true(system_time(&dom) >= start + 3000000);
	p->timeout = 0;
	pthread_create(&t, NULL, raise_later, (void *)(uintptr_t)*port);
	assert_int_equal(do_sched_op(current, SCHEDOP_poll, (uint64_t)p, 0, 0, 0), 0);
	assert_true(pending(*port));
	pthread_join(t, NULL);
	p->nr_ports = 129;
	assert_int_equal(do_sched_op(current, SCHEDOP_poll, (uint64_t)p, 0, 0, 0), -EINVAL);
	p->nr_ports = 1;
	*port = 0;
	assert_int_equal(do_sched_op(current, SCHEDOP_poll, (uint64_t)p, 0, 0, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sending_an_ipi_sets_pending_selector_and_upcall),
		TEST(a_masked_port_waits_for_unmask),
		TEST(the_lowest_free_port_is_given_and_the_table_has_an_end),
		TEST(a_virq_is_bound_once_and_raised_where_it_was_bound),
		TEST(a_loopback_channel_works_both_ways_without_the_broker),
		TEST(a_remote_channel_sends_and_receives_by_its_eventfds),
		TEST(a_refused_bind_gives_its_port_back),
		TEST(the_broker_connects_only_an_unbound_port_for_that_domain),
		TEST(bad_ports_vcpus_and_pointers_are_refused_with_xens_errnos),
		TEST(bind_vcpu_moves_where_events_arrive),
		TEST(reset_closes_every_port),
		TEST(block_ends_when_another_thread_raises_an_event),
		TEST(block_ends_at_the_timers_deadline),
		TEST(poll_sees_a_masked_port_and_its_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
