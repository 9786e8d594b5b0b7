/* SPDX-License-Identifier: MIT */
/*
 * Two processes with two hundred vCPUs each, a thread for each vCPU: every one keeps its own
 * registers, vector registers and memory.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

#define VCPUS 200
#define RUNS  5
#define ROUND 2000

/* Count in memory and in a vector register, and mark the general ones. */
GUEST(work, "1: incq (%rdi); movq %xmm15, %rax; inc %rax; movq %rax, %xmm15; dec %rcx; jnz 1b;"
	    "mov %rbx, %r8; mov %rbx, %r12; mov %rbx, %rbp; vmcall");

struct worker {
	struct raw r;
	pthread_t thread;
	const char *wrong;
};

static struct raw first;
static struct worker workers[VCPUS];

/* PVHOST_RUN with xmm15 as it is; the C library's wrapper promises nothing about it. */
static long run(int vcpu, uint64_t *xmm15)
{
	long ret = 16; /* ioctl */

	__asm__ volatile("movq %[x], %%xmm15; syscall; movq %%xmm15, %[x]"
			 : "+a"(ret), [x] "+r"(*xmm15)
			 : "D"((long)vcpu), "S"((long)PVHOST_RUN), "d"(0L)
			 : "rcx", "r11", "xmm15", "memory");
	return ret;
}

static void *work_thread(void *arg)
{
	struct worker *w = arg;
	const uint64_t id = w - workers + 1;
	struct pvhost_run *state = w->r.run;
	uint64_t xmm = id << 32;
	long ret;

	for (int i = 1; i <= RUNS; i++) {
		raw_guest(&w->r, work);
		state->rdi = RAW_COUNT + id * 4096;
		state->rcx = ROUND;
		state->rbx = id * 0x0101010101010101;
		do
			ret = run(w->r.vcpu, &xmm);
		while (ret == -EINTR);
		if (ret || state->exit_reason != PVHOST_EXIT_VMCALL)
			w->wrong = "an exit";
		else if (state->rcx || state->r8 != state->rbx || state->r12 != state->rbx ||
			 state->rbp != state->rbx || state->rbx != id * 0x0101010101010101)
			w->wrong = "a register";
		else if (xmm != (id << 32) + i * ROUND)
			w->wrong = "a vector register";
		else if (*(uint64_t *)(w->r.mem + RAW_COUNT + id * 4096) != (uint64_t)i * ROUND)
			w->wrong = "its memory";
	}
	return NULL;
}

static int process(void)
{
	unsigned wrong = 0;
	pthread_attr_t attr;

	if (raw_open(&first))
		return 3;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (int i = 0; i < VCPUS; i++) {
		struct worker *w = &workers[i];

		w->r = first;
		if (i)
			w->r.vcpu = raw_vcpu(&first, &w->r.run);
		if (w->r.vcpu < 0) {
			printf("# vCPU %d: %s\n", i, strerror(errno));
			return 4;
		}
	}
	for (int i = 0; i < VCPUS; i++)
		if (pthread_create(&workers[i].thread, &attr, work_thread, &workers[i]))
			return 5;
	for (int i = 0; i < VCPUS; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].wrong && !wrong++)
			printf("# vCPU %d: %s is wrong\n", i, workers[i].wrong);
	}
	return wrong ? 6 : 0;
}

int main(void)
{
	const struct rlimit files = {1024, 1024};
	int status = 0;
	pid_t pid;
	int mine;

	setrlimit(RLIMIT_NOFILE, &files);
	pid = fork();
	if (!pid)
		_exit(process());
	mine = process();
	check(!mine, "two hundred vCPUs keep their registers and memory", "%d", mine);
	waitpid(pid, &status, 0);
	check(!status, "and so do another process's", "status %x", status);
	return finish();
}
