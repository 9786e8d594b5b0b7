/* SPDX-License-Identifier: MIT */
/* Between console.c and console_log.c */
#ifndef PAVANE_PVCTL_CONSOLE_H
#define PAVANE_PVCTL_CONSOLE_H

#include <sys/stat.h>

#include "toolstack/pvctl/pvctl.h"

/* All of it to standard output. */
void console_write(const char *buf, ssize_t n);

/* The log that xenconsoled keeps of a console, read as it grows. */
struct console_log {
	char path[220];
	int fd;
};

/* From its last lines on. False: there is none, and a line. */
bool log_open(struct console_log *l, uint32_t domid);
/* What has come since; true if anything has. */
bool log_copy(struct console_log *l);

#endif
