/* SPDX-License-Identifier: MIT */
#include "common.h"

TEST("timer", "one-shot, past, cancelled and periodic: a kernel's clock ticks hang on each");

static unsigned int ticks;
static uint64_t when;

static void tick(unsigned int port, void *data)
{
	ticks++;
	when = time_ns();
}

/* A busy host may keep the processor from us for long: later than this is never. */
#define PATIENCE (60 * SEC)

static void spin(uint64_t ns)
{
	for (uint64_t start = time_ns(); time_ns() - start < ns;)
		__builtin_ia32_pause();
}

static bool wait_tick(void)
{
	for (uint64_t start = time_ns(); !ticks && time_ns() - start < PATIENCE;)
		__builtin_ia32_pause();
	return ticks;
}

static void one_shot(void)
{
	uint64_t at = time_ns() + 5 * MSEC, later;

	ticks = 0;
	check_eq("set", HYPERVISOR_set_timer_op(at), 0);
	check("fires in a running guest", wait_tick());
	check("not early", when >= at);
	check("nor late", when < at + PATIENCE);
	spin(10 * MSEC);
	check_eq("once", ticks, 1);

	ticks = 0;
	check_eq("set in the past", HYPERVISOR_set_timer_op(1), 0);
	check("fires at once", wait_tick());

	/* Again if a busy host let the first one come due before the second call. */
	do {
		at = time_ns() + 5 * MSEC;
		HYPERVISOR_set_timer_op(at);
		check_eq("cancel", HYPERVISOR_set_timer_op(0), 0);
		ticks = 0;
	} while (time_ns() >= at);
	spin(15 * MSEC);
	check_eq("cancelled", ticks, 0);

	do {
		at = time_ns() + 5 * MSEC;
		later = at + 10 * MSEC;
		HYPERVISOR_set_timer_op(at);
		HYPERVISOR_set_timer_op(later);
		ticks = 0;
	} while (time_ns() >= at);
	check("the later setting fires", wait_tick());
	check("it replaced the earlier", when >= later);
	ticks = 0;
	/* Xen takes a far future for a wrapped clock and fires in 100 ms. */
	at = time_ns();
	HYPERVISOR_set_timer_op(1ul << 63);
	check("the far future", wait_tick());
	check("is about 100 ms", when - at >= 90 * MSEC && when - at < PATIENCE);
}

static void single_shot(void)
{
	struct vcpu_set_singleshot_timer single = {.timeout_abs_ns = 1,
						   .flags = VCPU_SSHOTTMR_future};

	ticks = 0;
	/* Since 4.17.1 Xen ignores the flag that would make this -ETIME: old Linux relied on that.
	 */
	check_eq("single shot: over already",
		 HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, 0, &single), 0);
	check("single shot: fires at once", wait_tick());
	ticks = 0;
	single.timeout_abs_ns = time_ns() + 5 * MSEC;
	check_eq("single shot", HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, 0, &single), 0);
	check("single shot: fires", wait_tick());
	check("single shot: not early", when >= single.timeout_abs_ns);
	ticks = 0;
	single.timeout_abs_ns = time_ns() + 5 * MSEC;
	HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, 0, &single);
	check_eq("single shot: stop", HYPERVISOR_vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0);
	spin(10 * MSEC);
	check_eq("single shot: stopped", ticks, 0);
	check_eq("single shot: another vcpu's",
		 HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, 1, &single), -XEN_ENOENT);
}

static void periodic(void)
{
	struct vcpu_set_periodic_timer arg = {.period_ns = 999999};
	uint64_t start, passed;

	check_eq("periodic: below 1 ms", HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &arg),
		 -XEN_EINVAL);
	arg.period_ns = ~0ul;
	check_eq("periodic: beyond reason", HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &arg),
		 -XEN_EINVAL);
	arg.period_ns = 2 * MSEC;
	ticks = 0;
	start = time_ns();
	check_eq("periodic", HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &arg), 0);
	do { /* we may have but a part of a processor */
		spin(40 * MSEC);
		passed = time_ns() - start;
	} while (ticks < 5 && passed < PATIENCE);
	check("periodic: ticks", ticks >= 5 && ticks <= passed / arg.period_ns + 2);
	check_eq("periodic: stop", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0);
	spin(5 * MSEC);
	ticks = 0;
	spin(10 * MSEC);
	check_eq("periodic: stopped", ticks, 0);
}

void test_main(void)
{
	long port = event_bind_virq(VIRQ_TIMER);
	uint64_t last = time_ns(), now;

	for (int i = 0; i < 1000; i++, last = now) {
		now = time_ns();
		if (now < last)
			check("the clock goes back", false);
	}
	check("virq", port > 0);
	HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL);
	event_bind((unsigned int)port, tick, NULL);
	upcalls_enable();
	one_shot();
	single_shot();
	periodic();
}
