/* SPDX-License-Identifier: MIT */
/*
 * What a kernel on Xen has for its drivers, once for all of them: the store, the grant table, ports
 * with handlers. (Of the rest, traps, console and boot, pv-guest's library is the model.)
 */
#ifndef XEN_H
#define XEN_H

#include <pavane/event.h>
#include <pavane/grant.h>
#include <pavane/xenbus.h>

#define PAGE 4096

extern struct pv_xs store;
extern struct pv_grants grants;
extern struct shared_info pv_shared_info;

/* This kernel has one vCPU. */
#define VCPU (&pv_shared_info.vcpu_info[0])

/* The machine frame of a page of the image or of memory. */
xen_pfn_t frame_of(const void *page);
/* Calls the handler, with upcalls disabled, for each event of the port; NULL for no more. */
void port_enable(evtchn_port_t port, void (*handler)(void));

#endif
