/* SPDX-License-Identifier: MIT */
/* Processes, their memory, pipes between them, threads. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/stock/load.h"

#define CHILDREN    100
#define COW_PAGES   512
#define ROUND_TRIPS 500
#define THREADS	    4
#define STEPS	    2000

static void fork_exit(void)
{
	unsigned right = 0;

	for (int i = 0; i < CHILDREN; i++) {
		const pid_t pid = fork();
		int status = 0;

		if (!pid)
			_exit(i & 127);
		right += waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
			 WEXITSTATUS(status) == (i & 127);
	}
	check(right == CHILDREN, "fork, exit and wait", "%u of %d", right, CHILDREN);
}

static void exec_exit(void)
{
	unsigned right = 0;

	for (int i = 0; i < 10; i++) {
		const pid_t pid = fork();
		int status = 0;
		char number[4];

		if (!pid) {
			snprintf(number, sizeof(number), "%d", 30 + i);
			execl("/proc/self/exe", "load", "exit", number, NULL);
			_exit(1);
		}
		right += waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 30 + i;
	}
	check(right == 10, "exec", "%u of 10", right);
}

/* Parent and child each change every second page, and must see their own. */
static void copy_on_write(void)
{
	unsigned *m = mmap(NULL, COW_PAGES * 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned wrong = 0;
	int status = 0;
	pid_t pid;

	for (unsigned i = 0; i < COW_PAGES; i++)
		m[i * 1024] = i;
	pid = fork();
	for (unsigned i = !pid; i < COW_PAGES; i += 2)
		m[i * 1024] = i + (pid ? 1000 : 2000);
	for (unsigned i = 0; i < COW_PAGES; i++)
		wrong += m[i * 1024] != i + (i % 2 == !pid ? (pid ? 1000 : 2000) : 0);
	if (!pid)
		_exit(wrong != 0);
	waitpid(pid, &status, 0);
	check(!wrong && !status, "copy on write", "%u wrong, child %x", wrong, status);
	munmap(m, COW_PAGES * 4096);
}

static void pipes(void)
{
	int to[2], from[2], status = 0;
	unsigned right = 0, n;
	pid_t pid;

	if (pipe(to) || pipe(from))
		return;
	pid = fork();
	if (!pid) {
		close(to[1]);
		while (read(to[0], &n, sizeof(n)) == sizeof(n)) {
			n = n * 3 + 1;
			if (write(from[1], &n, sizeof(n)) < 0)
				break;
		}
		_exit(7);
	}
	for (unsigned i = 0; i < ROUND_TRIPS; i++) {
		if (write(to[1], &i, sizeof(i)) < 0 || read(from[0], &n, sizeof(n)) != sizeof(n))
			break;
		right += n == i * 3 + 1;
	}
	close(to[1]);
	waitpid(pid, &status, 0);
	check(right == ROUND_TRIPS && WEXITSTATUS(status) == 7, "pipe there and back", "%u of %d",
	      right, ROUND_TRIPS);
	close(to[0]);
	close(from[0]);
	close(from[1]);
}

/* Page tables come and go, among them whole tables of a level; contents must be zero, then kept. */
static void mappings(void)
{
	const size_t size = 16 << 20;
	unsigned wrong = 0;
	uint8_t *m, *moved;

	for (unsigned round = 0; round < 3; round++) {
		m = mmap((void *)(0x100000000000 << round), size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		for (size_t i = 0; i < size; i += 4096) {
			wrong += m[i] != 0;
			m[i] = i >> 12 ^ round;
		}
		moved = mremap(m, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			       (void *)0x230000200000);
		for (size_t i = 0; moved != MAP_FAILED && i < size; i += 4096)
			wrong += moved[i] != (uint8_t)(i >> 12 ^ round);
		munmap(moved, size);
	}
	check(!wrong, "mmap, mremap, munmap of 16 MiB", "%u pages wrong", wrong);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static unsigned count, turn;
static __thread unsigned own;

static void *thread(void *arg)
{
	const unsigned me = (uintptr_t)arg;

	for (unsigned i = 0; i < STEPS; i++) {
		pthread_mutex_lock(&lock);
		count++;
		pthread_mutex_unlock(&lock);
		own += me;
		if (i % 100)
			continue;
		pthread_mutex_lock(&lock);
		while (turn != me)
			pthread_cond_wait(&turn_changed, &lock);
		turn = (turn + 1) % THREADS;
		pthread_cond_broadcast(&turn_changed);
		pthread_mutex_unlock(&lock);
	}
	return (void *)(uintptr_t)(own == STEPS * me);
}

static void threads(void)
{
	pthread_t t[THREADS];
	unsigned right = 0;
	void *result;

	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, thread, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], &result);
		right += result != NULL;
	}
	check(right == THREADS && count == THREADS * STEPS,
	      "threads: a lock, turns, storage of their own", "%u right, count %u", right, count);
}

void processes(void)
{
	fork_exit();
	exec_exit();
	copy_on_write();
	pipes();
	mappings();
	threads();
}
