/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("event-exhaust", "a guest that takes every port gets an error, and its ports back");

static long ports[4200];

static unsigned int take(long *last)
{
	unsigned int n = 0;

	while (n < ARRAY_SIZE(ports)) {
		*last = event_alloc_unbound(DOMID_SELF);
		if (*last < 0)
			break;
		ports[n++] = *last;
	}
	return n;
}

static void give_back(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct evtchn_close arg = {.port = (evtchn_port_t)ports[i]};

		if (HYPERVISOR_event_channel_op(EVTCHNOP_close, &arg))
			check("close", false);
	}
}

void test_main(void)
{
	struct evtchn_close arg;
	unsigned int first, second;
	long rc;

	first = take(&rc);
	printf("%u ports, then %ld\n", first, rc);
	check("there were some", first > 100);
	check("but no more than the ABI has bits for", first < 4096);
	check_eq("then no space", rc, -XEN_ENOSPC);
	check_eq("for no kind", event_bind_ipi(), -XEN_ENOSPC);
	check_eq("and no virq", event_bind_virq(VIRQ_DEBUG), -XEN_ENOSPC);
	arg.port = (evtchn_port_t)ports[first / 2];
	check_eq("one back", HYPERVISOR_event_channel_op(EVTCHNOP_close, &arg), 0);
	ports[first / 2] = event_alloc_unbound(DOMID_SELF);
	check_eq("is the one that comes next", ports[first / 2], arg.port);
	give_back(first);
	second = take(&rc);
	check_eq("all of them again", second, first);
	give_back(second);
}
