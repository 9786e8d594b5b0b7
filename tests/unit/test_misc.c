/* SPDX-License-Identifier: MIT */
/* Time, vcpu_op, sched_op's endings, versions, grants, and the small hypercalls. */
#include "hypercalls/abi/pavane/extension.h"
#include "tests/unit/fake_monitor.h"

#include <xen/physdev.h>
#include <xen/version.h>

/* What do_multicall reaches: the calls under test, none of the rest. */
long hypercall(struct vcpu *v, uint64_t nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
	       uint64_t a5)
{
	switch (nr) {
	case __HYPERVISOR_xen_version: return do_xen_version(v, a1, a2, a3, a4, a5);
	case __HYPERVISOR_multicall: return do_multicall(v, a1, a2, a3, a4, a5);
	default: return -ENOSYS;
	}
}

static long version(unsigned cmd, void *arg)
{
	return do_xen_version(current, cmd, (uint64_t)arg, 0, 0, 0);
}

static long vcpu_op(unsigned cmd, uint64_t id, void *arg)
{
	return do_vcpu_op(current, cmd, id, (uint64_t)arg, 0, 0);
}

static long grant(unsigned cmd, void *arg, uint64_t n)
{
	return do_grant_table_op(current, cmd, (uint64_t)arg, n, 0, 0);
}

static struct grant_entry_v1 *grant_entry(unsigned ref)
{
	return (struct grant_entry_v1 *)frame_ptr(&dom, PVDOM_MFN_GRANT) + ref;
}

static void the_version_is_xen_4_17_and_names_pavane(void **state)
{
	char *buf = arg_at(0);

	assert_int_equal(version(XENVER_version, NULL), 0x40011);
	assert_int_equal(version(XENVER_extraversion, buf), 0);
	assert_string_equal(buf, ".7-pavane");
	assert_int_equal(version(XENVER_capabilities, buf), 0);
	assert_string_equal(buf, "xen-3.0-x86_64 ");
	assert_int_equal(version(XENVER_commandline, buf), 0);
	assert_string_equal(buf, "<denied>");
	assert_int_equal(version(XENVER_pagesize, NULL), 4096);
	assert_int_equal(version(XENVER_pagesize, buf), -EINVAL);
	assert_int_equal(version(XENVER_build_id, buf), -EPERM);
	assert_int_equal(version(99, buf), -ENOSYS);
	assert_int_equal(version(XENVER_capabilities, (void *)BAD_VA), -EFAULT);
}

static void features_have_one_submap(void **state)
{
	struct xen_feature_info *fi = arg_at(0);

	fi->submap_idx = 0;
	assert_int_equal(version(XENVER_get_features, fi), 0);
	assert_true(fi->submap & 1U << XENFEAT_mmu_pt_update_preserve_ad);
	assert_false(fi->submap & 1U << XENFEAT_writable_page_tables);
	fi->submap_idx = 1;
	assert_int_equal(version(XENVER_get_features, fi), -EINVAL);
}

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static void the_guests_formula_gives_the_monitors_time(void **state)
{
	uint64_t last = 0;

	for (int i = 0; i < 200; i++) {
		struct vcpu_time_info *t = &current->info->time;
		uint64_t before = system_time(&dom), guest_now, tsc;

		time_publish(current);
		assert_false(t->version & 1);
		tsc = __builtin_ia32_rdtsc() - t->tsc_timestamp;
		tsc = t->tsc_shift < 0 ? tsc >> -t->tsc_shift : tsc << t->tsc_shift;
		guest_now = t->system_time + ((unsigned __int128)tsc * t->tsc_to_system_mul >> 32);
		assert_true(guest_now >= last);
		last = guest_now;
		/* However long others have the processor between two of these lines. */
		assert_true(guest_now + 1000000 > before);
		assert_true(guest_now < system_time(&dom) + 1000000);
		usleep(2000);
	}
	assert_true(dom.shared->wc_sec > 1600000000);
}

static void system_time_goes_with_the_hosts_clock(void **state)
{
	const uint64_t before = monotonic_ns(), first = system_time(&dom), after = monotonic_ns();
	uint64_t again, last, passed;

	usleep(400000);
	again = monotonic_ns();
	passed = system_time(&dom) - first;
	last = monotonic_ns();
	assert_true(passed + 2000000 > again - after && passed < last - before + 2000000);
}

static void a_timer_in_the_past_fires_at_once_and_an_absurd_one_is_100_ms(void **state)
{
	uint64_t now = system_time(&dom);

	do_set_timer_op(current, 1, 0, 0, 0, 0);
	assert_int_equal(current->timer_deadline, 0);
	do_set_timer_op(current, ~0UL, 0, 0, 0, 0);
	assert_true(current->timer_deadline >= now + 100000000);
	assert_true(current->timer_deadline <= system_time(&dom) + 100000000);
	do_set_timer_op(current, now + (1UL << 51), 0, 0, 0, 0);
	assert_true(current->timer_deadline <= system_time(&dom) + 100000000);
	do_set_timer_op(current, 0, 0, 0, 0, 0);
	assert_int_equal(current->timer_deadline, 0);
}

static void vcpu_op_refuses_with_xens_errnos(void **state)
{
	struct vcpu_set_periodic_timer *p = arg_at(0);
	struct vcpu_set_singleshot_timer *s = arg_at(0);

	assert_int_equal(vcpu_op(VCPUOP_is_up, 0, NULL), 1);
	assert_int_equal(vcpu_op(VCPUOP_is_up, 2, NULL), -ENOENT);
	assert_int_equal(vcpu_op(VCPUOP_initialise, 1, guest), -EEXIST);
	vcpus[1].initialised = vcpus[1].online = false;
	assert_int_equal(vcpu_op(VCPUOP_up, 1, NULL), -EINVAL);
	assert_int_equal(vcpu_op(VCPUOP_initialise, 1, (void *)BAD_VA), -EFAULT);
	assert_int_equal(vcpu_op(VCPUOP_initialise, 1, guest), -EINVAL);
	p->period_ns = 10;
	assert_int_equal(vcpu_op(VCPUOP_set_periodic_timer, 0, p), -EINVAL);
	s->timeout_abs_ns = 1;
	s->flags = VCPU_SSHOTTMR_future;
	assert_int_equal(vcpu_op(VCPUOP_set_singleshot_timer, 0, s), 0); /* at once */
	assert_int_equal(vcpu_op(VCPUOP_set_singleshot_timer, 1, s), -EINVAL);
	assert_int_equal(vcpu_op(VCPUOP_get_physid, 0, guest), -EINVAL);
	assert_int_equal(vcpu_op(99, 0, guest), -ENOSYS);
}

static void a_context_comes_back_as_it_was_given(void **state)
{
	struct vcpu_guest_context *c = arg_at(0), back;

	vcpus[1].initialised = vcpus[1].online = false;
	c->flags = VGCF_in_kernel;
	c->user_regs.rip = 0x1234;
	c->user_regs.cs = SEL_KERNEL_CS;
	c->ctrlreg[3] = xen_pfn_to_cr3(PVDOM_MFN_RAM);
	c->gdt_frames[0] = PVDOM_MFN_RAM + 1;
	c->gdt_ents = 512;
	c->event_callback_eip = 0x5678;
	assert_int_equal(vcpu_op(VCPUOP_initialise, 1, c), 0);
	assert_int_equal(frames[PVDOM_MFN_RAM + 1].type, FT_SEGDESC);
	vcpu_get_context(&vcpus[1], &back);
	assert_int_equal(back.user_regs.rip, 0x1234);
	assert_int_equal(back.ctrlreg[3], c->ctrlreg[3]);
	assert_int_equal(back.gdt_ents, 512);
	assert_int_equal(back.event_callback_eip, 0x5678);
	assert_int_equal(vcpu_op(VCPUOP_up, 1, NULL), 0);
	assert_true(vcpus[1].online);
	/* The interrupt flag is always on, I/O privilege never. */
	assert_int_equal(back.user_regs.rflags & 0x3200, 0x200);
}

static void vcpu_info_moves_once_and_marks_everything_pending(void **state)
{
	struct vcpu_register_vcpu_info *r = arg_at(0);

	*r = (struct vcpu_register_vcpu_info){.mfn = PVDOM_MFN_RAM, .offset = 4090};
	assert_int_equal(vcpu_op(VCPUOP_register_vcpu_info, 0, r), -ENXIO);
	r->offset = 4;
	assert_int_equal(vcpu_op(VCPUOP_register_vcpu_info, 0, r), -ENXIO);
	r->offset = 64;
	r->mfn = PVDOM_MFN_SHARED_INFO;
	assert_int_equal(vcpu_op(VCPUOP_register_vcpu_info, 0, r), -EINVAL);
	r->mfn = PVDOM_MFN_RAM;
	assert_int_equal(vcpu_op(VCPUOP_register_vcpu_info, 1, r), -EINVAL);
	assert_int_equal(vcpu_op(VCPUOP_register_vcpu_info, 0, r), 0);
	assert_ptr_equal(current->info, (uint8_t *)frame_ptr(&dom, PVDOM_MFN_RAM) + 64);
	assert_int_equal(current->info->evtchn_pending_sel, ~0UL);
	assert_int_equal(current->info->evtchn_upcall_pending, 1);
	assert_int_equal(vcpu_op(VCPUOP_register_vcpu_info, 0, r), -EINVAL);
}

static void runstate_times_add_up_to_system_time(void **state)
{
	struct vcpu_runstate_info *area = arg_at(0x100), run;
	uint64_t sum, before, after;

	*(uint64_t *)arg_at(0) = (uint64_t)area;
	assert_int_equal(vcpu_op(VCPUOP_register_runstate_memory_area, 0, guest), 0);
	runstate_set(current, RUNSTATE_blocked);
	usleep(2000);
	runstate_set(current, RUNSTATE_running);
	assert_int_equal(area->state, RUNSTATE_running);
	assert_true(area->time[RUNSTATE_blocked] >= 2000000);
	before = system_time(&dom);
	runstate_get(current, &run);
	after = system_time(&dom);
	sum = run.time[0] + run.time[1] + run.time[2] + run.time[3];
	assert_true(sum >= before && sum <= after);
}

static void a_shutdown_is_told_to_the_broker_once_by_a_parked_vcpu(void **state)
{
	struct sched_shutdown *s = arg_at(0);

	s->reason = SHUTDOWN_reboot;
	assert_int_equal(do_sched_op(current, SCHEDOP_shutdown, (uint64_t)s, 0, 0, 0), 0);
	assert_int_equal(dom.shutdown, SHUTDOWN_reboot);
	assert_true(vcpu_must_park(current));
	domain_crash(current, "a second reason does not count");
	assert_int_equal(dom.shutdown, SHUTDOWN_reboot);
	assert_int_equal(dom.shutdown_tell, 1);
	assert_int_equal(up_calls, 0);
}

static void *unpause_later(void *arg)
{
	usleep(20000);
	dom.pause = 0;
	domain_wake(&dom);
	return NULL;
}

static void a_paused_vcpu_parks_until_unpaused(void **state)
{
	pthread_t t;

	dom.pause = 1;
	pthread_create(&t, NULL, unpause_later, NULL);
	vcpu_park(current);
	assert_int_equal(dom.pause, 0);
	assert_false(current->parked);
	pthread_join(t, NULL);
}

static void taking_the_last_vcpu_down_powers_off(void **state)
{
	assert_int_equal(vcpu_op(VCPUOP_down, 1, NULL), 0);
	assert_false(vcpus[1].online);
	assert_int_equal(dom.shutdown, -1);
	assert_int_equal(vcpu_op(VCPUOP_down, 0, NULL), 0);
	assert_int_equal(dom.shutdown, SHUTDOWN_poweroff);
}

static void sched_op_refuses_what_a_guest_may_not(void **state)
{
	struct sched_remote_shutdown *r = arg_at(0);

	*r = (struct sched_remote_shutdown){.domain_id = 0};
	assert_int_equal(do_sched_op(current, SCHEDOP_remote_shutdown, (uint64_t)r, 0, 0, 0),
			 -EPERM);
	assert_int_equal(do_sched_op(current, SCHEDOP_pin_override, (uint64_t)r, 0, 0, 0), -EPERM);
	assert_int_equal(do_sched_op(current, 99, 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(do_sched_op(current, SCHEDOP_shutdown, BAD_VA, 0, 0, 0), -EFAULT);
	assert_int_equal(do_sched_op(current, SCHEDOP_yield, 0, 0, 0, 0), 0);
}

static void multicall_answers_each_entry_and_does_not_nest(void **state)
{
	struct multicall_entry *e = arg_at(0);

	e[0] = (struct multicall_entry){.op = __HYPERVISOR_xen_version, .args = {XENVER_version}};
	e[1] = (struct multicall_entry){.op = __HYPERVISOR_multicall, .args = {(uint64_t)e, 1}};
	e[2] = (struct multicall_entry){.op = 63};
	assert_int_equal(do_multicall(current, (uint64_t)e, 3, 0, 0, 0), 0);
	assert_int_equal(e[0].result, 0x40011);
	assert_int_equal((long)e[1].result, -EINVAL);
	assert_int_equal((long)e[2].result, -ENOSYS);
	assert_int_equal(do_multicall(current, BAD_VA, 1, 0, 0, 0), -EFAULT);
	assert_false(current->in_multicall);
}

static void some_exits(uint64_t *all, uint64_t *interrupts)
{
	*all = 12;
	*interrupts = 5;
}

static void the_extension_counts_exits_where_there_are_any(void **state)
{
	const struct provider vtx = {.name = "fake", .exits = some_exits};
	struct pavane_vm_exits *e = arg_at(0);

	assert_int_equal(do_extension(current, PAVANE_OP_vm_exits, (uint64_t)e, 0, 0, 0),
			 -EOPNOTSUPP);
	dom.provider = &vtx;
	assert_int_equal(do_extension(current, PAVANE_OP_vm_exits, (uint64_t)e, 0, 0, 0), 0);
	assert_int_equal(e->all, 12);
	assert_int_equal(e->interrupts, 5);
	assert_int_equal(do_extension(current, PAVANE_OP_vm_exits, BAD_VA, 0, 0, 0), -EFAULT);
	assert_int_equal(do_extension(current, 0, (uint64_t)e, 0, 0, 0), -ENOSYS);
}

static void assists_and_physdev_follow_xen(void **state)
{
	struct physdev_set_iopl *i = arg_at(0);

	assert_int_equal(do_vm_assist(current, VMASST_CMD_enable, VMASST_TYPE_m2p_strict, 0, 0, 0),
			 0);
	assert_int_equal(dom.vm_assist, 1UL << VMASST_TYPE_m2p_strict);
	assert_int_equal(do_vm_assist(current, VMASST_CMD_enable, 6, 0, 0, 0), -EINVAL);
	assert_int_equal(do_vm_assist(current, VMASST_CMD_enable, ~0UL, 0, 0, 0), -EINVAL);
	assert_int_equal(do_vm_assist(current, 7, VMASST_TYPE_4gb_segments, 0, 0, 0), -ENOSYS);
	i->iopl = 4;
	assert_int_equal(do_physdev_op(current, PHYSDEVOP_set_iopl, (uint64_t)i, 0, 0, 0), -EINVAL);
	i->iopl = 1;
	assert_int_equal(do_physdev_op(current, PHYSDEVOP_set_iopl, (uint64_t)i, 0, 0, 0), 0);
	assert_int_equal(current->iopl, 1);
	assert_int_equal(do_physdev_op(current, PHYSDEVOP_map_pirq, (uint64_t)i, 0, 0, 0), -EPERM);
}

static void console_text_reaches_the_broker(void **state)
{
	assert_int_equal(do_console_io(current, CONSOLEIO_write, 5, (uint64_t)guest, 0, 0), 0);
	assert_int_equal(up_op, UP_CONSOLE);
	assert_int_equal(do_console_io(current, CONSOLEIO_write, 5, BAD_VA, 0, 0), -EFAULT);
	assert_int_equal(do_console_io(current, 9, 5, 0, 0, 0), -ENOSYS);
}

static void the_grant_table_grows_and_lists_its_frames(void **state)
{
	struct gnttab_setup_table *s = arg_at(0);
	struct gnttab_query_size *q = arg_at(0x80);
	struct gnttab_set_version *ver = arg_at(0xc0);
	xen_pfn_t *list = arg_at(0x100);

	*s = (struct gnttab_setup_table){.dom = DOMID_SELF, .nr_frames = 3, .frame_list.p = list};
	assert_int_equal(grant(GNTTABOP_setup_table, s, 1), 0);
	assert_int_equal(s->status, GNTST_okay);
	assert_int_equal(list[2], PVDOM_MFN_GRANT + 2);
	assert_int_equal(dom.grant_frames, 3);
	q->dom = DOMID_SELF;
	assert_int_equal(grant(GNTTABOP_query_size, q, 1), 0);
	assert_int_equal(q->nr_frames, 3);
	assert_int_equal(q->max_nr_frames, PVDOM_GRANT_FRAMES);
	s->nr_frames = 33;
	assert_int_equal(grant(GNTTABOP_setup_table, s, 1), 0);
	assert_int_equal(s->status, GNTST_general_error);
	assert_int_equal(grant(GNTTABOP_setup_table, s, 2), -EINVAL);
	ver->version = 2;
	assert_int_equal(grant(GNTTABOP_set_version, ver, 1), -ENOSYS);
	ver->version = 3;
	assert_int_equal(grant(GNTTABOP_set_version, ver, 1), -EINVAL);
	ver->version = 1;
	assert_int_equal(grant(GNTTABOP_set_version, ver, 1), 0);
}

static void a_copy_by_own_grant_obeys_the_entry(void **state)
{
	struct gnttab_copy *c = arg_at(0);
	uint8_t *from = frame_ptr(&dom, PVDOM_MFN_RAM), *to = frame_ptr(&dom, PVDOM_MFN_RAM + 1);

	from[10] = 42;
	*grant_entry(8) =
		(struct grant_entry_v1){GTF_permit_access | GTF_readonly, 7, PVDOM_MFN_RAM};
	*c = (struct gnttab_copy){.source = {.u.ref = 8, .domid = DOMID_SELF, .offset = 10},
				  .dest = {.u.gmfn = PVDOM_MFN_RAM + 1, .domid = DOMID_SELF},
				  .len = 1,
				  .flags = GNTCOPY_source_gref};
	assert_int_equal(grant(GNTTABOP_copy, c, 1), 0);
	assert_int_equal(c->status, GNTST_okay);
	assert_int_equal(to[0], 42);
	/* Nothing stays marked. */
	assert_int_equal(grant_entry(8)->flags, GTF_permit_access | GTF_readonly);
	assert_int_equal(frames[PVDOM_MFN_RAM + 1].type_count, 0);

	c->flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
	c->dest.u.ref = 8;
	assert_int_equal(grant(GNTTABOP_copy, c, 1), 0);
	assert_int_equal(c->status, GNTST_general_error);
	c->flags = GNTCOPY_source_gref;
	c->source.offset = 4096;
	assert_int_equal(grant(GNTTABOP_copy, c, 1), 0);
	assert_int_equal(c->status, GNTST_bad_copy_arg);
	c->source.offset = 0;
	c->source.u.ref = 1 << 20;
	assert_int_equal(grant(GNTTABOP_copy, c, 1), 0);
	assert_int_equal(c->status, GNTST_bad_gntref);
	/* A page table is not written behind its validation. */
	frames[PVDOM_MFN_RAM + 1].type = FT_L1;
	frames[PVDOM_MFN_RAM + 1].type_count = 1;
	c->source.u.ref = 8;
	c->dest.u.gmfn = PVDOM_MFN_RAM + 1;
	assert_int_equal(grant(GNTTABOP_copy, c, 1), 0);
	assert_int_equal(c->status, GNTST_general_error);
	assert_int_equal(grant_entry(8)->flags, GTF_permit_access | GTF_readonly);
}

static void a_mapped_grant_is_in_use_until_unmapped(void **state)
{
	struct gnttab_map_grant_ref *m = arg_at(0);
	struct gnttab_unmap_grant_ref *u = arg_at(0x80);
	uint64_t *l1 = frame_ptr(&dom, PVDOM_MFN_RAM + 2);

	frames[PVDOM_MFN_RAM + 2].type = FT_L1;
	frames[PVDOM_MFN_RAM + 2].type_count = 1;
	*grant_entry(9) = (struct grant_entry_v1){GTF_permit_access, 7, PVDOM_MFN_RAM + 3};
	*m = (struct gnttab_map_grant_ref){.host_addr = ((PVDOM_MFN_RAM + 2) << 12) + 40,
					   .flags = GNTMAP_host_map | GNTMAP_contains_pte,
					   .ref = 9,
					   .dom = DOMID_SELF};
	assert_int_equal(grant(GNTTABOP_map_grant_ref, m, 1), 0);
	assert_int_equal(m->status, GNTST_okay);
	assert_int_equal(pte_mfn(l1[5]), PVDOM_MFN_RAM + 3);
	assert_int_equal(grant_entry(9)->flags & 0x18, GTF_reading | GTF_writing);
	*u = (struct gnttab_unmap_grant_ref){.host_addr = m->host_addr, .handle = m->handle};
	assert_int_equal(grant(GNTTABOP_unmap_grant_ref, u, 1), 0);
	assert_int_equal(u->status, GNTST_okay);
	assert_int_equal(l1[5], 0);
	assert_int_equal(grant_entry(9)->flags, GTF_permit_access);
	assert_int_equal(grant(GNTTABOP_unmap_grant_ref, u, 1), 0);
	assert_int_equal(u->status, GNTST_bad_handle);
	/* To another domain: not by mapping. */
	m->dom = 0;
	up_ret = -EINVAL; /* what the broker says of a grant that is not ours */
	assert_int_equal(grant(GNTTABOP_map_grant_ref, m, 1), 0);
	assert_int_equal(m->status, GNTST_general_error);
	m->dom = DOMID_SELF;
	m->host_addr = PVDOM_MFN_RAM << 12;
	assert_int_equal(grant(GNTTABOP_map_grant_ref, m, 1), 0);
	assert_int_equal(m->status, GNTST_general_error);
	assert_int_equal(grant_entry(9)->flags, GTF_permit_access);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_version_is_xen_4_17_and_names_pavane),
		TEST(features_have_one_submap),
		TEST(the_guests_formula_gives_the_monitors_time),
		TEST(system_time_goes_with_the_hosts_clock),
		TEST(a_timer_in_the_past_fires_at_once_and_an_absurd_one_is_100_ms),
		TEST(vcpu_op_refuses_with_xens_errnos),
		TEST(a_context_comes_back_as_it_was_given),
		TEST(vcpu_info_moves_once_and_marks_everything_pending),
		TEST(runstate_times_add_up_to_system_time),
		TEST(a_shutdown_is_told_to_the_broker_once_by_a_parked_vcpu),
		TEST(a_paused_vcpu_parks_until_unpaused),
		TEST(taking_the_last_vcpu_down_powers_off),
		TEST(sched_op_refuses_what_a_guest_may_not),
		TEST(multicall_answers_each_entry_and_does_not_nest),
		TEST(the_extension_counts_exits_where_there_are_any),
		TEST(assists_and_physdev_follow_xen),
		TEST(console_text_reaches_the_broker),
		TEST(the_grant_table_grows_and_lists_its_frames),
		TEST(a_copy_by_own_grant_obeys_the_entry),
		TEST(a_mapped_grant_is_in_use_until_unmapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
