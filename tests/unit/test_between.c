/* SPDX-License-Identifier: MIT */
/* The broker between domains: event channels, and pages of one that another maps. */
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

static long domain_map(uint32_t ref)
{
	int fds[2] = {-1, -1};
	long id = domain_grant_map(doms + 1, 1, ref, 0, fds);

	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return id;
}

/* Domain 2 maps pages of domain 1. */
static void lends(void **state)
{
	uint64_t offset;
	int fd, fds[2];
	long a, b;

	entry(doms, 8, GTF_permit_access, 2, PVDOM_MFN_RAM + 1);
	will_answer(1, 0);
	a = domain_map(8);
	b = domain_map(8);
	assert_true(a >= 0 && b >= 0 && a != b);
	assert_int_equal(got(1, NULL).op, CTL_LEND); /* once */
	assert_true(page_lent(doms, PVDOM_MFN_RAM + 1));
	assert_false(page_lent(doms + 1, PVDOM_MFN_RAM + 1));
	assert_int_equal(domain_grant_unmap(doms, a), -EINVAL); /* not its own */
	assert_int_equal(domain_grant_unmap(doms + 1, a), 0);
	assert_int_equal(domain_grant_unmap(doms + 1, a), -EINVAL);
	assert_true(silent(1));
	will_answer(1, 0);
	grants_of_domain(doms + 1); /* it was destroyed */
	assert_int_equal(got(1, NULL).op, CTL_RETURN);
	assert_int_equal(doms->grants[8].flags, GTF_permit_access);
	assert_int_equal(doms->refs, 1);

	/* a granter that is being asked delays nobody else's grants */
	pthread_mutex_lock(&doms->lend_lock);
	fd = page_open(doms + 1, PVDOM_MFN_RAM, &offset);
	pthread_mutex_unlock(&doms->lend_lock);
	assert_true(fd >= 0 && offset == PVDOM_MFN_RAM * PAGE_SIZE);
	close(fd);

	/* one that owes answers is told, but not waited for, when a page is to go back */
	will_answer(1, 0);
	assert_true(domain_map(8) >= 0);
	assert_int_equal(got(1, NULL).op, CTL_LEND);
	doms->stale = 1;
	grants_of_domain(doms + 1);
	assert_int_equal(got(1, NULL).op, CTL_RETURN);
	assert_int_equal(doms->stale, 2);
	/* or when a channel has ended */
	will_answer(2, 0);
	assert_int_equal(domain_bind(doms, 2, 3, 4, fds), 0);
	assert_int_equal(got(2, NULL).op, CTL_EVTCHN_CONNECT);
	ports_of_domain(2);
	assert_int_equal(got(1, NULL).op, CTL_EVTCHN_DISCONNECT);
	assert_int_equal(doms->stale, 3);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(doms->refs, 1);
}

static void lends_are_bounded(void **state)
{
	entry(doms, 8, GTF_permit_access, 2, PVDOM_MFN_RAM + 1);
	will_answer(1, 0);
	for (int i = 0; i < PVDOM_MAX_MAPPINGS; i++)
		assert_true(domain_map(8) >= 0);
	assert_int_equal(domain_map(8), -ENOSPC);
	doms[0].nr_lent = PVDOM_MAX_LENT;
	entry(doms, 9, GTF_permit_access, 2, PVDOM_MFN_RAM + 2);
	assert_int_equal(domain_map(9), -ENOSPC);
	assert_int_equal(doms->grants[9].flags, GTF_permit_access);
	doms[0].nr_lent = 1;
	doms[1].dying = true;
	will_answer(1, 0);
	grants_of_domain(doms + 1);
	will_answer(1, 0);
	will_answer(1, 0);
	assert_int_equal(domain_map(8), -ESRCH); /* lent, and taken back */
	assert_null(doms->lent);
	assert_int_equal(doms->nr_lent, 0);
	assert_int_equal(doms->grants[8].flags, GTF_permit_access);
	assert_int_equal(doms->refs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ports, setup, teardown),
		cmocka_unit_test_setup_teardown(between_domains, setup, teardown),
		cmocka_unit_test_setup_teardown(one_channel_a_port, setup, teardown),
		cmocka_unit_test_setup_teardown(lends, setup, teardown),
		cmocka_unit_test_setup_teardown(lends_are_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
