/* SPDX-License-Identifier: MIT */
/*
 * Between evtchn.c (ports and their shared bits) and evtchn_op.c (the hypercall).
 */
#ifndef PAVANE_EVTCHN_H
#define PAVANE_EVTCHN_H

#include "hypercalls/monitor/monitor.h"

static inline bool bit_set(volatile void *words, uint32_t bit)
{
	bool old;

	__asm__ volatile("lock btsq %2, %0"
			 : "+m"(((volatile uint64_t *)words)[bit / 64]), "=@ccc"(old)
			 : "r"((uint64_t)(bit % 64))
			 : "memory");
	return old;
}

static inline bool bit_clear(volatile void *words, uint32_t bit)
{
	bool old;

	__asm__ volatile("lock btrq %2, %0"
			 : "+m"(((volatile uint64_t *)words)[bit / 64]), "=@ccc"(old)
			 : "r"((uint64_t)(bit % 64))
			 : "memory");
	return old;
}

static inline bool bit_test(const volatile void *words, uint32_t bit)
{
	return ((const volatile uint64_t *)words)[bit / 64] >> (bit % 64) & 1;
}

static inline bool port_valid(const struct domain *d, uint64_t port)
{
	return port && port < d->max_ports;
}

static inline struct vcpu *vcpu_by_id(const struct domain *d, uint64_t id)
{
	return id < d->nr_vcpus ? d->vcpu[id] : NULL;
}

/* The lowest free port, taken in `state` for vCPU `vcpu`; -ENOSPC. d->lock held. */
long evtchn_port_alloc(struct domain *d, enum port_state state, uint32_t vcpu);
void evtchn_port_free(struct domain *d, uint32_t port);
/* Stop watching and close the descriptors of a port. d->lock held. */
void evtchn_port_drop_fds(struct domain *d, struct port *p);
/* Make the vCPU take an upcall: its selector bit for the word of `port`, and the flag. */
void evtchn_mark_pending(struct vcpu *v, uint32_t port);
/* A VIRQ of the domain rather than of each vCPU. */
bool virq_is_global(uint32_t virq);

#endif
