/* SPDX-License-Identifier: MIT */
/* Code that jumps to another page and back, while that page is mapped anew again and again. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/stock/load.h"

#define PAGE   4096
#define PAGES  4 /* that take turns */
#define ROUNDS 1000

static int file; /* the calling page, then the others */
static uint8_t *code;
static int (*call)(void);

/* call the other page; add $1, %eax; ret; and 32 bytes on: add $2, %eax; ret */
static const uint8_t caller[] = {0xe8, 0xfb, 0x0f, 0, 0, 0x83, 0xc0, 1, 0xc3};
static const uint8_t behind[] = {0x83, 0xc0, 2, 0xc3};

/* mov $16 * k, %eax; jmp to that */
static void write_page(uint8_t *p, unsigned k)
{
	p[0] = 0xb8;
	p[1] = 16 * k;
	p[5] = 0xe9;
	memset(p + 6, 0xff, 4);
	p[6] = 32 - 10;
	p[7] = 0xf0; /* 32 - (4096 + 10) */
}

static int value(unsigned k)
{
	return 16 * k + 3;
}

static bool show(unsigned k)
{
	return mmap(code + PAGE, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file,
		    PAGE * (1 + k % PAGES)) != MAP_FAILED;
}

static bool begin(void)
{
	uint8_t *p;

	file = memfd_create("code", 0);
	if (file < 0 || ftruncate(file, PAGE * (1 + PAGES)))
		return false;
	p = mmap(NULL, PAGE * (1 + PAGES), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
	if (p == MAP_FAILED || code == MAP_FAILED)
		return false;
	memcpy(p, caller, sizeof(caller));
	memcpy(p + 32, behind, sizeof(behind));
	for (unsigned k = 0; k < PAGES; k++)
		write_page(p + PAGE * (1 + k), k);
	call = (int (*)(void))code;
	return true;
}

static void alone(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		wrong += !show(i);
		for (unsigned n = 0; n < 3; n++)
			wrong += call() != value(i % PAGES);
	}
	check(!wrong, "a page of code is mapped anew", "%u of %u wrong", wrong, 4 * ROUNDS);
}

static volatile unsigned turn; /* odd: the page changes */
static volatile unsigned calls;

/* What it calls is what was there before or behind a change. */
static void *beside(void *wrong)
{
	for (;;) {
		const unsigned before = turn;
		const int got = call();

		if (before >= 2 * ROUNDS)
			return NULL;
		if (before == turn && !(before & 1) && got != value(before / 2 % PAGES))
			++*(unsigned *)wrong;
		calls++;
	}
}

static void by_another_thread(void)
{
	unsigned wrong = 0;
	pthread_t other;

	show(0);
	if (pthread_create(&other, NULL, beside, &wrong)) {
		check(false, "a thread", "none");
		return;
	}
	while (turn < 2 * ROUNDS) {
		const unsigned seen = calls;

		turn++;
		show((turn + 1) / 2);
		turn++;
		while (turn < 2 * ROUNDS && calls < seen + 3)
			;
	}
	pthread_join(other, NULL);
	check(!wrong, "and another thread finds it", "%u times the one before", wrong);
}

static unsigned calls_wrong(unsigned k)
{
	unsigned wrong = !show(k);

	for (unsigned n = 0; n < 2000; n++)
		wrong += call() != value(k % PAGES);
	return wrong;
}

static void by_a_child(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 50; i++) {
		const pid_t pid = fork();
		int status = 1;

		if (!pid)
			_exit(calls_wrong(i) != 0);
		wrong += calls_wrong(i + 1) != 0;
		wrong += waitpid(pid, &status, 0) != pid || status;
	}
	check(!wrong, "a child and its parent have different code there", "%u of 100 wrong", wrong);
}

void remap(void)
{
	if (!begin()) {
		check(false, "pages of code", "none");
		return;
	}
	alone();
	by_another_thread();
	by_a_child();
}
