/* SPDX-License-Identifier: MIT */
/*
 * When a vCPU does not run: blocked, polling, parked (pause, shutdown, offline); and the
 * domain's end. Public sched.h.
 *
 * Every sleep is on the futex word v->wake. The sleeper announces itself (blocked or parked),
 * reads the word, looks for a reason not to sleep, and waits for that value; a waker makes the
 * reason true, bumps the word, then looks whether somebody sleeps. All of it is sequentially
 * consistent, so one of the two sees the other.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypercalls/monitor/trace.h"

#define NS	   1000000000ULL
#define POLL_PORTS 128
#define FOREVER	   (~0ULL)

static void futex_wake(volatile uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Wait while *word == seen, at most `ns` (FOREVER: without end). Spurious returns are fine. */
static void futex_wait(volatile uint32_t *word, uint32_t seen, uint64_t ns)
{
	struct timespec ts = {.tv_sec = ns / NS, .tv_nsec = ns % NS};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, ns == FOREVER ? NULL : &ts, NULL, 0);
}

void vcpu_wake(struct vcpu *v)
{
	__atomic_add_fetch(&v->wake, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&v->blocked, __ATOMIC_SEQ_CST) ||
	    __atomic_load_n(&v->parked, __ATOMIC_SEQ_CST))
		futex_wake(&v->wake);
	else if (v != current)
		v->d->provider->kick(v);
}

void domain_wake(struct domain *d)
{
	for (uint32_t i = 0; i < d->nr_vcpus; i++)
		if (d->vcpu[i])
			vcpu_wake(d->vcpu[i]);
}

/* The first vCPU to stop after a shutdown tells the broker, with no lock held. */
static void tell_shutdown(struct domain *d)
{
	uint64_t arg[4] = {d->shutdown};
	uint32_t len = 0;

	if (d->crashed && d->crashed->held)
		return;
	if (!d->shutdown_tell || !__atomic_exchange_n(&d->shutdown_tell, 0, __ATOMIC_SEQ_CST))
		return;
	while (len < sizeof(d->shutdown_why) && d->shutdown_why[len])
		len++;
	up_call(d, UP_SHUTDOWN, arg, d->shutdown_why, len, NULL, 0, NULL);
}

/* Likewise the first to stop for the debugger. */
static void tell_debugger(struct domain *d)
{
	if (d->debug_tell && __atomic_exchange_n(&d->debug_tell, 0, __ATOMIC_SEQ_CST))
		up_call(d, UP_DEBUG, (uint64_t[4]){0}, NULL, 0, NULL, 0, NULL);
}

/* Until it may run. A crash is told when the debugger has let go of what is left. */
static void wait_parked(struct vcpu *v)
{
	uint32_t seen;

	trace_flush(v);
	if (v->d->provider->parks)
		v->d->provider->parks(v);
	if (v->d->provider->vectors)
		asm volatile("fxsave64 (%0)" : : "r"(vcpu_fxsave(v)) : "memory");
	__atomic_store_n(&v->parked, true, __ATOMIC_SEQ_CST);
	for (;;) {
		seen = __atomic_load_n(&v->wake, __ATOMIC_SEQ_CST);
		tell_debugger(v->d);
		tell_shutdown(v->d);
		if (!vcpu_must_park(v))
			break;
		futex_wait(&v->wake, seen, FOREVER);
	}
	__atomic_store_n(&v->parked, false, __ATOMIC_SEQ_CST);
	if (v->fxsave_changed)
		asm volatile("fxrstor64 (%0)" : : "r"(vcpu_fxsave(v)) : "memory");
	v->fxsave_changed = false;
}

/*
 * A guest that reads its clock or runstate by steps would never find them unchanged, so a step
 * changes neither.
 */
void vcpu_park(struct vcpu *v)
{
	if (!vcpu_must_park(v)) {
		if (!v->time_tsc)
			time_publish(v);
		return;
	}
	if (!v->held)
		runstate_set(v, v->online ? RUNSTATE_runnable : RUNSTATE_offline);
	do /* who stopped it just now saw it parked, and did not kick it */
		wait_parked(v);
	while (vcpu_must_park(v));
	if (v->stepping)
		return;
	runstate_set(v, RUNSTATE_running);
	time_publish(v);
}

void debug_hold(struct vcpu *v, bool hold)
{
	__atomic_store_n(&v->held, hold, __ATOMIC_SEQ_CST);
	vcpu_wake(v);
}

void debug_stop(struct vcpu *v, uint32_t event)
{
	struct domain *d = v->d;

	if (!d->debugging)
		return;
	__atomic_store_n(&v->debug_event, event, __ATOMIC_SEQ_CST);
	__atomic_store_n(&d->debug_tell, 1, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < d->nr_vcpus; i++)
		debug_hold(d->vcpu[i], true);
	/* It has gone meanwhile (debug_attach), perhaps before these were held. */
	for (uint32_t i = 0; i < d->nr_vcpus && !d->debugging; i++)
		debug_hold(d->vcpu[i], false);
}

static void shutdown_mark(struct domain *d, int reason, const char *why, bool tell)
{
	int running = -1;
	uint32_t i = 0;

	if (d->shutdown_code)
		reason = d->shutdown_code - 1;
	if (!__atomic_compare_exchange_n(&d->shutdown, &running, reason, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return;
	for (; why && why[i] && i < sizeof(d->shutdown_why) - 1; i++)
		d->shutdown_why[i] = why[i];
	d->shutdown_why[i] = 0;
	if (tell && reason == SHUTDOWN_crash) {
		d->crashed = current ? current : d->vcpu[0];
		debug_stop(d->crashed, DEBUG_CRASHED);
	}
	__atomic_store_n(&d->shutdown_tell, tell, __ATOMIC_SEQ_CST);
	domain_wake(d);
}

void domain_shutdown(struct domain *d, int reason, const char *why)
{
	shutdown_mark(d, reason, why, current != NULL);
}

void domain_crash(struct vcpu *v, const char *why)
{
	shutdown_mark(v->d, SHUTDOWN_crash, why, true);
}

static bool port_pending(const struct domain *d, uint32_t port)
{
	return ((volatile uint64_t *)d->shared->evtchn_pending)[port / 64] >> (port % 64) & 1;
}

/* ns until the next of v's deadlines and `until` (0: none); FOREVER if there is none. */
static uint64_t sleep_for(const struct vcpu *v, uint64_t until)
{
	uint64_t now = system_time(v->d), next = FOREVER;

	if (v->timer_deadline && v->timer_deadline < next)
		next = v->timer_deadline;
	if (v->periodic_ns && v->periodic_next < next)
		next = v->periodic_next;
	if (until && until < next)
		next = until;
	if (next == FOREVER)
		return FOREVER;
	return next > now ? next - now : 0;
}

/* While it is stopped the toolstack may read and change what the provider has in the CPU. */
static void sleeper_park(struct vcpu *v)
{
	if (v->d->provider->save_segments)
		v->d->provider->save_segments(v);
	vcpu_park(v);
	if (v->d->provider->save_segments)
		v->d->provider->load_segments(v);
}

/*
 * Sleep till an event may be delivered, one of the ports is pending, or system time `until`.
 * No lock held.
 */
static void vcpu_sleep(struct vcpu *v, const uint32_t *port, uint32_t nr, uint64_t until)
{
	struct domain *d = v->d;

	runstate_set(v, RUNSTATE_blocked);
	__atomic_store_n(&v->blocked, true, __ATOMIC_SEQ_CST);
	for (;;) {
		uint32_t seen = __atomic_load_n(&v->wake, __ATOMIC_SEQ_CST);
		uint64_t ns;

		if (vcpu_must_park(v)) {
			sleeper_park(v);
			if (v->replaced)
				break;
			runstate_set(v, RUNSTATE_blocked);
			continue;
		}
		timer_check(v);
		if (event_deliverable(v) || nmi_deliverable(v))
			break;
		for (uint32_t i = 0; i < nr; i++)
			if (port_pending(d, port[i]))
				goto out;
		ns = sleep_for(v, until);
		if (until && until <= system_time(d))
			break;
		/* Raised by timer_check above, or about to be. */
		if (__atomic_load_n(&v->wake, __ATOMIC_SEQ_CST) != seen || !ns)
			continue;
		futex_wait(&v->wake, seen, ns);
	}
out:
	__atomic_store_n(&v->blocked, false, __ATOMIC_SEQ_CST);
	runstate_set(v, RUNSTATE_running);
}

/* The result of a call that slept; or what a debugger has put in its place. */
static long slept(struct vcpu *v)
{
	if (!v->replaced)
		return 0;
	v->replaced = false;
	return v->regs.rax;
}

static long sched_block(struct vcpu *v)
{
	__atomic_store_n(&v->info->evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
	if (!event_deliverable(v))
		vcpu_sleep(v, NULL, 0, 0);
	return slept(v);
}

static long sched_poll(struct vcpu *v, uint64_t arg)
{
	uint32_t port[POLL_PORTS];
	struct sched_poll poll;

	if (copy_from_guest(v, &poll, arg, sizeof(poll)))
		return -EFAULT;
	if (poll.nr_ports > POLL_PORTS)
		return -EINVAL;
	if (copy_from_guest(v, port, (uint64_t)poll.ports.p, poll.nr_ports * sizeof(port[0])))
		return -EFAULT;
	for (uint32_t i = 0; i < poll.nr_ports; i++)
		if (!port[i] || port[i] >= v->d->max_ports)
			return -EINVAL;
	__atomic_store_n(&v->poll_port, poll.nr_ports == 1 ? port[0] : 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&v->polling, true, __ATOMIC_SEQ_CST);
	vcpu_sleep(v, port, poll.nr_ports, poll.timeout);
	__atomic_store_n(&v->polling, false, __ATOMIC_SEQ_CST);
	v->poll_port = ~0U;
	return slept(v);
}

/* SCHEDOP_* of public sched.h, for an unprivileged domain. Not locked: some of them sleep. */
long do_sched_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct sched_remote_shutdown remote;
	struct sched_shutdown how;

	switch ((int)cmd) {
	case SCHEDOP_yield: sched_yield(); return 0;
	case SCHEDOP_block: return sched_block(v);
	case SCHEDOP_poll: return sched_poll(v, arg);
	case SCHEDOP_shutdown:
		if (copy_from_guest(v, &how, arg, sizeof(how)))
			return -EFAULT;
		domain_shutdown(v->d, (uint8_t)how.reason, NULL);
		return 0;
	case SCHEDOP_shutdown_code:
		if (copy_from_guest(v, &how, arg, sizeof(how)))
			return -EFAULT;
		v->d->shutdown_code = (uint8_t)how.reason + 1;
		return 0;
	case SCHEDOP_remote_shutdown:
		if (copy_from_guest(v, &remote, arg, sizeof(remote)))
			return -EFAULT;
		return remote.domain_id && remote.domain_id != v->d->id ? -ESRCH : -EPERM;
	case SCHEDOP_pin_override: return -EPERM;
	default: /* SCHEDOP_watchdog too */ return -ENOSYS;
	}
}

/* The call before 0x00030101: the reason is the argument itself. */
long do_sched_op_compat(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
			uint64_t a5)
{
	switch ((int)cmd) {
	case SCHEDOP_yield:
	case SCHEDOP_block: return do_sched_op(v, cmd, 0, 0, 0, 0);
	case SCHEDOP_shutdown: domain_shutdown(v->d, (uint8_t)arg, NULL); return 0;
	default: return -ENOSYS;
	}
}
