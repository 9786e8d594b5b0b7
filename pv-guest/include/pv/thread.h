/* SPDX-License-Identifier: MIT */
/* Preemptive kernel threads on one vCPU, round robin, driven by the one-shot timer. */
#ifndef PV_THREAD_H
#define PV_THREAD_H

#include <stdbool.h>
#include <stdint.h>

enum thread_state { THREAD_FREE, THREAD_READY, THREAD_ASLEEP };

struct thread {
	uint64_t sp; /* switch.S knows that this comes first */
	enum thread_state state;
	unsigned int id;
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	const void *channel; /* what it sleeps for, besides the deadline */
	uint64_t deadline;   /* ~0 for none */
	uint64_t run_ns, started_ns;
	unsigned long switches;
};

void threads_init(void); /* the caller becomes the first thread */
struct thread *thread_create(const char *name, void (*fn)(void *arg), void *arg);
void thread_yield(void);
/*
 * Sleeps until thread_wake() names the channel or the deadline (system time, ~0 for none) passes.
 * To lose no wake-up, mask upcalls before testing the condition; they are masked on return too.
 */
void thread_wait(const void *channel, uint64_t deadline);
void thread_wake(const void *channel);
void thread_sleep(uint64_t ns);
const struct thread *thread_get(unsigned int index); /* NULL behind the last */
const struct thread *thread_current(void);
/* Puts the scheduler back behind the upcall after somebody took it away. */
void threads_resume(void);
unsigned int timer_port(void);
extern unsigned long thread_preemptions;

#endif
