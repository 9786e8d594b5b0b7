/* SPDX-License-Identifier: MIT */
/* The broker between domains: their event channels. */
#include "tests/unit/fake_pvdoms.h"

static void ports(void **state)
{
	struct client c = {0}, other = {0};
	struct evtchn_status s;
	int fds[2], theirs[2] = {-1, -1};
	uint64_t n = 0;
	struct pvdom_req q;
	long p;

	will_answer(1, 0);
	p = port_bind_domain(&c, 1, 5, fds);
	assert_true(p > 0);
	q = got(1, theirs);
	assert_true(q.op == CTL_EVTCHN_CONNECT && q.arg[0] == 5 && q.arg[1] == 0 &&
		    q.arg[2] == (uint64_t)p);
	assert_int_equal(read(fds[0], &n, 8), 8);		  /* pending once from the start */
	assert_int_equal(write(theirs[1], &(uint64_t){1}, 8), 8); /* its tx is our rx */
	assert_int_equal(read(fds[0], &n, 8), 8);
	assert_int_equal(write(fds[1], &(uint64_t){1}, 8), 8);
	assert_int_equal(read(theirs[0], &n, 8), 8);
	assert_int_equal(port_status(p, &s), 0);
	assert_int_equal(s.status, EVTCHNSTAT_interdomain);
	assert_int_equal(port_close(&other, p), -EINVAL);
	domain_close(doms + 1, 5); /* another domain's port of the same number */
	port_status(p, &s);
	assert_int_equal(s.status, EVTCHNSTAT_interdomain);
	domain_close(doms, 5);
	port_status(p, &s);
	assert_int_equal(s.status, EVTCHNSTAT_unbound);
	close(theirs[0]);
	close(theirs[1]);

	/* the guest comes back by binding to it; only that guest may */
	assert_int_equal(domain_bind(doms + 1, 0, p, 7, theirs), -EINVAL);
	assert_int_equal(domain_bind(doms, 0, 4000000, 7, theirs), -EINVAL);
	assert_int_equal(domain_bind(doms, 0, p, 7, theirs), 0);
	assert_int_equal(write(theirs[1], &(uint64_t){1}, 8), 8);
	assert_int_equal(read(fds[0], &n, 8), 8);
	assert_int_equal(domain_bind(doms, 0, p, 8, theirs + 0), -EINVAL);
	will_answer(1, 0);
	ports_of_client(&c);
	q = got(1, NULL);
	assert_true(q.op == CTL_EVTCHN_DISCONNECT && q.arg[0] == 7);
	assert_true(q.arg[1] == 0 && q.arg[2] == (uint64_t)p);
	assert_int_equal(port_status(p, &s), 0);
	assert_int_equal(s.status, EVTCHNSTAT_closed);

	/* refused by the domain: no port remains */
	will_answer(1, -EINVAL);
	assert_int_equal(port_bind_domain(&c, 1, 6, fds), -EINVAL);
	assert_int_equal(got(1, NULL).op, CTL_EVTCHN_CONNECT);
	ports_of_client(&c);
	assert_true(silent(1));
}

static void between_domains(void **state)
{
	int fds[2], theirs[2];
	uint64_t n;
	struct pvdom_req q;

	assert_int_equal(domain_bind(doms, 1, 3, 4, fds), -EINVAL); /* itself */
	assert_int_equal(domain_bind(doms, 9, 3, 4, fds), -ESRCH);
	will_answer(2, 0);
	assert_int_equal(domain_bind(doms, 2, 3, 4, fds), 0);
	q = got(2, theirs);
	assert_true(q.arg[0] == 3 && q.arg[1] == 1 && q.arg[2] == 4);
	assert_int_equal(write(fds[1], &(uint64_t){1}, 8), 8);
	assert_int_equal(read(theirs[0], &n, 8), 8);
	will_answer(2, 0);
	ports_of_domain(1); /* it was destroyed */
	q = got(2, NULL);
	assert_true(q.op == CTL_EVTCHN_DISCONNECT && q.arg[0] == 3);
	assert_true(q.arg[1] == 1 && q.arg[2] == 4);
	ports_of_domain(1);
	assert_true(silent(2));
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(theirs[i]);
	}
}

/* A pvdom that binds and binds: the broker remembers one channel of each port there can be. */
static void one_channel_a_port(void **state)
{
	struct pvdom_req q;
	int fds[2];

	assert_int_equal(domain_bind(doms, 2, 3, PVDOM_MAX_PORTS, fds), -EINVAL);
	for (int i = 0; i < 3; i++) {
		will_answer(2, 0);
		if (i)
			will_answer(2, 0);
		assert_int_equal(domain_bind(doms, 2, 3 + i, 4, fds), 0);
		close(fds[0]);
		close(fds[1]);
		if (i) { /* the one of before has ended */
			q = got(2, NULL);
			assert_true(q.op == CTL_EVTCHN_DISCONNECT && q.arg[0] == 2U + i);
		}
		assert_int_equal(got(2, NULL).op, CTL_EVTCHN_CONNECT);
	}
	will_answer(2, 0);
	ports_of_domain(1);
	assert_int_equal(got(2, NULL).arg[0], 5);
	assert_true(silent(2));
	doms[0].dying = true; /* nobody would end what it binds now */
	assert_int_equal(domain_bind(doms, 2, 3, 4, fds), -ESRCH);
	assert_true(silent(2));
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ports, setup, teardown),
		cmocka_unit_test_setup_teardown(between_domains, setup, teardown),
		cmocka_unit_test_setup_teardown(one_channel_a_port, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
