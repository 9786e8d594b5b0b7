/* SPDX-License-Identifier: MIT */
/*
 * A debugger of the toolstack's: guest memory by its eyes, breakpoints, single steps.
 *
 * What it asks for stops the domain instead of reaching the guest: an `int3` that it planted and
 * the #DB of a step that it began. All others stay the guest's own. Stopping is in sched.c.
 *
 * Breakpoints are kept here, not in the toolstack: so the debugger never sees its own bytes, no
 * int3 of the guest's is taken for one of them, and none is left behind when its process dies.
 */
#include "hypercalls/monitor/mm.h"

#define INT3  0xcc
#define PUSHF 0x9c

static struct breakpoint {
	bool set;
	uint8_t byte; /* the guest's */
	uint16_t offset;
	uint64_t mfn, va;
} breakpoints[DEBUG_BREAKPOINTS]; /* d->lock */

static struct breakpoint *breakpoint_at(uint64_t mfn, uint16_t offset)
{
	for (unsigned i = 0; i < DEBUG_BREAKPOINTS; i++)
		if (breakpoints[i].set && breakpoints[i].mfn == mfn &&
		    breakpoints[i].offset == offset)
			return &breakpoints[i];
	return NULL;
}

/* The frame of va, by the tables of v's mode, else by those of the other one. */
static bool frame_of(struct vcpu *v, uint64_t va, uint64_t *mfn)
{
	const uint64_t e = walk_any(v, va);

	*mfn = pte_mfn(e);
	return e & PTE_P;
}

static size_t in_page(uint64_t va, size_t n)
{
	const size_t left = PAGE_SIZE - (va & (PAGE_SIZE - 1));

	return n < left ? n : left;
}

/*
 * Up to n bytes at va, as they are without breakpoints; returns how many there are. d->lock held.
 */
size_t debug_read(struct vcpu *v, uint64_t va, uint8_t *buf, size_t n)
{
	size_t done = 0;
	uint64_t mfn;

	while (done < n && frame_of(v, va + done, &mfn)) {
		const size_t len = in_page(va + done, n - done);
		const uint16_t offset = (va + done) & (PAGE_SIZE - 1);

		memcpy(buf + done, (uint8_t *)frame_ptr(v->d, mfn) + offset, len);
		for (unsigned i = 0; i < DEBUG_BREAKPOINTS; i++) {
			const struct breakpoint *b = &breakpoints[i];

			if (b->set && b->mfn == mfn && (size_t)(b->offset - offset) < len)
				buf[done + (b->offset - offset)] = b->byte;
		}
		done += len;
	}
	return done;
}

/* Memory of the guest's own that is no page or descriptor table: those are the monitor's to write.
 */
static uint8_t *write_begin(struct domain *d, uint64_t mfn)
{
	if (!frame_is_ram(d, mfn) || frame_get_type(d, mfn, FT_WRITABLE))
		return NULL;
	frame_written(d, mfn);
	return frame_ptr(d, mfn);
}

static void write_end(struct domain *d, uint64_t mfn)
{
	frame_put_type(d, mfn, FT_WRITABLE);
}

/* The same for stores, whether or not the guest may write there; breakpoints stay. */
size_t debug_write(struct vcpu *v, uint64_t va, const uint8_t *buf, size_t n)
{
	size_t done = 0;
	uint64_t mfn;

	while (done < n && frame_of(v, va + done, &mfn)) {
		const size_t len = in_page(va + done, n - done);
		const uint16_t offset = (va + done) & (PAGE_SIZE - 1);
		uint8_t *page = write_begin(v->d, mfn);

		if (!page)
			break;
		for (size_t i = 0; i < len; i++) {
			struct breakpoint *b = breakpoint_at(mfn, offset + i);

			*(b ? &b->byte : &page[offset + i]) = buf[done + i];
		}
		write_end(v->d, mfn);
		done += len;
	}
	return done;
}

/* A page that the guest has used for something else since keeps what it has. */
static void breakpoint_remove(struct domain *d, struct breakpoint *b)
{
	uint8_t *page = write_begin(d, b->mfn);

	b->set = false;
	if (!page)
		return;
	if (page[b->offset] == INT3)
		page[b->offset] = b->byte;
	write_end(d, b->mfn);
}

static int breakpoint_clear(struct vcpu *v, uint64_t va)
{
	struct breakpoint *b = NULL;
	uint64_t mfn;

	if (frame_of(v, va, &mfn))
		b = breakpoint_at(mfn, va & (PAGE_SIZE - 1));
	/* Its page may be elsewhere by now, or nowhere. */
	for (unsigned i = 0; !b && i < DEBUG_BREAKPOINTS; i++)
		if (breakpoints[i].set && breakpoints[i].va == va)
			b = &breakpoints[i];
	if (!b)
		return -ENOENT;
	breakpoint_remove(v->d, b);
	return 0;
}

static int breakpoint_set(struct vcpu *v, uint64_t va)
{
	struct breakpoint *b = NULL;
	uint64_t mfn;
	uint8_t *page;

	if (!frame_of(v, va, &mfn))
		return -EFAULT;
	if (breakpoint_at(mfn, va & (PAGE_SIZE - 1)))
		return 0;
	for (unsigned i = 0; !b && i < DEBUG_BREAKPOINTS; i++)
		if (!breakpoints[i].set)
			b = &breakpoints[i];
	if (!b)
		return -ENOSPC;
	page = write_begin(v->d, mfn);
	if (!page)
		return -EFAULT;
	*b = (struct breakpoint){.set = true, .offset = va & (PAGE_SIZE - 1), .mfn = mfn, .va = va};
	b->byte = page[b->offset];
	page[b->offset] = INT3;
	write_end(v->d, mfn);
	return 0;
}

/*
 * Plant or remove an int3 at va, in every address space that has the page. d->lock held. -EFAULT:
 * nothing there that can be written; -ENOSPC: too many; -ENOENT.
 */
int debug_breakpoint(struct vcpu *v, uint64_t va, bool set)
{
	if (!v->d->debugging)
		return -EINVAL;
	return set ? breakpoint_set(v, va) : breakpoint_clear(v, va);
}

/* v runs one instruction once it runs again, or is not to. It must stand still. */
int debug_step(struct vcpu *v, bool on)
{
	if (!v->parked)
		return -EBUSY;
	if (on == v->stepping)
		return 0;
	v->stepping = on;
	v->regs.rflags = on ? v->regs.rflags | FLAG_TF : v->regs.rflags & ~FLAG_TF;
	v->step_rip = v->regs.rip;
	if (v->d->provider->load_debug)
		v->d->provider->load_debug(v);
	return 0;
}

/* pushf has stored the flags of the step. */
static void hide_step(struct vcpu *v)
{
	const uint8_t *insn = guest_ptr(v, v->step_rip, 1);
	uint64_t flags;

	if (!insn || *insn != PUSHF || v->regs.rip != v->step_rip + 1 ||
	    copy_from_guest(v, &flags, v->regs.rsp, sizeof(flags)))
		return;
	flags &= ~FLAG_TF;
	copy_to_guest(v, v->regs.rsp, &flags, sizeof(flags));
}

/*
 * The instruction is done, or led elsewhere: an exception's handler, a hypercall. v stops before
 * the guest's next one.
 */
void debug_stepped(struct vcpu *v)
{
	v->stepping = false;
	v->regs.rflags &= ~FLAG_TF;
	hide_step(v);
	if (v->d->provider->load_debug)
		v->d->provider->load_debug(v);
	debug_stop(v, VECTOR_DB);
}

/* rip is behind an int3 of the debugger's, or behind one that it has removed meanwhile. */
static bool at_breakpoint(struct vcpu *v)
{
	const uint64_t va = v->regs.rip - 1;
	const uint8_t *byte = guest_ptr(v, va, 1);
	uint64_t mfn;
	bool found;

	pthread_mutex_lock(&v->d->lock);
	found = frame_of(v, va, &mfn) && breakpoint_at(mfn, va & (PAGE_SIZE - 1));
	pthread_mutex_unlock(&v->d->lock);
	return found || (byte && *byte != INT3 && *byte != VECTOR_BP); /* `int $3` ends so */
}

/*
 * #BP or #DB in guest code; `error` of #DB is what DR6 says. True: it was the debugger's, and
 * v->regs is at the breakpoint or behind the step.
 */
bool debug_trap(struct vcpu *v, unsigned vector, uint64_t error)
{
	if (vector == VECTOR_DB && v->stepping && error & DR6_BS) {
		debug_stepped(v);
		return true;
	}
	if (vector != VECTOR_BP || !v->d->debugged || !at_breakpoint(v))
		return false;
	v->regs.rip--;
	debug_stop(v, VECTOR_BP);
	return true;
}

/*
 * The debugger comes, or goes and leaves no trace: no breakpoint, no step, no vCPU held. d->lock
 * held.
 */
void debug_attach(struct domain *d, bool on)
{
	d->debugging = on;
	if (on) {
		d->debugged = true;
		return;
	}
	debug_points = 0;
	for (unsigned i = 0; i < DEBUG_BREAKPOINTS; i++)
		if (breakpoints[i].set)
			breakpoint_remove(d, &breakpoints[i]);
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		debug_step(d->vcpu[i], false); /* one that runs will end its step by itself */
		d->vcpu[i]->debug_event = 0;
		debug_hold(d->vcpu[i], false);
	}
}

bool debug_still(const struct domain *d)
{
	for (uint32_t i = 0; i < d->nr_vcpus; i++)
		if (!vcpu_must_park(d->vcpu[i]) ||
		    !__atomic_load_n(&d->vcpu[i]->parked, __ATOMIC_SEQ_CST))
			return false;
	return true;
}

/* Does every vCPU stand still, and whose event (0: none) is why? Each event is told once. */
bool debug_report(struct domain *d, uint32_t *vcpu, uint32_t *event)
{
	const bool still = debug_still(d);

	*event = 0;
	for (uint32_t i = 0; i < d->nr_vcpus && !*event; i++) {
		*event = __atomic_exchange_n(&d->vcpu[i]->debug_event, 0, __ATOMIC_SEQ_CST);
		*vcpu = i;
	}
	return still;
}
