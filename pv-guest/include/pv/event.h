/* SPDX-License-Identifier: MIT */
/* Event channels, two-level ABI. */
#ifndef PV_EVENT_H
#define PV_EVENT_H

#include <pv/arch.h>

typedef void (*event_handler_t)(unsigned int port, void *data);

#define EVENT_PORTS 1024

void event_init(void);
/* Attaches a handler and unmasks the port; a NULL handler masks it. */
void event_bind(unsigned int port, event_handler_t handler, void *data);
void event_mask(unsigned int port);
void event_unmask(unsigned int port);
bool event_is_pending(unsigned int port);
bool event_is_masked(unsigned int port);
void event_clear(unsigned int port);
long event_send(unsigned int port);
long event_close(unsigned int port);
/* These return a port, or -errno. A virq or an IPI is bound to the vCPU that asks for it. */
long event_bind_virq(unsigned int virq);
long event_bind_ipi(void);
long event_alloc_unbound(domid_t remote);
/* What we are called; nobody says so outright, but a port that waits for ourselves tells. */
domid_t own_domid(void);

/* Called at the end of each upcall with upcalls masked; the scheduler's door. */
extern void (*event_upcall_exit)(struct trap_regs *regs);
extern unsigned long event_upcalls;
extern unsigned long event_counts[EVENT_PORTS];

#endif
