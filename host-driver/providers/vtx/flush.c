/* SPDX-License-Identifier: MIT */
/*
 * Roots, flushes and kicks of vCPUs, also of others.
 *
 * The guest's roots have PCID 1 (kernel) and 2 (user), the monitor's has 0. A flush is a word in
 * the vCPU's state that its next way to the guest takes notice of. One that is in the guest is
 * kicked; the switcher says that it is in the guest before it looks at the word, and we set the
 * word before we look whether it is: so one of the two sees the other.
 */
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-driver/providers/vtx/vtx.h"

#define PCID_KERNEL 1
#define PCID_USER   2
#define SPINS	    200

pid_t vtx_process; /* getpid() is not in the sandbox's list */

void vtx_kick(struct vcpu *v)
{
	syscall(SYS_tgkill, vtx_process, v->tid, SIGUSR1);
}

void vtx_root_changed(struct vcpu *v)
{
	struct vtx_state *s = state_of(v);

	s->cr3[1] = v->cr3_mfn << PAGE_SHIFT | (s->keep ? PCID_KERNEL : 0);
	s->cr3[0] = v->user_cr3_mfn << PAGE_SHIFT | (s->keep ? PCID_USER : 0);
	v->flushed_at = v->d->tlb_clock;
}

static void wait_outside(struct vcpu *v)
{
	const struct vtx_state *s = state_of(v);
	const uint64_t seen = s->entries;

	if (!s->in_guest)
		return;
	vtx_kick(v);
	for (unsigned i = 0; s->in_guest && s->entries == seen; i++)
		if (i < SPINS)
			__builtin_ia32_pause();
		else
			sched_yield();
}

/* A single page counts as all: a vCPU of a guest that has only one needs no other's help. */
void vtx_flush(struct domain *d, uint32_t vcpus, uint64_t va)
{
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];

		if (!(vcpus >> i & 1) || !v || !state_of(v))
			continue;
		__atomic_store_n(&state_of(v)->flush, 1, __ATOMIC_SEQ_CST);
		if (v != current)
			wait_outside(v);
	}
}
