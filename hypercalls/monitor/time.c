/* SPDX-License-Identifier: MIT */
/*
 * The domain's clock and its timers (public xen.h: struct vcpu_time_info, VIRQ_TIMER).
 *
 * System time is computed from the TSC by the very formula the guest uses, so both agree. The
 * line (a TSC value, its time, mul and shift) is bent now and then to follow
 * CLOCK_MONOTONIC: a new anchor lies on the old line, so the clock never steps.
 */
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "hypercalls/monitor/monitor.h"

#define NS	    1000000000ULL
#define REANCHOR_NS (NS / 4) /* bend the line no more often than this */
#define SLEW_PPM    500	     /* and by no more than this */
#define FAR_AHEAD   (1ULL << 50)

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

/* The formula of struct vcpu_time_info. */
static inline uint64_t scale(uint64_t delta, uint32_t mul, int8_t shift)
{
	if (shift < 0)
		delta >>= -shift;
	else
		delta <<= shift;
	return (unsigned __int128)delta * mul >> 32;
}

/* mul and shift such that `ticks` of the TSC last `ns`; mul has its top bit set. */
static void set_rate(uint64_t ticks, uint64_t ns, uint32_t *mul, int8_t *shift)
{
	unsigned __int128 m = ((unsigned __int128)ns << 32) / (ticks ? ticks : 1);
	int s = 0;

	for (; m > UINT32_MAX; m >>= 1)
		s++;
	for (; m && m < 1U << 31; m <<= 1)
		s--;
	*mul = m;
	*shift = s;
}

void time_init(struct domain *d, uint32_t khz)
{
	struct tsc_sample now;

	if (!khz)
		khz = tsc_khz(tsc_sample());
	set_rate(khz, 1000000, &d->tsc_mul, &d->tsc_shift);
	now = tsc_sample();
	d->boot_tsc = now.tsc;
	d->boot_ns = now.ns;
	d->line[d->time_seq & 1] = (struct time_line){now.tsc, 0, d->tsc_mul, d->tsc_shift};
}

/*
 * The domain's line. The one not in use is written, then time_seq moves on: so a signal handler
 * that interrupts the writer has a line to read, and nobody waits.
 */
static struct time_line line_read(const struct domain *d)
{
	struct time_line l;
	uint32_t seq;

	do {
		seq = __atomic_load_n(&d->time_seq, __ATOMIC_ACQUIRE);
		l = d->line[seq & 1];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (__atomic_load_n(&d->time_seq, __ATOMIC_RELAXED) != seq);
	return l;
}

static uint64_t time_at(const struct domain *d, uint64_t now)
{
	struct time_line l = line_read(d);

	return l.ns + (now > l.tsc ? scale(now - l.tsc, l.mul, l.shift) : 0);
}

uint64_t system_time(const struct domain *d)
{
	return time_at(d, rdtsc());
}

/*
 * Bend the line towards CLOCK_MONOTONIC. The best known rate is that since boot; the remaining
 * error is to be gone in about a second.
 */
static void reanchor(struct domain *d)
{
	static volatile uint8_t busy;
	struct tsc_sample now;
	uint64_t ns, target;
	int64_t error, limit;
	struct time_line *l;
	uint32_t mul;
	int8_t shift;

	if (system_time(d) - line_read(d).ns < REANCHOR_NS)
		return;
	if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
		return;
	now = tsc_sample();
	ns = time_at(d, now.tsc);
	target = now.ns - d->boot_ns;
	set_rate(now.tsc - d->boot_tsc, target, &mul, &shift);
	error = (int64_t)(target - ns);
	limit = NS / 1000000 * SLEW_PPM;
	if (error > limit)
		error = limit;
	if (error < -limit)
		error = -limit;
	/* Stay clear of the top: one bit less of precision leaves room for the slew. */
	mul >>= 1;
	shift++;
	mul += (int64_t)mul * error / (int64_t)NS;

	l = &d->line[(d->time_seq + 1) & 1];
	*l = (struct time_line){now.tsc, ns, mul, shift};
	__atomic_store_n(&d->time_seq, d->time_seq + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

/* Wall clock at system time 0; written again only when the host's clock was set. */
static void publish_wallclock(struct domain *d)
{
	static volatile uint8_t busy;
	struct shared_info *s = d->shared;
	uint64_t base = clock_ns(CLOCK_REALTIME) - system_time(d);
	uint64_t old = ((uint64_t)s->wc_sec_hi << 32 | s->wc_sec) * NS + s->wc_nsec;
	int64_t diff = (int64_t)(base - old);

	if ((s->wc_version && diff < 10000000 && diff > -10000000) ||
	    __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
		return;
	__atomic_store_n(&s->wc_version, s->wc_version | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	s->wc_sec = base / NS;
	s->wc_sec_hi = base / NS >> 32;
	s->wc_nsec = base % NS;
	__atomic_store_n(&s->wc_version, s->wc_version + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

/* v's own thread, or before it runs. */
void time_publish(struct vcpu *v)
{
	struct domain *d = v->d;
	struct vcpu_info *info = v->info;
	struct vcpu_time_info t;
	struct time_line l;
	uint64_t now, ns;

	if (!info || v->time_busy)
		return;
	v->time_busy = true;
	reanchor(d);
	l = line_read(d);
	now = rdtsc();
	ns = l.ns + (now > l.tsc ? scale(now - l.tsc, l.mul, l.shift) : 0);
	if (v->time_tsc) {
		/* What this vCPU may have seen already. */
		uint64_t seen = v->time_ns + scale(now - v->time_tsc, v->time_mul, v->time_shift);

		if (seen > ns)
			ns = seen;
	}
	v->time_tsc = now;
	v->time_ns = ns;
	v->time_mul = l.mul;
	v->time_shift = l.shift;

	t = (struct vcpu_time_info){
		.version = (info->time.version | 1) + 1,
		.tsc_timestamp = now,
		.system_time = ns,
		.tsc_to_system_mul = l.mul,
		.tsc_shift = l.shift,
	};
	__atomic_store_n(&info->time.version, t.version - 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	info->time.tsc_timestamp = now;
	info->time.system_time = ns;
	info->time.tsc_to_system_mul = l.mul;
	info->time.tsc_shift = l.shift;
	info->time.flags = 0;
	__atomic_store_n(&info->time.version, t.version, __ATOMIC_RELEASE);

	if (v->time_va) {
		uint32_t odd = t.version - 1;

		if (!copy_to_kernel(v, v->time_va, &odd, sizeof(odd)) &&
		    !copy_to_kernel(v, v->time_va + sizeof(odd), (uint8_t *)&t + sizeof(odd),
				    sizeof(t) - sizeof(odd)))
			copy_to_kernel(v, v->time_va, &t.version, sizeof(t.version));
	}
	publish_wallclock(d);
	v->time_busy = false;
}

/* The earlier of v's two deadlines, or 0. */
static uint64_t next_deadline(const struct vcpu *v)
{
	uint64_t a = v->timer_deadline, b = v->periodic_ns ? v->periodic_next : 0;

	return a && (!b || a < b) ? a : b;
}

/*
 * Only a deadline before all others costs the host a call: a timer that goes off too early is set
 * again then (timer_check), which for most guests, who move their deadline back and forth, is
 * never.
 */
void timer_arm(struct vcpu *v)
{
	const uint64_t next = next_deadline(v);
	struct itimerspec its = {0};
	uint64_t now, in;

	if (!next || (v->timer_armed && v->timer_armed <= next))
		return;
	v->timer_armed = next;
	now = system_time(v->d);
	in = next > now ? next - now : 1;
	its.it_value.tv_sec = in / NS;
	its.it_value.tv_nsec = in % NS;
	timer_settime(v->host_timer, 0, &its, NULL);
}

void timer_check(struct vcpu *v)
{
	uint64_t now = system_time(v->d), next = next_deadline(v);

	if (!v->time_tsc || now - v->time_ns > NS / 2)
		time_publish(v);
	if (!next)
		return;
	if (next > now) {
		if (v == current) /* the host's timer may have been too early */
			timer_arm(v);
		return;
	}
	if (v->timer_deadline && v->timer_deadline <= now)
		v->timer_deadline = 0;
	if (v->periodic_ns && v->periodic_next <= now) {
		/* Missed periods are not made up for. */
		v->periodic_next += v->periodic_ns;
		if (v->periodic_next <= now)
			v->periodic_next = now + v->periodic_ns;
	}
	if (next_deadline(v))
		timer_arm(v);
	virq_raise(v, VIRQ_TIMER);
}

/*
 * set_timer_op: one VIRQ_TIMER at `deadline` of system time; 0 cancels; the past is now. A
 * negative or absurdly late deadline stands for 100 ms, as old guests expect.
 */
long do_set_timer_op(struct vcpu *v, uint64_t deadline, uint64_t a2, uint64_t a3, uint64_t a4,
		     uint64_t a5)
{
	uint64_t now;

	if (!deadline) {
		v->timer_deadline = 0;
		timer_arm(v);
		return 0;
	}
	now = system_time(v->d);
	if ((int64_t)deadline < 0 || (deadline > now && deadline - now >= FAR_AHEAD))
		deadline = now + 100000000;
	v->timer_deadline = deadline;
	if (deadline <= now)
		timer_check(v);
	else
		timer_arm(v);
	return 0;
}
