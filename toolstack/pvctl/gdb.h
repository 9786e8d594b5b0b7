/* SPDX-License-Identifier: MIT */
/* pvctl gdb: the domain side of rsp.h's target. */
#ifndef PAVANE_GDB_H
#define PAVANE_GDB_H

#include "toolstack/pvctl/pvctl.h" /* first: it says which of Xen's headers */
#include "toolstack/pvctl/rsp.h"

#include <xencall.h>
#include <xenevtchn.h>

struct debuggee {
	struct rsp rsp;
	uint32_t domid;
	unsigned vcpus;
	xencall_handle *call;
	void *buf; /* of call: a domctl, and a page behind it */
	xenevtchn_handle *evtchn;
	evtchn_port_t stopped, ended; /* VIRQ_DEBUGGER, VIRQ_DOM_EXC */
	int out;		      /* to gdb */
	bool kill;
};

/*
 * Stop the domain and become its debugger: true, or a line and false. It runs on, as if nothing had
 * been, once debuggee_close() has been called or this process has ended. At most once at a time.
 */
bool debuggee_open(struct debuggee *d, uint32_t domid, int out);
void debuggee_close(struct debuggee *d);
/* To poll; readable: debuggee_event(), which tells d->rsp what there is to tell. */
int debuggee_fd(struct debuggee *d);
void debuggee_event(struct debuggee *d);

#endif
