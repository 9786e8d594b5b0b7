/* SPDX-License-Identifier: MIT */
/*
 * Threads. The whole scheduler runs with upcalls masked, which on one vCPU is all the locking it
 * needs. A thread is preempted in the tail of an event upcall, on its own stack: it simply finds
 * itself there again when it is next chosen.
 */
#include <pv/event.h>
#include <pv/lib.h>
#include <pv/thread.h>
#include <pv/time.h>

#define THREADS	    12
#define STACK_WORDS 2048
#define SLICE	    (10 * MSEC)

void thread_switch(struct thread *from, struct thread *to);
void thread_main(void);
extern char thread_entry[];

static struct thread threads[THREADS];
static uint64_t stacks[THREADS][STACK_WORDS] __attribute__((aligned(16)));
static struct thread *current = &threads[0];
static struct thread *const idle = &threads[1];
static uint64_t slice_end;
static unsigned int timer;
unsigned long thread_preemptions;

const struct thread *thread_current(void)
{
	return current;
}

const struct thread *thread_get(unsigned int index)
{
	return index < THREADS ? &threads[index] : NULL;
}

unsigned int timer_port(void)
{
	return timer;
}

/* Wakes the sleepers whose time has come; returns the next deadline. */
static uint64_t expire(uint64_t now)
{
	uint64_t next = ~0ull;

	for (struct thread *t = threads; t < threads + THREADS; t++) {
		if (t->state != THREAD_ASLEEP)
			continue;
		if (t->deadline <= now)
			t->state = THREAD_READY;
		else if (t->deadline < next)
			next = t->deadline;
	}
	return next;
}

/* Round robin from the current one on; the idle thread only when there is no other. */
static struct thread *pick(bool *contended)
{
	unsigned int ready = 0;
	struct thread *next = idle;

	for (unsigned int i = THREADS; i > 0; i--) {
		struct thread *t = &threads[(current - threads + i) % THREADS];

		if (t != idle && t->state == THREAD_READY) {
			next = t;
			ready++;
		}
	}
	*contended = ready > 1;
	return next;
}

static void schedule(bool preempted)
{
	struct thread *from = current, *to;
	uint64_t now = time_ns(), alarm = expire(now);
	bool contended;

	to = pick(&contended);
	from->run_ns += now - from->started_ns;
	to->started_ns = now;
	slice_end = now + SLICE;
	if (contended && slice_end < alarm)
		alarm = slice_end;
	HYPERVISOR_set_timer_op(alarm == ~0ull ? 0 : alarm);
	if (to == from)
		return;
	to->switches++;
	thread_preemptions += preempted && from != idle;
	current = to;
	thread_switch(from, to);
}

/* The tail of every upcall: somebody may have been woken, or the slice be over. */
static void upcall_exit(void)
{
	if (current != idle && time_ns() < slice_end)
		return;
	schedule(true);
}

void thread_yield(void)
{
	bool enabled = upcalls_save();

	schedule(false);
	upcalls_restore(enabled);
}

void thread_wait(const void *channel, uint64_t deadline)
{
	current->channel = channel;
	current->deadline = deadline;
	current->state = THREAD_ASLEEP;
	schedule(false);
}

void thread_wake(const void *channel)
{
	bool enabled = upcalls_save();

	for (struct thread *t = threads; t < threads + THREADS; t++) {
		if (t->state == THREAD_ASLEEP && t->channel == channel) {
			t->state = THREAD_READY;
			slice_end = 0;
		}
	}
	upcalls_restore(enabled);
}

void thread_sleep(uint64_t ns)
{
	bool enabled = upcalls_save();

	thread_wait(NULL, time_ns() + ns);
	upcalls_restore(enabled);
}

void thread_main(void)
{
	upcalls_enable();
	current->fn(current->arg);
	upcalls_disable();
	current->state = THREAD_FREE;
	schedule(false);
	panic("a finished thread ran");
}

struct thread *thread_create(const char *name, void (*fn)(void *arg), void *arg)
{
	bool enabled = upcalls_save();
	struct thread *t = threads;
	static unsigned int next_id = 1;
	uint64_t *sp;

	/* The current thread's slot may be free already, its stack not. */
	while (t < threads + THREADS && (t->state != THREAD_FREE || t == current))
		t++;
	if (t == threads + THREADS)
		panic("too many threads");
	sp = stacks[t - threads] + STACK_WORDS;
	*--sp = 0;
	*--sp = (unsigned long)thread_entry;
	sp -= 6; /* what thread_switch() pops */
	memset(sp, 0, 6 * sizeof(*sp));
	*t = (struct thread){
		.sp = (unsigned long)sp,
		.state = THREAD_READY,
		.id = next_id++,
		.name = name,
		.fn = fn,
		.arg = arg,
	};
	upcalls_restore(enabled);
	return t;
}

static void idle_loop(void *unused)
{
	for (;;) {
		bool contended;

		upcalls_disable();
		expire(time_ns());
		if (pick(&contended) != idle)
			schedule(false);
		else
			HYPERVISOR_sched_op(SCHEDOP_block, NULL); /* unmasks and sleeps at once */
	}
}

/*
 * Xen may fire a timer up to 50 us early. One that fired is gone, so run the scheduler, which sets
 * the next, even if by the clock nothing is due yet.
 */
static void timer_event(unsigned int port, void *data)
{
	slice_end = 0;
}

void threads_resume(void)
{
	event_upcall_exit = upcall_exit;
}

void threads_init(void)
{
	long port;

	threads[0] = (struct thread){.state = THREAD_READY, .name = "main"};
	threads[0].started_ns = time_ns();
	thread_create("idle", idle_loop, NULL);
	slice_end = ~0ull;
	threads_resume();
	port = event_bind_virq(VIRQ_TIMER);
	if (port < 0)
		panic("timer: %ld", port);
	timer = (unsigned int)port;
	event_bind(timer, timer_event, NULL);
}
