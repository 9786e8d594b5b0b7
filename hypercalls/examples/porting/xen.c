/* SPDX-License-Identifier: MIT */
/* The kernel on Xen, as far as pv-guest's library does not have it. */
#include <pv/arch.h>
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/time.h>
#include "main.h"
#include "xen.h"

#define PATIENCE (60 * SEC) /* for the store and for whoever answers through it */

struct pv_xs store;
struct pv_grants grants;

xen_pfn_t frame_of(const void *page)
{
	return va_to_mfn(page);
}

static void port_fired(unsigned int port, void *handler)
{
	((void (*)(void))handler)();
}

void port_enable(evtchn_port_t port, void (*handler)(void))
{
	event_bind(port, handler ? port_fired : NULL, handler);
}

/* ---- the store ---- */

static void store_notify(void *unused)
{
	pv_event_send(start_info->store_evtchn);
}

/*
 * The port stays masked, and its pending bit says whether an event came since the last call: so
 * none is lost between a look at the ring and the sleep here.
 */
static bool store_wait(void *unused)
{
	evtchn_port_t port = start_info->store_evtchn;
	struct sched_poll poll = {.nr_ports = 1, .timeout = time_ns() + PATIENCE};

	set_xen_guest_handle(poll.ports, &port);
	while (!pv_event_is_pending(&pv_shared_info, port)) {
		if (time_ns() >= poll.timeout)
			return false;
		/* An upcall ends it as well. */
		HYPERVISOR_sched_op(SCHEDOP_poll, &poll);
	}
	pv_event_clear(&pv_shared_info, port);
	return true;
}

static void store_init(void)
{
	store.ring = pfn_to_va(mfn_to_pfn(start_info->store_mfn));
	store.notify = store_notify;
	store.wait = store_wait;
}

/* ---- the grant table ---- */

/* One page of it takes the place of this one. */
static char grant_page[PAGE] __attribute__((aligned(PAGE)));
static grant_ref_t grant_links[PV_GRANTS_PER_PAGE];

static bool grants_init(void)
{
	xen_pfn_t frame = 0;
	struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 1};

	set_xen_guest_handle(setup.frame_list, &frame);
	if (HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1) || setup.status ||
	    HYPERVISOR_update_va_mapping((unsigned long)grant_page, mfn_pte(frame, PTE_KERN),
					 UVMF_INVLPG))
		return false;
	pv_grants_init(&grants, (struct grant_entry_v1 *)grant_page, grant_links,
		       PV_GRANTS_PER_PAGE);
	return true;
}

int guest_main(void)
{
	store_init();
	if (!grants_init())
		panic("no grant table");
	pv_upcalls_enable(VCPU);
	kernel_main();
	return 0;
}
