/* SPDX-License-Identifier: MIT */
/*
 * Threads. One lock guards the whole scheduler. It is taken before a switch and let go behind it
 * by whoever was switched to, so that no vCPU sees a thread half gone. A thread is preempted in
 * the tail of an event upcall, on its own stack: it simply finds itself there again when it is
 * next chosen, perhaps on another vCPU.
 */
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/mm.h>
#include <pv/process.h>
#include <pv/time.h>
#include "kernel.h"

#define THREADS 64
#define SLICE	(10 * MSEC)
#define STACKS	0x1800000000ul /* 96 GiB */

void thread_switch(struct thread *from, struct thread *to);
void thread_main(void);
extern char thread_entry[], boot_stack[];

static struct lock sched;
static struct thread threads[THREADS];
static unsigned int slots; /* below this one all were in use at some time */
unsigned int nr_vcpus = 1;
unsigned long thread_preemptions;

struct thread *thread_current(void)
{
	return this_cpu->thread;
}

struct thread *thread_get(unsigned int index)
{
	return index < slots ? &threads[index] : NULL;
}

unsigned int timer_port(void)
{
	return this_cpu->timer;
}

static bool is_idle(const struct thread *t)
{
	return t->fn == idle_loop;
}

/* Wakes the sleepers whose time has come; returns the next deadline. */
static uint64_t expire(uint64_t now)
{
	uint64_t next = ~0ull;

	for (struct thread *t = threads; t < threads + slots; t++) {
		if (t->state != THREAD_ASLEEP)
			continue;
		if (t->deadline <= now)
			t->state = THREAD_READY;
		else if (t->deadline < next)
			next = t->deadline;
	}
	return next;
}

static bool may_run_here(const struct thread *t)
{
	return t->state == THREAD_READY && !is_idle(t) &&
	       (t->pinned < 0 || (unsigned int)t->pinned == this_cpu->id);
}

/* Round robin from the current one on; the idle thread only when there is no other. */
static struct thread *pick(bool *contended)
{
	unsigned int ready = 0, here = (unsigned int)(this_cpu->thread - threads);
	struct thread *next = this_cpu->idle;

	for (unsigned int i = slots; i > 0; i--) {
		struct thread *t = &threads[(here + i) % slots];

		if (may_run_here(t)) {
			next = t;
			ready++;
		}
	}
	*contended = ready > 1;
	return next;
}

/* With the lock held, before and after. */
static void schedule(bool preempted)
{
	struct thread *from = this_cpu->thread, *to;
	uint64_t now = time_ns(), alarm = expire(now);
	bool contended;

	if (from->state == THREAD_RUNNING)
		from->state = THREAD_READY;
	to = pick(&contended);
	to->state = THREAD_RUNNING;
	from->run_ns += now - from->started_ns;
	to->started_ns = now;
	this_cpu->slice_end = now + SLICE;
	if (contended && now + SLICE < alarm)
		alarm = now + SLICE;
	this_cpu->alarm = alarm;
	HYPERVISOR_set_timer_op(alarm == ~0ull ? 0 : alarm);
	if (to == from)
		return;
	to->switches++;
	thread_preemptions += preempted && !is_idle(from);
	this_cpu->thread = to;
	if (from->process || to->process)
		process_switch(from, to);
	thread_switch(from, to);
}

/* The tail of every upcall: somebody may have been woken, or the slice be over. */
static void upcall_exit(struct trap_regs *regs)
{
	if (is_idle(this_cpu->thread) || time_ns() >= this_cpu->slice_end) {
		lock_take(&sched);
		schedule(true);
		lock_drop(&sched);
	}
	if (from_user(regs))
		process_leave_kernel(regs);
}

void thread_yield(void)
{
	bool enabled = lock(&sched);

	schedule(false);
	unlock(&sched, enabled);
}

void thread_wait(const void *channel, uint64_t deadline, struct lock *l)
{
	struct thread *t = this_cpu->thread;

	lock_take(&sched);
	/* A signal that came before we sleep would find nobody to wake. */
	if (process_interrupted()) {
		lock_drop(&sched);
		return;
	}
	t->channel = channel;
	t->deadline = deadline;
	t->state = THREAD_ASLEEP;
	if (l)
		lock_drop(l);
	schedule(false);
	lock_drop(&sched);
	if (l)
		lock_take(l);
}

/* Makes a vCPU pass through schedule(): another one at once, this one at its next upcall. */
static void kick(unsigned int vcpu)
{
	uint64_t soon = time_ns() + SLICE;

	percpu[vcpu].slice_end = 0;
	if (vcpu != this_cpu->id) {
		event_send(percpu[vcpu].ipi);
	} else if (this_cpu->alarm > soon) {
		this_cpu->alarm = soon;
		HYPERVISOR_set_timer_op(soon);
	}
}

/* Finds a vCPU for a thread that may run now: one that idles and was not called yet, or ours. */
static void place(struct thread *t)
{
	unsigned int vcpu = this_cpu->id;

	t->state = THREAD_READY;
	if (t->pinned >= 0)
		vcpu = (unsigned int)t->pinned;
	for (unsigned int i = 0; t->pinned < 0 && i < nr_vcpus; i++)
		if (percpu[i].thread && is_idle(percpu[i].thread) && percpu[i].slice_end)
			vcpu = i;
	kick(vcpu);
}

void thread_wake(const void *channel)
{
	bool enabled = lock(&sched);

	for (struct thread *t = threads; t < threads + slots; t++)
		if (t->state == THREAD_ASLEEP && t->channel == channel)
			place(t);
	unlock(&sched, enabled);
}

void thread_interrupt(struct thread *t)
{
	bool enabled = lock(&sched);

	if (t->state == THREAD_ASLEEP)
		place(t);
	for (unsigned int i = 0; i < nr_vcpus; i++)
		if (percpu[i].thread == t && i != this_cpu->id)
			kick(i);
	unlock(&sched, enabled);
}

void thread_sleep(uint64_t ns)
{
	bool enabled = upcalls_save();

	thread_wait(NULL, time_ns() + ns, NULL);
	upcalls_restore(enabled);
}

void thread_pin(int vcpu)
{
	bool enabled = lock(&sched);

	this_cpu->thread->pinned = vcpu;
	if (vcpu >= 0 && (unsigned int)vcpu != this_cpu->id) {
		kick((unsigned int)vcpu);
		schedule(false);
	}
	unlock(&sched, enabled);
}

void thread_exit(void)
{
	upcalls_disable();
	lock_take(&sched);
	this_cpu->thread->state = THREAD_FREE;
	schedule(false);
	panic("a finished thread ran");
}

void thread_main(void)
{
	struct thread *t = this_cpu->thread;

	unlock(&sched, true);
	t->fn(t->arg);
	thread_exit();
}

/* Pages of its own, with an unmapped one below: an overflow ends the domain, not its neighbour. */
static unsigned long stack_create(unsigned int slot)
{
	unsigned long va = STACKS + slot * (PAGE_SIZE + THREAD_STACK) + PAGE_SIZE;

	for (unsigned long at = va; at < va + THREAD_STACK; at += PAGE_SIZE)
		if (map_mfn(at, va_to_mfn(page_alloc()), PTE_KERN))
			panic("no stack");
	return va;
}

static struct thread *create(struct process *p, const char *name, void (*fn)(void *arg), void *arg)
{
	bool enabled = lock(&sched);
	struct thread *t = threads;
	static unsigned int next_id = 1;
	unsigned long stack;
	uint64_t *sp;

	while (t < threads + slots && t->state != THREAD_FREE)
		t++;
	if (t == threads + THREADS) {
		unlock(&sched, enabled);
		return NULL;
	}
	slots += t == threads + slots;
	stack = t->stack ? t->stack : stack_create((unsigned int)(t - threads));
	sp = (uint64_t *)(stack + THREAD_STACK);
	*--sp = 0;
	*--sp = (unsigned long)thread_entry;
	sp -= 6; /* what thread_switch() pops */
	memset(sp, 0, 6 * sizeof(*sp));
	*t = (struct thread){
		.sp = (unsigned long)sp,
		.pinned = this_cpu->thread->pinned,
		.id = next_id++,
		.name = name,
		.fn = fn,
		.arg = arg,
		.process = p,
		.stack = stack,
	};
	place(t);
	unlock(&sched, enabled);
	return t;
}

struct thread *thread_create(const char *name, void (*fn)(void *arg), void *arg)
{
	return create(NULL, name, fn, arg);
}

struct thread *thread_create_process(struct process *p, const char *name, void (*fn)(void *arg))
{
	return create(p, name, fn, p);
}

void idle_loop(void *unused)
{
	for (;;) {
		bool contended, others;

		upcalls_disable();
		lock_take(&sched);
		expire(time_ns());
		others = pick(&contended) != this_cpu->idle;
		if (others)
			schedule(false);
		lock_drop(&sched);
		if (!others)
			HYPERVISOR_sched_op(SCHEDOP_block, NULL); /* unmasks and sleeps at once */
	}
}

/*
 * Xen may fire a timer up to 50 us early. One that fired is gone, so run the scheduler, which sets
 * the next, even if by the clock nothing is due yet. The IPI that another vCPU sends here says the
 * same.
 */
static void timer_event(unsigned int port, void *data)
{
	this_cpu->slice_end = 0;
}

/* A vCPU that was called while no upcall had a tail has not come, and would not be called again. */
void threads_resume(void)
{
	bool enabled = lock(&sched);

	event_upcall_exit = upcall_exit;
	for (unsigned int i = 0; i < nr_vcpus; i++)
		if (i != this_cpu->id && percpu[i].thread)
			kick(i);
	unlock(&sched, enabled);
}

static unsigned int bind(long port)
{
	if (port < 0)
		panic("port for the scheduler: %ld", port);
	event_bind((unsigned int)port, timer_event, NULL);
	return (unsigned int)port;
}

void threads_bind_timer(void)
{
	this_cpu->slice_end = this_cpu->alarm = ~0ull;
	this_cpu->timer = bind(event_bind_virq(VIRQ_TIMER));
}

void threads_bind_ipi(void)
{
	this_cpu->ipi = bind(event_bind_ipi());
}

void threads_init(void)
{
	threads[0] = (struct thread){
		.state = THREAD_RUNNING,
		.pinned = -1,
		.name = "main",
		.stack = (unsigned long)boot_stack,
	};
	threads[0].started_ns = time_ns();
	slots = 1;
	this_cpu->thread = &threads[0];
	this_cpu->idle = thread_create("idle", idle_loop, NULL);
	threads_resume();
	threads_bind_timer();
}
