/* SPDX-License-Identifier: MIT */
/* Pipes: order, blocking, ends. */
#include "user.h"

#define BYTES 50000

static int fds[2];

static unsigned char pattern(unsigned int i)
{
	return (unsigned char)(i * 7 + i / 251);
}

static void producer(void)
{
	unsigned char buf[777];

	close(fds[0]);
	for (unsigned int i = 0; i < BYTES;) {
		unsigned int n = 0;

		for (; n < sizeof(buf) && i < BYTES; n++, i++)
			buf[n] = pattern(i);
		if (write(fds[1], buf, n) != (long)n)
			exit(1);
	}
	exit(0);
}

static void stream(void)
{
	unsigned char buf[1000];
	unsigned int total = 0;
	bool same = true;
	int status = -1;
	long n;

	pipe(fds);
	if (!fork())
		producer();
	close(fds[1]);
	while ((n = read(fds[0], buf, sizeof(buf))) > 0)
		for (long i = 0; i < n; i++, total++)
			same &= buf[i] == pattern(total);
	close(fds[0]);
	wait(&status);
	check("pipe: all bytes, in order", same && total == BYTES && status == 0);
	check("pipe: the end, when the last writer is gone", n == 0);
}

static void two_writers(void)
{
	int count[2] = {0, 0};
	char c;

	pipe(fds);
	for (int i = 0; i < 2; i++) {
		if (fork())
			continue;
		for (int j = 0; j < 400; j++)
			write(fds[1], i ? "b" : "a", 1);
		exit(0);
	}
	close(fds[1]);
	while (read(fds[0], &c, 1) == 1)
		count[c == 'b']++;
	close(fds[0]);
	wait(NULL);
	wait(NULL);
	check("pipe: two writers", count[0] == 400 && count[1] == 400);
}

static void errors(void)
{
	char c = 'x';
	int copy;

	pipe(fds);
	check("pipe: one cannot read from where one writes", read(fds[1], &c, 1) == -9);
	check("pipe: nor write to where one reads", write(fds[0], &c, 1) == -9);
	copy = dup(fds[1]);
	close(fds[1]);
	check("dup: the copy works",
	      write(copy, "d", 1) == 1 && read(fds[0], &c, 1) == 1 && c == 'd');
	check("pipe: a wild buffer", write(copy, (void *)16, 1) == -14);
	check("pipe: a buffer of the kernel's", write(copy, (void *)0x400000, 1) == -14);
	close(fds[0]);
	check("pipe: nobody reads", write(copy, &c, 1) == -32);
	close(copy);
	check("pipe: closed", read(copy, &c, 1) == -9);
}

int main(int argc, char **argv)
{
	stream();
	two_writers();
	errors();
	return failures();
}
