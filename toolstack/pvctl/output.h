/* SPDX-License-Identifier: MIT */
/* output.c: the commands that give a domain's process a file to write to, trace and check. */
#ifndef PVCTL_OUTPUT_H
#define PVCTL_OUTPUT_H

#include <stdint.h>

struct output {
	const char *name, *help;
	const char *key; /* of what may stand behind FILE: ",what=" */
	/* What that says, and what to do without; it dies with a line. */
	uint64_t (*how)(char *value);
	uint64_t otherwise;
	uint32_t request;	 /* PVD_TRACE, PVD_CHECK */
	const char *host, *not ; /* why domain 0 has none; why a domain has none, or NULL */
};

extern const struct output trace_output, check_output;

struct output_file {
	const struct output *of;
	uint64_t how; /* 0, and no file: no more */
	int fd;
};

/* `text` is FILE[,KEY=VALUE]; what FILE had is gone. Dies with a line. */
void output_open(struct output_file *f, const struct output *of, const char *text);
/* Hands it to the domain's process, and closes it: 0, or a line and -1. */
int output_begin(uint32_t domid, struct output_file *f);

/* The command NAME DOMAIN FILE[,KEY=VALUE] | NAME DOMAIN off: its exit status. */
int output_command(int argc, char **argv, const struct output *of);

#endif
