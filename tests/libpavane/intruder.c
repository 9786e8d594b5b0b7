/* SPDX-License-Identifier: MIT */
/*
 * A static program for the sandbox, which tries one thing that it must not: its first argument
 * says what, the second is an address where that needs one.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static volatile uint64_t sink;

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	char *address = argc > 2 ? (char *)strtoul(argv[2], NULL, 16) : NULL;
	int open = 0;
	long ret;

	if (!strcmp(what, "load")) {
		sink = *(volatile uint64_t *)address;
	} else if (!strcmp(what, "store")) {
		*(volatile uint64_t *)address = 1;
	} else if (!strcmp(what, "jump")) {
		((void (*)(void))address)();
	} else if (!strcmp(what, "cli")) {
		__asm__ volatile("cli");
	} else if (!strcmp(what, "vmcall")) {
		__asm__ volatile("vmcall");
	} else if (!strcmp(what, "write")) { /* let the host read it for us */
		ret = write(1, address, 8);
		printf("%s\n", ret < 0 ? strerror(errno) : "written");
		return 0;
	} else if (!strcmp(what, "text")) { /* let the host write where we may not */
		ret = read(0, (void *)main, 8);
		printf("%s\n", ret < 0 ? strerror(errno) : "read");
		return 0;
	} else if (!strcmp(what, "descriptors")) {
		for (int fd = 3; fd < 2000; fd++)
			open += lseek(fd, 0, SEEK_CUR) >= 0 || errno != EBADF;
		printf("%d of ours\n", open);
		return 0;
	}
	puts("nothing happened");
	return 0;
}
