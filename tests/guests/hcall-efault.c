/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("hcall-efault", "a hostile pointer is the caller's mistake, never the hypervisor's fault");

#define CALL(expr)                                                        \
	do {                                                              \
		snprintf(text, sizeof(text), "%s, p = %s", #expr, where); \
		check_eq(text, expr, -XEN_EFAULT);                        \
	} while (0)

static void reads(const char *where, void *p)
{
	char text[100];

	CALL(HYPERVISOR_set_trap_table(p));
	CALL(HYPERVISOR_mmu_update(p, 1, NULL, DOMID_SELF));
	CALL(HYPERVISOR_mmuext_op(p, 1, NULL, DOMID_SELF));
	CALL(HYPERVISOR_set_gdt(p, 512));
	CALL(HYPERVISOR_memory_op(XENMEM_current_reservation, p));
	/* This family says how many extents it did instead. */
	check_eq(where, HYPERVISOR_memory_op(XENMEM_populate_physmap, p), 0);
	CALL(HYPERVISOR_memory_op(XENMEM_exchange, p));
	CALL(HYPERVISOR_multicall(p, 1));
	CALL(HYPERVISOR_grant_table_op(GNTTABOP_query_size, p, 1));
	CALL(HYPERVISOR_grant_table_op(GNTTABOP_setup_table, p, 1));
	CALL(HYPERVISOR_grant_table_op(GNTTABOP_copy, p, 1));
	CALL(HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, p, 1));
	CALL(HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, p));
	CALL(HYPERVISOR_vcpu_op(VCPUOP_register_runstate_memory_area, 0, p));
	CALL(HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, p));
	CALL(HYPERVISOR_sched_op(SCHEDOP_poll, p));
	CALL(HYPERVISOR_sched_op(SCHEDOP_shutdown, p));
	CALL(HYPERVISOR_event_channel_op(EVTCHNOP_send, p));
	CALL(HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, p));
	CALL(HYPERVISOR_event_channel_op(EVTCHNOP_status, p));
	CALL(HYPERVISOR_callback_op(CALLBACKOP_register, p));
	CALL(HYPERVISOR_xen_version(XENVER_get_features, p));
}

static void writes(const char *where, void *p)
{
	char text[100];

	CALL(HYPERVISOR_xen_version(XENVER_extraversion, p));
	CALL(HYPERVISOR_xen_version(XENVER_capabilities, p));
	CALL(HYPERVISOR_xen_version(XENVER_platform_parameters, p));
	CALL(HYPERVISOR_vcpu_op(VCPUOP_get_runstate_info, 0, p));
}

/* A sound structure whose own pointer is hostile. */
static void inner(const char *where, void *p)
{
	struct sched_poll poll = {.nr_ports = 4};
	struct xen_memory_reservation res = {.nr_extents = 1, .domid = DOMID_SELF};
	char text[100];

	set_xen_guest_handle(poll.ports, p);
	CALL(HYPERVISOR_sched_op(SCHEDOP_poll, &poll));
	set_xen_guest_handle(res.extent_start, p);
	check(where, HYPERVISOR_memory_op(XENMEM_decrease_reservation, &res) <= 0);
}

void test_main(void)
{
	struct evtchn_alloc_unbound *arg;
	unsigned long va = va_alloc(2);
	char *page = page_alloc();

	static const struct {
		const char *name;
		unsigned long va;
	} bad[] = {
		{"unmapped", NOWHERE},
		{"above the guest", 0x7f0000000000}, /* a process keeps its own things there */
		{"end of the lower half", 0x7fffffffff00},
		{"not canonical", NON_CANON},
		{"Xen's", XEN_RANGE},
		{"end of the world", ~7ul},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		reads(bad[i].name, (void *)bad[i].va);
		writes(bad[i].name, (void *)bad[i].va);
		inner(bad[i].name, (void *)bad[i].va);
	}
	/* Four readable bytes, then nothing. */
	check_eq("map one page", map_mfn(va, va_to_mfn(page), PTE_KERN), 0);
	reads("half", (void *)(va + PAGE_SIZE - 1));
	/* Readable, but the answer cannot be written. */
	check_eq("read-only", map_mfn(va, va_to_mfn(page), PTE_KERN & ~PTE_RW), 0);
	writes("read-only", (void *)va);
	arg = (struct evtchn_alloc_unbound *)page;
	arg->dom = arg->remote_dom = DOMID_SELF;
	check_eq("answer to a read-only page",
		 HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, (void *)va), -XEN_EFAULT);
	check_eq("still here", HYPERVISOR_xen_version(XENVER_version, NULL), 4 << 16 | 17);
}
