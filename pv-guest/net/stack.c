/* SPDX-License-Identifier: MIT */
/*
 * Who runs the stack. lwIP knows no threads: one lock is around it. A thread that waits for the
 * network serves it itself in net_wait(), so that no answer costs a switch of threads; while no
 * one does, the stack's own thread sleeps until an event or lwIP's next timer.
 */
#include <pv/event.h>
#include <pv/thread.h>
#include <pv/time.h>
#include <lwip/init.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/timeouts.h>
#include "net.h"

/* Looking at the rings for a while is cheaper than an event, if the answer comes soon. */
#define SPIN_MAX (50 * 1000ul)
#define SPIN_MIN (2 * 1000ul)

struct lock net_lock;
static const char waiters, keeper; /* what they sleep for */
static unsigned int nr_waiters;
static uint64_t keeper_deadline;
static uint64_t spin_ns = SPIN_MAX;

static void flush(void)
{
	struct netfront *f;

	for (unsigned int i = 0; (f = netfront_get(i)) != NULL; i++)
		netfront_flush(f);
}

/* True if the backends had done anything. */
static bool poll(void)
{
	struct netfront *f;
	bool any = false;

	for (unsigned int i = 0; (f = netfront_get(i)) != NULL; i++)
		any |= netfront_poll(f);
	if (any)
		tcp_txnow(); /* what found no room before */
	sys_check_timeouts();
	flush();
	return any;
}

static bool arm(void)
{
	struct netfront *f;
	bool ready = false;

	for (unsigned int i = 0; (f = netfront_get(i)) != NULL; i++)
		ready |= netfront_arm(f);
	return ready;
}

static bool ready(void)
{
	struct netfront *f;
	bool any = false;

	for (unsigned int i = 0; (f = netfront_get(i)) != NULL; i++)
		any |= netfront_ready(f);
	return any;
}

/* Without the lock. It looks longer when that was worth it, and shorter when it was not. */
static bool spin(void)
{
	uint64_t end = time_ns() + spin_ns;
	bool any;

	while (!(any = ready()) && time_ns() < end)
		__asm__ volatile("pause");
	if (any)
		spin_ns = SPIN_MAX;
	else if (spin_ns > SPIN_MIN)
		spin_ns /= 2;
	return any;
}

/* When lwIP's next timer is due, system time. */
static uint64_t timer_deadline(void)
{
	u32_t ms = sys_timeouts_sleeptime();

	return ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? ~0ull : time_ns() + ms * MSEC;
}

void net_event(void)
{
	bool enabled = lock(&net_lock);

	thread_wake(nr_waiters ? &waiters : &keeper);
	unlock(&net_lock, enabled);
}

bool net_enter(void)
{
	return lock(&net_lock);
}

/* From here on the keeper hears of events, and of timers that are new. */
void net_leave(bool enabled)
{
	flush();
	if (!nr_waiters && (arm() || timer_deadline() < keeper_deadline))
		thread_wake(&keeper);
	unlock(&net_lock, enabled);
}

/*
 * One round: what there is to do; or a look at the rings for a while, and then sleep. The lock is
 * let go in every round, so that even a backend that never stops leaves others their turn.
 */
static void serve(const void *channel, uint64_t deadline, uint64_t *until)
{
	bool busy = poll();

	unlock(&net_lock, true);
	busy = busy || spin();
	lock(&net_lock);
	if (busy || poll() || arm())
		return;
	*until = timer_deadline();
	if (*until > deadline)
		*until = deadline;
	thread_wait(channel, *until, &net_lock);
}

void net_wait(uint64_t deadline)
{
	uint64_t until;

	nr_waiters++;
	serve(&waiters, deadline, &until);
	poll();
	nr_waiters--;
}

/* Serves the stack when nobody else does. */
static void keeper_thread(void *unused)
{
	lock(&net_lock);
	for (;;) {
		keeper_deadline = ~0ull;
		if (nr_waiters)
			thread_wait(&keeper, keeper_deadline, &net_lock);
		else
			serve(&keeper, keeper_deadline, &keeper_deadline);
	}
}

/* The first interface brings the stack to life; without one, nothing of it ever runs. */
void stack_init(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	lwip_init();
	thread_create("net", keeper_thread, NULL);
}
