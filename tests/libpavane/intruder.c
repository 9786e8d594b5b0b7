/* SPDX-License-Identifier: MIT */
/*
 * A static program for the sandbox, which tries one thing that it must not: its first argument
 * says what, the second is an address where that needs one.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile uint64_t sink;

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	char *address = argc > 2 ? (char *)strtoul(argv[2], NULL, 16) : NULL;
	int found = 0;
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
	} else if (!strcmp(what, "int80")) {
		__asm__ volatile("int $0x80");
	} else if (!strcmp(what, "sysenter")) {
		__asm__ volatile("sysenter");
	} else if (!strcmp(what, "segment")) {
		ret = syscall(SYS_arch_prctl, ARCH_SET_FS, address);
		printf("%s\n", ret < 0 ? strerror(errno) : "set");
		return 0;
	} else if (!strcmp(what, "silence")) { /* would a file of ours become its messages'? */
		close(2);
		ret = open("/tmp/box/silence", O_WRONLY | O_CREAT, 0600);
		printf("%ld\n", ret);
		fflush(stdout);
		sink = *(volatile uint64_t *)address;
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
			found += lseek(fd, 0, SEEK_CUR) >= 0 || errno != EBADF;
		printf("%d of ours\n", found);
		return 0;
	}
	puts("nothing happened");
	return 0;
}
