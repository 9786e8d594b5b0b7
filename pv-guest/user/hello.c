/* SPDX-License-Identifier: MIT */
/* The smallest program: says hello, and looks at what it was given. */
#include "user.h"

static int zero[1000];
static int one = 1;
static int *pointer = &one;

int main(int argc, char **argv)
{
	char magic[4];
	int fd = open("hello");
	long sum = 0;

	if (!quiet)
		printf("hello from user mode\n");
	for (unsigned int i = 0; i < 1000; i++)
		sum += zero[i];
	check("hello: data is there and bss is zero", *pointer == 1 && !sum);
	check("hello: it knows its name", argc >= 1 && !strcmp(argv[0], "hello") && !argv[argc]);
	check("hello: it has a process id", getpid() > 0);
	check("hello: it reads a file of the ramdisk",
	      fd > 2 && read(fd, magic, 4) == 4 && !memcmp(magic, "\177ELF", 4));
	check("hello: it closes it", close(fd) == 0 && read(fd, magic, 4) < 0);
	check("hello: there is no file of that name", open("nobody") < 0);
	check("hello: there is no system call 999", SYSCALL(999, 0, 0, 0) == -38);
	check("hello: the clock goes on", clock_ns() < clock_ns());
	return failures();
}
