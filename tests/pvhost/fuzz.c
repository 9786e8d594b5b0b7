/* SPDX-License-Identifier: MIT */
/*
 * Random calls, random state, random guest code and a run page that another thread scribbles on.
 * Nothing is expected of the calls but that they return; the kernel's log is the judge, and a
 * VM set up afterwards works.
 *   fuzz [SECONDS [SEED]]   the guest's own seconds (60)
 * Code in ring 0 always has interrupts on and no way to switch them off: Bochs keeps the host's out
 * while a guest's are off.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

GUEST(call, "vmcall");

static struct raw r;
static uint64_t seed;
static volatile bool over;
static unsigned long calls, runs, exits[64];

static uint64_t rnd_of(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t rnd(void)
{
	return rnd_of(&seed);
}

/* A number as trouble likes it: small, a bit, near an end, an address of ours, or anything. */
static uint64_t number(void)
{
	const uint64_t x = rnd();

	switch (x >> 61) {
	case 0: return x & 0xf;
	case 1: return 1ull << (x & 63);
	case 2: return ~(x & 0xffff);
	case 3: return 0x7ffffffff000 + (x & 0x1fff) - 0x1000;
	case 4: return (x & 0x3ff) << 12;
	case 5: return (uintptr_t)r.mem + (x & 0x3ff000);
	default: return x;
	}
}

static void fill(void *p, size_t size)
{
	for (size_t i = 0; i < size / 4; i++)
		((uint32_t *)p)[i] = number();
}

static void on_alarm(int sig)
{
	r.run->immediate_exit = rnd() & 1;
}

static void random_ioctl(void)
{
	static const unsigned long known[] = {
		PVHOST_INFO, PVHOST_ADD_REGION, PVHOST_DEL_REGION, PVHOST_CREATE_VCPU,
		PVHOST_RUN,  PVHOST_SET_STATE,	PVHOST_GET_STATE,
	};
	uint8_t buffer[256];
	unsigned long cmd = rnd() & 3 ? known[rnd() % 7]
				      : _IOC(rnd() & 3, 0xb7, rnd() & 15, rnd() & 0x3ff);
	const int fd = rnd() & 1 ? r.vm : r.vcpu;
	void *arg = buffer;
	int ret;

	fill(buffer, sizeof(buffer));
	if (!(rnd() & 3))
		arg = (void *)number();
	if (cmd == PVHOST_RUN && fd == r.vcpu)
		return; /* random_run */
	/* The output may be anywhere of ours, but for what this program needs to go on. */
	if (arg != buffer && (cmd == PVHOST_INFO || cmd == PVHOST_GET_STATE))
		arg = (void *)(rnd() & 1 ? ~0xffful : 0);
	ret = ioctl(fd, cmd, arg);
	if (cmd == PVHOST_CREATE_VCPU && ret >= 0)
		close(ret);
	calls++;
}

static void random_region(void)
{
	struct pvhost_region region = {
		.gpa = number() & ~0xfff,
		.hva = rnd() & 1 ? (uintptr_t)r.mem : number() & ~0xfff,
		.size = 0x1000ull << rnd() % 52,
	};

	if (region.gpa < RAW_SIZE)
		return;
	if (!ioctl(r.vm, PVHOST_ADD_REGION, &region) && rnd() % 8)
		ioctl(r.vm, PVHOST_DEL_REGION, &region);
	calls++;
}

static void do_run(void)
{
	/* Again and again: the first may come before the guest does. */
	const struct itimerval soon = {.it_value = {.tv_usec = 1000},
				       .it_interval = {.tv_usec = 1000}};
	const struct itimerval never = {};
	int ret;

	r.run->immediate_exit = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	ret = ioctl(r.vcpu, PVHOST_RUN, 0);
	setitimer(ITIMER_REAL, &never, NULL);
	runs++;
	if (!ret)
		exits[r.run->exit_reason & 63]++;
}

/* Any state and any run page; the code is one vmcall, wherever that state lets it go. */
static void random_state(void)
{
	struct pvhost_state state, good;

	if (ioctl(r.vcpu, PVHOST_GET_STATE, &good))
		return;
	state = good;
	for (int n = rnd() % 4; n >= 0; n--)
		((uint64_t *)&state)[rnd() % (sizeof(state) / 8)] = number();
	state.sfmask = 0;
	ioctl(r.vcpu, PVHOST_SET_STATE, &state);
	raw_guest(&r, call);
	for (int n = rnd() % 4; n > 0; n--)
		((uint64_t *)r.run)[rnd() % 19] = number();
	r.run->rflags |= 0x200;
	r.run->inject_error = rnd() & 1 ? number() : rnd() & 0x1f;
	r.run->inject_length = rnd() & 15;
	switch (rnd() & 7) {
	case 0: r.run->inject = rnd(); break;
	case 1: r.run->inject = PVHOST_VALID | (rnd() & 0xfff); break;
	case 2:
	case 3: r.run->inject = PVHOST_VALID | 4 << 8 | (rnd() & 0xff); break;
	}
	r.run->irq_window = rnd() & 1;
	do_run();
	r.run->inject = 0;
	ioctl(r.vcpu, PVHOST_SET_STATE, &good);
}

/* Random code in ring 3, where it cannot switch interrupts off; page tables may break, too. */
static void random_code(void)
{
	struct pvhost_state state;
	uint8_t code[256];

	if (ioctl(r.vcpu, PVHOST_GET_STATE, &state))
		return;
	fill(code, sizeof(code));
	if (rnd() & 1)
		fill(r.mem + RAW_DATA, 4096);
	raw_code(&r, code, sizeof(code));
	fill(r.run, 16 * 8);
	r.run->rsp = RAW_STACK;
	r.run->rflags = 0x202;
	r.run->inject = 0;
	state.cs = 0x2b;
	state.ss = 0x33;
	ioctl(r.vcpu, PVHOST_SET_STATE, &state);
	do_run();
	state.cs = 8;
	state.ss = 16;
	ioctl(r.vcpu, PVHOST_SET_STATE, &state);
}

/* The second thread: the run page, and the memory below the guest. */
static void *scribble(void *arg)
{
	uint64_t own = 99;

	while (!over) {
		const uint64_t x = rnd_of(&own);

		r.run->inject_length = x & 0x1f;
		r.run->inject_error = x >> 8;
		if (!(x & 0x300))
			r.run->inject = 0x80000000 | (x >> 16 & 0x7ff);
		if (!(x & 0xf00))
			madvise(r.mem + 0x200000 + (x >> 32 & 0x1ff000), 4096, MADV_DONTNEED);
		if (!(x & 0xff00))
			mprotect(r.mem + 0x300000, 4096, x >> 40 & 3);
		if (!(x & 0xff0000))
			usleep(500);
	}
	return NULL;
}

/* One VM, fuzzed until it or the time is worn out; a process of its own, for its regions. */
static void round_of(uint64_t number, double until)
{
	const uint64_t tables = 0x4000;
	uint8_t *saved = malloc(tables);
	struct timespec now;
	pthread_t t;

	seed = number;
	if (raw_open(&r))
		_exit(3);
	memcpy(saved, r.mem, tables);
	signal(SIGALRM, on_alarm);
	pthread_create(&t, NULL, scribble, NULL);
	for (int i = 0; i < 2000; i++) {
		switch (rnd() % 4) {
		case 0: random_ioctl(); break;
		case 1: random_region(); break;
		case 2: random_state(); break;
		default: random_code();
		}
		memcpy(r.mem, saved, tables);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec + now.tv_nsec / 1e9 > until)
			break;
	}
	over = true;
	pthread_join(t, NULL);
	printf("# %lu calls, %lu runs; exits:", calls, runs);
	for (int i = 0; i < 64; i++)
		if (exits[i])
			printf(" %d:%lu", i, exits[i]);
	printf("\n");
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	const double seconds = argc > 1 ? atof(argv[1]) : 60;
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	struct timespec now;
	double until;
	int status = 0;
	pid_t pid;

	clock_gettime(CLOCK_MONOTONIC, &now);
	until = now.tv_sec + seconds;
	do {
		pid = fork();
		if (!pid)
			round_of(n, until);
		waitpid(pid, &status, 0);
		check(!status, "a round of fuzzing", "status %x, seed %lu", status, (long)n);
		n++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!status && now.tv_sec < until);
	check(!raw_open(&r), "a VM after it", "errno %d", errno);
	raw_guest(&r, call);
	check(raw_run(&r) == PVHOST_EXIT_VMCALL, "works", "reason %d", r.run->exit_reason);
	raw_close(&r);
	check_released();
	return finish();
}
