/* SPDX-License-Identifier: MIT */
/*
 * A program that is started without stdin, stdout or stderr: what it opens first has their numbers,
 * is written to as if it were them, and is lost when they are replaced.
 */
#ifndef PAVANE_PVD_STD_H
#define PAVANE_PVD_STD_H

#include <fcntl.h>
#include <unistd.h>

/* To be called before anything is opened. */
static inline void std_open(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

#endif
