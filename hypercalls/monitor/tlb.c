/* SPDX-License-Identifier: MIT */
/*
 * When may something still use what a page table said before? Xen's answer, with a clock: a frame
 * remembers when it lost its type, a vCPU when it last flushed, and a frame gets another type only
 * when every vCPU has flushed since. What a CPU is to guest code, copy.c is to a vCPU's own calls:
 * their writes to guest memory must have ended as well. d->lock is held by every caller.
 */
#include <sched.h>

#include "hypercalls/monitor/mm.h"

void mirror_invalidate(struct domain *d, uint64_t va)
{
	if (d->provider->invalidate)
		d->provider->invalidate(d, va);
}

void tlb_flush(struct domain *d, uint32_t vcpus, uint64_t va)
{
	if (!d->provider->flush)
		return;
	if (va == FLUSH_ALL)
		for (uint32_t i = 0; i < d->nr_vcpus; i++)
			if (vcpus >> i & 1)
				d->vcpu[i]->flushed_at = d->tlb_clock;
	d->provider->flush(d, vcpus, va);
}

void tlb_note_loss(struct domain *d, struct frame *f)
{
	f->lost_at = ++d->tlb_clock;
	f->last_type = f->type;
}

/* They are short, and wait for nothing that we hold. */
static void writes_finish(const struct domain *d)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* they announce themselves, then look at tables */
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		const struct vcpu *v = d->vcpu[i];
		uint32_t seen;

		if (!v || v == current)
			continue;
		seen = __atomic_load_n(&v->writes, __ATOMIC_ACQUIRE);
		while (seen & 1 && __atomic_load_n(&v->writes, __ATOMIC_ACQUIRE) == seen)
			sched_yield();
	}
}

void tlb_flush_for_retype(struct domain *d, const struct frame *f, enum frame_type type)
{
	uint32_t vcpus = 0;

	if (f->last_type == FT_NONE || f->last_type == type)
		return;
	for (uint32_t i = 0; i < d->nr_vcpus && d->provider->flush; i++)
		if (d->vcpu[i] && d->vcpu[i]->flushed_at < f->lost_at)
			vcpus |= 1U << i;
	if (vcpus)
		tlb_flush(d, vcpus, FLUSH_ALL);
	writes_finish(d);
}

/* The bitmap of MMUEXT_*_MULTI and UVMF_MULTI: 32 vCPUs at most, so only its first bytes count. */
int tlb_vcpus(struct vcpu *v, uint64_t bitmap, uint32_t *vcpus)
{
	const size_t bytes = (v->d->nr_vcpus + 7) / 8;

	*vcpus = 0;
	return copy_from_guest(v, vcpus, bitmap, bytes ? bytes : 1);
}
