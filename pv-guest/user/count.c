/* SPDX-License-Identifier: MIT */
/* Counts the bytes and lines it reads: something to pipe into. */
#include "user.h"

int main(int argc, char **argv)
{
	unsigned long bytes = 0, lines = 0;
	char buf[200];
	long n;

	while ((n = read(0, buf, sizeof(buf))) > 0) {
		bytes += (unsigned long)n;
		for (long i = 0; i < n; i++)
			lines += buf[i] == '\n';
	}
	printf("%lu bytes, %lu lines\n", bytes, lines);
	return 0;
}
