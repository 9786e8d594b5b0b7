/* SPDX-License-Identifier: MIT */
/*
 * A shell of user mode: programs, their arguments, and a pipe between two. Its own arguments are a
 * line to run; without any it reads lines from the console.
 */
#include "user.h"

#define WORDS 8

static int split(char *line, char **argv)
{
	const int argc = split_words(line, argv, WORDS);

	argv[argc] = NULL;
	return argc;
}

/* In a child; descriptors `in` and `out` become its 0 and 1. */
static void become(char *line, int in, int out)
{
	char *argv[WORDS + 1];

	if (in) {
		close(0);
		dup(in);
		close(in);
	}
	if (out != 1) {
		close(1);
		dup(out);
		close(out);
	}
	if (split(line, argv) && exec(argv[0], argv) < 0)
		printf("%s: no such program\n", argv[0]);
	exit(127);
}

static void run(char *line)
{
	char *second = strchr(line, '|');
	int fds[2], status;

	if (!second) {
		if (!fork())
			become(line, 0, 1);
	} else {
		*second++ = 0;
		pipe(fds);
		if (!fork()) {
			close(fds[0]);
			become(line, 0, fds[1]);
		}
		if (!fork()) {
			close(fds[1]);
			become(second, fds[0], 1);
		}
		close(fds[0]);
		close(fds[1]);
	}
	while (wait(&status) > 0)
		if (status)
			printf("status %d\n", status);
}

int main(int argc, char **argv)
{
	char line[128];
	size_t len = 0;
	long n;

	for (int i = 1; i < argc && strlen(argv[i]) + 2 < sizeof(line) - len; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s ", argv[i]);
	if (len) {
		run(line);
		return 0;
	}
	printf("init: programs of the ramdisk, a | b, exit\n");
	while ((n = read(0, line, sizeof(line) - 1)) > 0) {
		line[n - 1] = 0; /* instead of the line's end */
		if (!strcmp(line, "exit"))
			break;
		if (line[0])
			run(line);
	}
	return 0;
}
