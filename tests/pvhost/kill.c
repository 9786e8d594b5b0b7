/* SPDX-License-Identifier: MIT */
/* SIGKILL ends a process whatever its vCPUs are doing, and nothing stays behind. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

GUEST(spin, "1: jmp 1b");
GUEST(call, "1: vmcall; jmp 1b");
/* A store into each page of the second 2 MiB, round and round. */
GUEST(sweep, "2: mov $0x200000, %rdi; 1: mov %rdi, (%rdi); add $4096, %rdi;"
	     "cmp $0x400000, %rdi; jb 1b; jmp 2b");

static int ready; /* the pipe's end of the process to be killed */

static void tell(void)
{
	if (write(ready, "", 1) != 1)
		_exit(3);
}

static void setup(struct raw *r)
{
	if (raw_open(r))
		_exit(3);
}

static void in_loop(void)
{
	struct raw r;

	setup(&r);
	raw_guest(&r, spin);
	tell();
	raw_run(&r);
}

static void in_ring3(void)
{
	struct pvhost_state state;
	struct raw r;

	setup(&r);
	ioctl(r.vcpu, PVHOST_GET_STATE, &state);
	state.cs = 0x2b;
	state.ss = 0x33;
	if (ioctl(r.vcpu, PVHOST_SET_STATE, &state))
		_exit(3);
	raw_guest(&r, spin);
	tell();
	raw_run(&r);
}

static void between_calls(void)
{
	struct raw r;

	setup(&r);
	raw_guest(&r, call);
	tell();
	while (raw_run(&r) == PVHOST_EXIT_VMCALL)
		r.run->rip = RAW_CODE;
}

static void in_faults(void)
{
	struct runner runner;
	struct raw r;

	setup(&r);
	raw_guest(&r, sweep);
	runner_start(&runner, &r);
	tell();
	for (;;)
		madvise(r.mem + 0x200000, 0x200000, MADV_DONTNEED);
}

static void blocked(void)
{
	struct raw r;

	setup(&r);
	raw_guest(&r, call);
	raw_run(&r);
	tell();
	pause();
}

static void stopped(void)
{
	struct runner runner;
	struct raw r;

	setup(&r);
	raw_guest(&r, spin);
	runner_start(&runner, &r);
	tell();
	raise(SIGSTOP);
}

static void threads(void)
{
	static struct raw r[4];
	struct runner runner[4];

	setup(&r[0]);
	raw_guest(&r[0], spin);
	for (int i = 0; i < 4; i++) {
		if (i) {
			r[i] = r[0];
			r[i].vcpu = raw_vcpu(&r[0], &r[i].run);
			raw_guest(&r[i], spin);
		}
		runner_start(&runner[i], &r[i]);
	}
	tell();
	pause();
}

static void opened(void)
{
	struct raw r = {.vm = -1};
	struct pvhost_info info;

	setup(&r);
	munmap(r.run, 4096);
	close(r.vcpu);
	ioctl(r.vm, PVHOST_INFO, &info);
	tell();
	pause();
}

static void vcpu_only(void)
{
	struct raw r;

	setup(&r);
	close(r.vm);
	tell();
	pause();
}

static void page_only(void)
{
	struct raw r;

	setup(&r);
	close(r.vm);
	close(r.vcpu);
	tell();
	pause();
}

static void restless(void)
{
	struct raw r;

	tell();
	for (;;) {
		setup(&r);
		raw_guest(&r, call);
		raw_run(&r);
		raw_close(&r);
	}
}

static pid_t start(void (*state)(void))
{
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe(fds))
		exit(1);
	pid = fork();
	if (!pid) {
		ready = fds[1];
		state();
		_exit(3);
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) != 1)
		printf("# it ended before it was ready\n");
	close(fds[0]);
	return pid;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* No limit but the boot's: one that does not die is what the run then ends in. */
static bool killed(pid_t pid, double *seconds)
{
	const double before = now();
	int status = 0;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	*seconds = now() - before;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void dies(const char *name, void (*state)(void))
{
	const pid_t pid = start(state);
	double seconds;
	bool ok;

	usleep(20000);
	ok = killed(pid, &seconds);
	printf("# after %.3f s\n", seconds);
	check(ok, name, "not by the signal");
}

int main(void)
{
	unsigned alive = 0;
	double seconds;

	dies("kill -9 in a guest's endless loop", in_loop);
	dies("kill -9 in ring 3 of a guest", in_ring3);
	dies("kill -9 between two PVHOST_RUN", between_calls);
	dies("kill -9 while the guest faults and its memory goes", in_faults);
	dies("kill -9 in a blocking system call", blocked);
	dies("kill -9 of a stopped process", stopped);
	dies("kill -9 with four threads inside", threads);
	dies("kill -9 with only the VM open", opened);
	dies("kill -9 with only a vCPU open", vcpu_only);
	dies("kill -9 with only the run page mapped", page_only);
	srand(1);
	for (int i = 0; i < 30; i++) {
		const pid_t pid = start(restless);

		usleep(rand() % 4000);
		alive += !killed(pid, &seconds);
	}
	check(!alive, "kill -9 at 30 moments of setting up and closing", "%u lived on", alive);
	check_released();
	return finish();
}
