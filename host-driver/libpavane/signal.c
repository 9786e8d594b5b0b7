/* SPDX-License-Identifier: MIT */
/*
 * Host signals as interrupts. The handler runs outside, on the other half's stack, and leaves a
 * mark; the vector is delivered on the way in, once the inside takes interrupts.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host-driver/libpavane/internal.h"

static uint8_t vector_of[65]; /* by signal */

#define TIMER_SIGNAL (SIGRTMAX - 1)

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	const unsigned vector = sig == TIMER_SIGNAL ? (unsigned)si->si_value.sival_int
						    : vector_of[sig];
	struct thread *t = pv_self;

	if (!t) /* this thread is not inside */
		return;
	__atomic_or_fetch(&t->pending[vector / 64], 1ul << vector % 64, __ATOMIC_RELAXED);
	t->run->immediate_exit = 1;
}

static int install(int sig)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	return sigaction(sig, &sa, NULL) ? -errno : 0;
}

int pv_signal(int sig, unsigned vector)
{
	if (sig < 1 || sig > 64 || vector < 32 || vector > 255)
		return -EINVAL;
	vector_of[sig] = vector;
	return install(sig);
}

int pv_timer(uint64_t first, uint64_t period, unsigned vector)
{
	struct itimerspec when = {
		.it_value = {first / 1000000000, first % 1000000000},
		.it_interval = {period / 1000000000, period % 1000000000},
	};
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID,
			      .sigev_signo = TIMER_SIGNAL,
			      .sigev_value.sival_int = vector};
	struct thread *t = pv_self;
	int ret;

	if (!t || vector < 32 || vector > 255)
		return -EINVAL;
	ret = install(TIMER_SIGNAL);
	if (ret)
		return ret;
	timer_drop(t);
	if (!first)
		return 0;
	ev._sigev_un._tid = t->tid;
	if (pv_raw(SYS_timer_create, CLOCK_MONOTONIC, (long)&ev, (long)&t->timer, 0, 0, 0))
		return -EAGAIN;
	return pv_raw(SYS_timer_settime, t->timer, 0, (long)&when, 0, 0, 0);
}

void timer_drop(struct thread *t)
{
	if (t->timer >= 0)
		pv_raw(SYS_timer_delete, t->timer, 0, 0, 0, 0, 0);
	t->timer = -1;
}

/* Give the highest vector that waits, now or when the inside opens the window. */
void signal_inject(struct thread *t)
{
	struct pvhost_run *run = t->run;
	uint64_t bits;
	int i;

	/* First, so that a signal from here on is seen by PVHOST_RUN. */
	__atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	run->irq_window = 0;
	for (i = 3; i >= 0; i--) {
		bits = __atomic_load_n(&t->pending[i], __ATOMIC_RELAXED);
		if (bits)
			break;
	}
	if (i < 0)
		return;
	if (run->inject & PVHOST_VALID || !(run->rflags & 0x200) || run->shadow) {
		run->irq_window = 1;
		return;
	}
	bits = 63 - __builtin_clzl(bits);
	__atomic_and_fetch(&t->pending[i], ~(1ul << bits), __ATOMIC_RELAXED);
	run->inject = PVHOST_VALID | (i * 64 + bits);
	run->inject_error = 0;
	/* There may be more. */
	for (i = 0; i < 4; i++)
		if (__atomic_load_n(&t->pending[i], __ATOMIC_RELAXED))
			run->irq_window = 1;
}

/* hlt: until something is pending. */
void signal_wait(struct thread *t)
{
	uint64_t all = ~0ul, old;
	bool none = true;

	pv_raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&old, 8, 0, 0);
	for (int i = 0; i < 4; i++)
		none = none && !__atomic_load_n(&t->pending[i], __ATOMIC_RELAXED);
	if (none)
		pv_raw(SYS_rt_sigsuspend, (long)&old, 8, 0, 0, 0, 0);
	pv_raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, 8, 0, 0);
}
