/* SPDX-License-Identifier: MIT */
/* Copy-on-write: after a fork each has the memory of before, and nobody sees the other's writes. */
#include "user.h"

#define PAGE  4096
#define PAGES 16

static char global[PAGE * 2] = "before";
static char *heap;
static int up[2], down[2];

/* Lets the other go on, or waits for it. */
static void signal_to(int fd)
{
	write(fd, "x", 1);
}

static void wait_for(int fd)
{
	char c;

	read(fd, &c, 1);
}

static bool all_are(const char *p, char c)
{
	for (unsigned int i = 0; i < PAGES; i++)
		if (p[i * PAGE] != c)
			return false;
	return true;
}

static void set_all(char *p, char c)
{
	for (unsigned int i = 0; i < PAGES; i++)
		p[i * PAGE] = c;
}

static void writes_of_the_child(void)
{
	volatile char local = 'p';
	int pid, status = -1;

	set_all(heap, 'p');
	strlcpy(global, "parent", sizeof(global));
	pid = fork();
	if (!pid) {
		bool same = all_are(heap, 'p') && !strcmp(global, "parent") && local == 'p';

		set_all(heap, 'c');
		strlcpy(global, "child", sizeof(global));
		local = 'c';
		exit(same && all_are(heap, 'c') && !strcmp(global, "child") && local == 'c');
	}
	wait(&status);
	check("cow: the child has what was there, and can write", status == 1);
	check("cow: the parent does not see that",
	      all_are(heap, 'p') && !strcmp(global, "parent") && local == 'p');
}

static void writes_of_the_parent(void)
{
	int pid, status = -1;

	pid = fork();
	if (!pid) {
		wait_for(down[0]);
		exit(all_are(heap, 'p') && !strcmp(global, "parent"));
	}
	set_all(heap, 'n');
	strlcpy(global, "new", sizeof(global));
	signal_to(down[1]);
	wait(&status);
	check("cow: the child does not see what the parent writes later", status == 1);
	check("cow: the parent does", all_are(heap, 'n') && !strcmp(global, "new"));
}

/* The kernel writes on a user's behalf: its writes must copy, too. */
static void writes_of_the_kernel(void)
{
	int pid, status = -1;

	set_all(heap, 'k');
	pid = fork();
	if (!pid) {
		write(up[1], "yy", 2);
		exit(read(up[0], heap, 2) == 2 && heap[0] == 'y');
	}
	wait(&status);
	check("cow: the kernel's writes copy, too", status == 1 && heap[0] == 'k');
}

/* A page of four processes, each with its own. */
static void generations(void)
{
	int status = -1, depth = 0, pid = 0;

	set_all(heap, '0');
	while (depth < 3 && !(pid = fork())) {
		depth++;
		heap[0] = (char)('0' + depth);
	}
	if (pid)
		wait(&status);
	if (depth)
		exit(heap[0] == '0' + depth && heap[PAGE] == '0' && (!pid || status == 1));
	check("cow: four generations", status == 1 && heap[0] == '0');
}

static void brk(void)
{
	char *old = sbrk(PAGES * PAGE);

	set_all(old, 'b');
	check("sbrk: more", all_are(old, 'b'));
	check("sbrk: less", (char *)sbrk(-PAGES * PAGE) == old + PAGES * PAGE);
	sbrk(PAGES * PAGE);
	check("sbrk: what comes again is zero", all_are(old, 0));
	sbrk(-PAGES * PAGE);
	check("sbrk: too much", (long)sbrk(1l << 40) < 0);
	check("sbrk: below the start", (long)sbrk(-(1l << 30)) < 0);
}

int main(int argc, char **argv)
{
	heap = sbrk(PAGES * PAGE);
	pipe(up);
	pipe(down);
	writes_of_the_child();
	writes_of_the_parent();
	writes_of_the_kernel();
	generations();
	brk();
	return failures();
}
