/* SPDX-License-Identifier: MIT */
/* Self-test: event channels, the upcall, sched_op block and poll, the clock. */
#include <pv/event.h>
#include <pv/thread.h>
#include <pv/time.h>
#include "kernel.h"

static struct {
	unsigned int count;
	unsigned int order[8];
	bool masked_inside;
} seen;

static void note(unsigned int port, void *data)
{
	if (seen.count < ARRAY_SIZE(seen.order))
		seen.order[seen.count] = port;
	seen.count++;
	seen.masked_inside = this_vcpu->evtchn_upcall_mask;
}

static void reset(void)
{
	memset(&seen, 0, sizeof(seen));
}

static long status_of(unsigned int port)
{
	struct evtchn_status st = {.dom = DOMID_SELF, .port = port};
	long rc = HYPERVISOR_event_channel_op(EVTCHNOP_status, &st);

	return rc ? rc : (long)st.status;
}

static void delivery(unsigned int port)
{
	struct evtchn_unmask unmask = {.port = port};

	event_bind(port, note, NULL);
	reset();
	check_eq("event: send to self", event_send(port), 0);
	check_eq("event: arrives before the hypercall returns", seen.count, 1);
	check("event: the handler runs with upcalls masked", seen.masked_inside);
	check("event: upcalls are enabled again behind it", !this_vcpu->evtchn_upcall_mask);
	check("event: is not pending any more", !event_is_pending(port));

	reset();
	upcalls_disable();
	event_send(port);
	event_send(port);
	check_eq("event: masked upcalls keep it waiting", seen.count, 0);
	check("event: and say that something waits", this_vcpu->evtchn_upcall_pending);
	upcalls_enable();
	check_eq("event: two sends of one port are one event", seen.count, 1);

	reset();
	event_mask(port);
	event_send(port);
	check_eq("event: a masked port does not interrupt", seen.count, 0);
	check("event: a masked port becomes pending", event_is_pending(port));
	event_unmask(port);
	check_eq("event: unmasking in memory delivers it", seen.count, 1);

	reset();
	event_mask(port);
	event_send(port);
	check_eq("event: EVTCHNOP_unmask", HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &unmask),
		 0);
	check_eq("event: EVTCHNOP_unmask delivers it", seen.count, 1);
}

static unsigned int nested_port;

static bool send_inside(struct trap_regs *regs)
{
	event_send(nested_port);
	regs->rcx = seen.count;
	return true;
}

static void resend(unsigned int port, void *data)
{
	note(port, data);
	if (seen.count < 3)
		event_send(port);
}

/* Events that come up inside a trap handler, which is masked, and inside an upcall. */
static void nested(unsigned int port)
{
	unsigned long inside = 99;

	event_bind(port, note, NULL);
	nested_port = port;
	reset();
	trap_set_handler(3, send_inside);
	__asm__ volatile("int3" : "+c"(inside) : : "memory");
	trap_set_handler(3, NULL);
	check_eq("event: waits while a trap is handled", (long)inside, 0);
	check_eq("event: comes with the iret at its end", seen.count, 1);
	event_bind(port, resend, NULL);
	reset();
	event_send(port);
	check_eq("event: sent again by its own handler", seen.count, 3);
}

static void ordering(unsigned int first, unsigned int second)
{
	event_bind(first, note, NULL);
	event_bind(second, note, NULL);
	reset();
	upcalls_disable();
	event_send(second);
	event_send(first);
	upcalls_enable();
	check_eq("event: two ports, two events", seen.count, 2);
	check("event: the lower port comes first", seen.order[0] < seen.order[1]);
}

static void interdomain(void)
{
	long unbound = event_alloc_unbound(DOMID_SELF);
	struct evtchn_bind_interdomain bind = {
		.remote_dom = DOMID_SELF,
		.remote_port = (evtchn_port_t)unbound,
	};

	check("event: alloc_unbound", unbound > 0);
	check_eq("event: status unbound", status_of((unsigned int)unbound), EVTCHNSTAT_unbound);
	check_eq("event: send on an unbound port", event_send((unsigned int)unbound), 0);
	check_eq("event: bind_interdomain to itself",
		 HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind), 0);
	check_eq("event: status interdomain", status_of(bind.local_port), EVTCHNSTAT_interdomain);
	check("event: a fresh binding is pending, should a send have been lost",
	      event_is_pending(bind.local_port));
	event_clear(bind.local_port);
	event_bind((unsigned int)unbound, note, NULL);
	reset();
	check_eq("event: send to the other end", event_send(bind.local_port), 0);
	check("event: which gets it", seen.count == 1 && seen.order[0] == (unsigned int)unbound);
	check_eq("event: bind to a port not unbound",
		 HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind), -XEN_EINVAL);
	check_eq("event: close one end", event_close(bind.local_port), 0);
	check_eq("event: makes the other end unbound", status_of((unsigned int)unbound),
		 EVTCHNSTAT_unbound);
	check_eq("event: close the other", event_close((unsigned int)unbound), 0);
}

void selftest_events(void)
{
	long a = event_bind_ipi(), b = event_bind_ipi();
	struct evtchn_bind_vcpu vcpu = {.port = (evtchn_port_t)a, .vcpu = 0};

	check("event: bind_ipi", a > 0 && b > 0 && a != b);
	check_eq("event: status ipi", status_of((unsigned int)a), EVTCHNSTAT_ipi);
	check_eq("event: an ipi cannot move",
		 HYPERVISOR_event_channel_op(EVTCHNOP_bind_vcpu, &vcpu), -XEN_EINVAL);
	delivery((unsigned int)a);
	ordering((unsigned int)a, (unsigned int)b);
	nested((unsigned int)b);
	check_eq("event: send on port 0", event_send(0), -XEN_EINVAL);
	check_eq("event: send on a free port", event_send(4000), -XEN_EINVAL);
	check_eq("event: send beyond the last port", event_send(1u << 20), -XEN_EINVAL);
	check_eq("event: close", event_close((unsigned int)a), 0);
	check_eq("event: status closed", status_of((unsigned int)a), EVTCHNSTAT_closed);
	check_eq("event: send on a closed port", event_send((unsigned int)a), -XEN_EINVAL);
	check_eq("event: close twice", event_close((unsigned int)a), -XEN_EINVAL);
	check_eq("event: virq bound twice", event_bind_virq(VIRQ_TIMER), -XEN_EEXIST);
	check_eq("event: no such virq", event_bind_virq(99), -XEN_EINVAL);
	event_close((unsigned int)b);
	interdomain();
}

#define LATE (60 * SEC) /* a busy host may keep the processor from us for long */

static void poll(void)
{
	long port = event_bind_ipi();
	evtchn_port_t ports[1] = {(evtchn_port_t)port};
	struct sched_poll poll = {.nr_ports = 1};
	uint64_t start;

	set_xen_guest_handle(poll.ports, ports);
	event_mask((unsigned int)port);
	event_send((unsigned int)port);
	check_eq("poll: a pending port", HYPERVISOR_sched_op(SCHEDOP_poll, &poll), 0);
	event_clear((unsigned int)port);
	start = time_ns();
	poll.timeout = start + 20 * MSEC;
	upcalls_disable();
	check_eq("poll: until the deadline", HYPERVISOR_sched_op(SCHEDOP_poll, &poll), 0);
	check("poll: waited", time_ns() - start >= 19 * MSEC && time_ns() - start < LATE);
	upcalls_enable();
	poll.nr_ports = 0;
	start = time_ns();
	poll.timeout = start + 10 * MSEC;
	upcalls_disable();
	check_eq("poll: no port, only the deadline", HYPERVISOR_sched_op(SCHEDOP_poll, &poll), 0);
	check("poll: waited for that, too",
	      time_ns() - start >= 9 * MSEC && time_ns() - start < LATE);
	upcalls_enable();
	poll.nr_ports = 1;
	ports[0] = 1u << 20;
	check_eq("poll: no such port", HYPERVISOR_sched_op(SCHEDOP_poll, &poll), -XEN_EINVAL);
	event_close((unsigned int)port);
}

/*
 * unsigned spin_until(volatile unsigned long *count, unsigned long before): waits for an upcall
 * with known values in all registers, DF set among the flags. Returns how many still hold.
 */
unsigned int spin_until(volatile unsigned long *count, unsigned long before);
/* clang-format off */
#define EACH(insn)                                                                                 \
	insn(rax) insn(rdx) insn(r8) insn(r9) insn(r10) insn(r11) insn(r12) insn(r13) insn(r14)    \
	insn(r15) insn(rbx) insn(rbp)
#define PUSH(reg) "	pushq %" #reg "\n"
#define POP(reg)  "	popq %" #reg "\n"
#define LOAD(reg) "	leaq spin_until(%rcx), %" #reg "; incq %rcx\n"
#define SAME(reg) "	cmpq %rcx, %" #reg "; jne 3f; incq %rcx\n"

__asm__(".globl spin_until\n"
	"spin_until:\n"
	PUSH(rbx) PUSH(rbp) PUSH(r12) PUSH(r13) PUSH(r14) PUSH(r15)
	"	xorl %ecx, %ecx\n"
	EACH(LOAD)
	"	std\n"
	"1:	cmpq %rsi, (%rdi)\n"
	"	je 1b\n"
	"	leaq spin_until(%rip), %rcx\n"
	EACH(SAME)
	/* With DF still set, a string instruction moves backwards. */
	"	movq %rsp, %rsi\n"
	"	lodsb\n"
	"	cmpq %rsp, %rsi\n"
	"	ja 3f\n"
	"	incq %rcx\n"
	"3:	cld\n"
	"	leaq spin_until(%rip), %rax\n"
	"	subq %rax, %rcx\n"
	"	movq %rcx, %rax\n"
	POP(r15) POP(r14) POP(r13) POP(r12) POP(rbp) POP(rbx)
	"	ret\n");
/* clang-format on */

void selftest_time(void)
{
	uint64_t start = time_ns(), last = start, now;
	unsigned long before = event_counts[timer_port()];
	bool monotonic = true;

	for (int i = 0; i < 1000; i++, last = now) {
		now = time_ns();
		monotonic &= now >= last;
	}
	check("clock: never goes back", monotonic);
	check("clock: goes on", last > start);
	check("clock: the wall clock is later than 2001", time_wallclock() > 1000000000 * SEC / 2);

	/* The timer is ours until threads_resume(): any upcall's schedule() would set it anew. */
	event_upcall_exit = NULL;
	before = event_counts[timer_port()];
	HYPERVISOR_set_timer_op(time_ns() + 3 * MSEC);
	check_eq("timer: an upcall leaves all registers alone",
		 spin_until(&event_counts[timer_port()], before), 13);
	before = event_counts[timer_port()];

	upcalls_disable();
	event_clear(timer_port());
	check_eq("timer: set in the past", HYPERVISOR_set_timer_op(1), 0);
	for (start = time_ns(); !event_is_pending(timer_port()) && time_ns() - start < LATE;)
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	check("timer: fires at once", event_is_pending(timer_port()));
	upcalls_enable();
	check("timer: the upcall came", event_counts[timer_port()] > before);

	upcalls_disable();
	event_clear(timer_port());
	start = time_ns();
	HYPERVISOR_set_timer_op(start + 50 * MSEC);
	HYPERVISOR_set_timer_op(0);
	while (time_ns() - start < 70 * MSEC)
		;
	HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	check("timer: cancelled", !event_is_pending(timer_port()));
	before = event_counts[timer_port()];
	upcalls_disable(); /* else it may come before the block, as a debugger stops us here */
	HYPERVISOR_set_timer_op(time_ns() + 20 * MSEC);
	start = time_ns();
	event_mask(timer_port());
	event_unmask(timer_port());
	check_eq("sched_op: block", HYPERVISOR_sched_op(SCHEDOP_block, NULL), 0);
	check("sched_op: block unmasks", !this_vcpu->evtchn_upcall_mask);
	/* Other events (the console's, in a guest domain) may end a block before the timer does. */
	upcalls_disable(); /* else it may come between the look and the block, which unmasks */
	while (event_counts[timer_port()] == before && time_ns() - start < LATE) {
		HYPERVISOR_sched_op(SCHEDOP_block, NULL);
		upcalls_disable();
	}
	upcalls_enable();
	check("sched_op: block ends with the timer",
	      time_ns() - start >= 10 * MSEC && time_ns() - start < LATE);
	threads_resume();
	poll();
	start = time_ns();
	thread_sleep(30 * MSEC);
	check("timer: a thread sleeps", time_ns() - start >= 30 * MSEC);
}
