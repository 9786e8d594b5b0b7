/* SPDX-License-Identifier: MIT */
/* Preemptive kernel threads on all vCPUs, round robin, driven by the one-shot timers. */
#ifndef PV_THREAD_H
#define PV_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <pv/lock.h>

enum thread_state { THREAD_FREE, THREAD_READY, THREAD_RUNNING, THREAD_ASLEEP };

#define THREAD_STACK (4 * PAGE_SIZE)

struct process;

struct thread {
	uint64_t sp; /* switch.S knows that this comes first */
	enum thread_state state;
	int pinned; /* the only vCPU it may run on, or -1 */
	unsigned int id;
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	const void *channel; /* what it sleeps for, besides the deadline */
	uint64_t deadline;   /* ~0 for none */
	uint64_t run_ns, started_ns;
	unsigned long switches;
	struct process *process; /* whose user code it runs, or NULL */
	unsigned long stack;	 /* its lowest address; stays with the slot */
};

void threads_init(void); /* the caller becomes the first thread */
/* For each vCPU: what makes it schedule. A single one needs no IPI. */
void threads_bind_timer(void);
void threads_bind_ipi(void);
/* NULL when there are too many. The new thread may run where its creator may. */
struct thread *thread_create(const char *name, void (*fn)(void *arg), void *arg);
struct thread *thread_create_process(struct process *p, const char *name, void (*fn)(void *arg));
void thread_exit(void) __attribute__((noreturn));
void thread_yield(void);
/*
 * Sleeps until thread_wake() names the channel or the deadline (system time, ~0 for none) passes.
 * Test the condition and call this under the lock under which others change it and wake: so no
 * wake-up is lost. The lock is free meanwhile, and taken again on return. A process to which a
 * signal was sent does not sleep: see process_interrupted().
 */
void thread_wait(const void *channel, uint64_t deadline, struct lock *l);
void thread_wake(const void *channel);
/* Ends one thread's sleep, whatever for, or makes it pass through its vCPU's kernel. */
void thread_interrupt(struct thread *t);
void thread_sleep(uint64_t ns);
/* Moves the current thread to one vCPU and keeps it there; -1 sets it free. */
void thread_pin(int vcpu);
struct thread *thread_get(unsigned int index); /* NULL behind the last */
struct thread *thread_current(void);
static inline unsigned long thread_stack_top(const struct thread *t)
{
	return t->stack + THREAD_STACK;
}
void idle_loop(void *unused) __attribute__((noreturn));
/* Puts the scheduler back behind the upcall after somebody took it away. */
void threads_resume(void);
unsigned int timer_port(void);
extern unsigned long thread_preemptions;

/* smp.c: brings up the other vCPUs. */
void smp_init(void);
extern unsigned int nr_vcpus;

#endif
