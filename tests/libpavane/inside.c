/* SPDX-License-Identifier: MIT */
/* A thread inside is the same thread: memory, libc, signals, threads, fork, and out again. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host-driver/libpavane/pavane.h"
#include "tests/pvhost/check.h"

static unsigned ring(void)
{
	unsigned long cs;

	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	return cs & 3;
}

static void memory(void)
{
	uint8_t *big = malloc(8 << 20), *far;
	unsigned sum = 0;

	memset(big, 1, 8 << 20);
	for (int i = 0; i < 8 << 20; i += 4096)
		sum += big[i];
	check(sum == 2048, "malloc of 8 MiB", "%u", sum);
	free(big);
	far = mmap((void *)0x123400000000, 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	*far = 5;
	check(*far == 5, "memory far from all other", "%u", *far);
	munmap(far, 4096);
}

static volatile uint64_t faulted, fault_error;
static uint8_t *page;

static void on_fault(struct pv_frame *f)
{
	faulted = pv_fault_address();
	fault_error = f->error;
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void on_breakpoint(struct pv_frame *f)
{
	f->rax = 77;
}

static void exceptions(void)
{
	double x = 1.5, y;
	long rax;

	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pv_on(PV_VECTOR_PAGE_FAULT, on_fault, 0);
	*(volatile uint8_t *)page = 9;
	check(faulted == (uint64_t)page && page[0] == 9, "a page fault and its repair", "%lx",
	      faulted);
	check(fault_error == (2 | PV_FAULT_HOST), "it was a write, which the host refused",
	      "error %lx", fault_error);
	pv_on(PV_VECTOR_PAGE_FAULT, NULL, 0);
	pv_on(PV_VECTOR_BREAKPOINT, on_breakpoint, PV_NO_FPU);
	__asm__ volatile("int3" : "=a"(rax));
	check(rax == 77, "int3, and the handler's register", "%ld", rax);
	y = x * 2;
	check(y == 3.0, "floating point", "%f", y);
}

static volatile unsigned ticks;

static void on_tick(struct pv_frame *f)
{
	ticks++;
}

static void interrupts(void)
{
	unsigned before;

	pv_on(40, on_tick, 0);
	pv_timer(1000000, 1000000, 40);
	while (ticks < 3)
		;
	check(1, "a timer interrupts a loop", "-");
	pv_cli();
	before = ticks;
	for (volatile int i = 0; i < 2000000; i++)
		;
	check(ticks == before, "not while interrupts are off", "%u", ticks - before);
	pv_halt();
	check(ticks > before, "hlt waits for one", "none");
	pv_timer(0, 0, 40);
	pv_on(41, on_tick, 0);
	pv_signal(SIGUSR1, 41);
	before = ticks;
	raise(SIGUSR1);
	check(ticks == before + 1, "a signal is an interrupt", "%u", ticks - before);
}

#define FRESH (8u << 20)

static volatile unsigned served;
static volatile bool nested;

static void on_tick_touching(struct pv_frame *f)
{
	static unsigned at;

	nested |= !(f->rflags & 0x200);
	for (unsigned i = 0; i < 16; i++, at = (at + 4096) % FRESH)
		page[at]++;
	served++;
}

/* A signal while the host finds a page must not bring back the interrupt of before it. */
static void interrupts_and_memory(void)
{
	page = mmap(NULL, FRESH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(page, FRESH, MADV_NOHUGEPAGE);
	served = 0;
	pv_on(40, on_tick_touching, PV_NO_FPU);
	pv_timer(1000000, 200000, 40);
	while (served < 2000)
		if (served % 128 == 127)
			madvise(page, FRESH, MADV_DONTNEED);
	pv_timer(0, 0, 40);
	check(!nested, "handlers that touch new memory, under a fast timer", "one inside another");
	munmap(page, FRESH);
}

static void *second(void *arg)
{
	*(int *)arg = pv_enter();
	*(unsigned *)((int *)arg + 1) = ring();
	return NULL;
}

static int child_status(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		f();
		_exit(9);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void in_fork(void)
{
	_exit(ring() == 3 && !pv_inside() ? 3 : 4);
}

static void in_fork_enter(void)
{
	_exit(pv_enter() == 0 && ring() == 0 ? 5 : 6);
}

static void segfault(void)
{
	pv_enter();
	close(2);
	__asm__ volatile("movl $1, 8");
}

static void processes(void)
{
	int result[2] = {-1, -1}, status;
	pthread_t thread;

	status = child_status(in_fork);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 3, "fork gives an ordinary child",
	      "status %x", status);
	status = child_status(in_fork_enter);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 5, "which may enter itself", "status %x",
	      status);
	status = child_status(segfault);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
	      "a fault without a handler is SIGSEGV", "status %x", status);
	pthread_create(&thread, NULL, second, result);
	pthread_join(thread, NULL);
	check(result[0] == 0 && result[1] == 0, "another thread enters", "%d, ring %d", result[0],
	      result[1]);
	check(ring() == 0, "and this one is where it was", "ring %u", ring());
	status = system("exit 7");
	check(WEXITSTATUS(status) == 7, "system()", "status %x", status);
}

int main(void)
{
	struct timespec a, b;
	int ret = pv_enter();

	check(!ret, "enter", "%s", strerror(-ret));
	if (ret)
		return finish();
	check(ring() == 0 && pv_inside(), "ring 0", "ring %u", ring());
	clock_gettime(CLOCK_MONOTONIC, &a);
	usleep(1000);
	clock_gettime(CLOCK_MONOTONIC, &b);
	check(b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec + 999999, "clock_gettime", "%ld",
	      b.tv_nsec - a.tv_nsec);
	memory();
	exceptions();
	interrupts();
	interrupts_and_memory();
	processes();
	pv_leave();
	check(ring() == 3 && !pv_inside(), "leave", "ring %u", ring());
	ret = pv_enter();
	check(!ret && ring() == 0, "and enter again", "%d", ret);
	return finish();
}
