/* SPDX-License-Identifier: MIT */
/* pvctl gdb: the domain side of rsp.h's target. */
#ifndef PAVANE_GDB_H
#define PAVANE_GDB_H

#include "toolstack/pvctl/pvctl.h" /* first: it says which of Xen's headers */
#include "toolstack/pvctl/rsp.h"

#include "toolstack/pvd/client.h"

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
	/* What PVD_DOMCTL_point has named by these numbers. */
	struct debuggee_point {
		enum rsp_point kind;
		uint64_t va;
	} point[PVD_POINTS];
	/* Met on a vCPU while gdb was told of another one's: it is yet to be told. */
	struct debuggee_point met[RSP_THREADS];
	bool kill;
};

/*
 * Stop the domain and become its debugger: true, or a line and false. It runs on, as if nothing had
 * been, once debuggee_close() has been called or this process has ended. At most once at a time.
 */
bool debuggee_open(struct debuggee *d, uint32_t domid, int out);
void debuggee_close(struct debuggee *d);
/* Can this domain have hardware breakpoints and watchpoints? No debugger's question. */
bool debuggee_watches(uint32_t domid);

/* gdb_vectors.c: x87 and SSE registers from the 512 bytes of a context, and back. */
void vectors_get(struct rsp_regs *r, const uint8_t *image);
void vectors_put(const struct rsp_regs *r, uint8_t *image);
/* To poll; readable: debuggee_event(), which tells d->rsp what there is to tell. */
int debuggee_fd(struct debuggee *d);
void debuggee_event(struct debuggee *d);
/* To poll for its end: debuggee_lost(). No event tells of it. */
int debuggee_broker(struct debuggee *d);
void debuggee_lost(struct debuggee *d);

#endif
