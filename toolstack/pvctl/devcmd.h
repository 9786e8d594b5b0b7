/* SPDX-License-Identifier: MIT */
/* What block-* and network-* have in common: their arguments, and a domain's saved config. */
#ifndef PAVANE_PVCTL_DEVCMD_H
#define PAVANE_PVCTL_DEVCMD_H

#include "toolstack/pvctl/device.h"

struct args {
	bool json, force, shrink;
	char **at; /* what is no option, the command itself not counted */
	int n;
};

/* Prints the usage and exits if there are fewer than `min` or more than `max`, or for --help. */
struct args args_parse(int argc, char **argv, int min, int max, const char *options,
		       const char *usage);
/* The domain of that name, which must be a guest; the broker and the store are open then. */
uint32_t the_guest(const char *who);
/*
 * The same, for one such command at a time: what is free, and what the saved config has, is looked
 * at before it is changed.
 */
uint32_t guest_to_change(const char *who);
/* xl takes a specification in several words as well. */
char *joined(char **words, int n);

/*
 * A number of the frontend's (a port, a grant), by the names it may have after what the two ends
 * agreed on; -1: none yet. Its text goes to no terminal: it is the guest's.
 */
long front_number(uint32_t domid, const char *type, uint32_t devid, const char *key);

/*
 * Add it to a running domain: in the store, served, ready for the guest. What was begun is taken
 * back if that fails.
 */
int attach(uint32_t domid, const struct device *d);
/* The line stands in the domain's saved config from now on, if it has one. */
void remember(uint32_t domid, const char *type, const char *line);
/* The line with this word (devid=0, vdev=xvda) does not any more. */
void forget(uint32_t domid, const char *type, const char *word);

#endif
