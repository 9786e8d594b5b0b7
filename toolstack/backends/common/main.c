/* SPDX-License-Identifier: MIT */
/* A backend's start: NAME [--state FD] DOMID DEVID */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <xen/io/xenbus.h>

#include "hypercalls/pvdom/version.h"
#include "toolstack/backends/common/backend.h"

static void usage(FILE *to, const struct backend *be)
{
	fprintf(to,
		"usage: %s [--state FD] DOMID DEVID\n%s\n"
		"pvd starts it. --state: a memfd that outlives this process, for the next one.\n"
		"$PAVANE_RUNDIR says which pvd and xenstored it belongs to.\n",
		be->name, be->help);
}

static bool number(const char *text, uint32_t max, uint32_t *value)
{
	char *end;
	unsigned long v = text ? strtoul(text, &end, 10) : 0;

	if (!text || text[0] < '0' || text[0] > '9' || *end || v > max)
		return false;
	*value = v;
	return true;
}

static void parse(int argc, char **argv, const struct backend *be, struct dev *d, int *state)
{
	uint32_t fd;
	int at = 1;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout, be);
		exit(0);
	}
	if (argc > 3 && !strcmp(argv[1], "--state") && number(argv[2], 1U << 20, &fd)) {
		*state = fd;
		at = 3;
	}
	if (argc == at + 2 && number(argv[at], 0x7fef, &d->domid) &&
	    number(argv[at + 1], UINT32_MAX, &d->devid))
		return;
	usage(stderr, be);
	exit(2);
}

int backend_main(int argc, char **argv, const struct backend *be)
{
	static struct dev dev;
	struct dev *d = &dev;
	int state = -1;

	if (version_asked(be->name, argc, argv))
		return 0;
	d->be = be;
	d->epfd = -1;
	parse(argc, argv, be, d, &state);
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGPIPE, SIG_IGN);
	if (loop_open(d) || state_open(d, state) || store_open(d) || ring_open(d))
		return 1;
	if (be->open(d)) {
		dev_fail(d, "the device could not be opened");
		d->hopeless = true;
	}
	loop_measure(d);
	if (privileges_drop(d) || store_watch(d) || sandbox_enter(d))
		return 1;
	if (!d->failed && state_was_connected(d))
		store_resume(d);
	else if (!d->failed && d->state == XenbusStateConnected)
		dev_fail(d, "nothing is known of the rings that were connected");
	store_step(d);
	loop_run(d);
	return 0;
}
