/* SPDX-License-Identifier: MIT */
/*
 * Contexts, of a vCPU's kernel and its last users, and their flushes.
 *
 * A TLB is emptied by what the guest asks of the monitor. A vCPU empties its own. Of another one it
 * sets `flush`, which that vCPU looks at after it said in_guest and before it enters the cache; if
 * it is in there, we wait until it has left. So when a flush returns nobody uses what was before.
 */
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-driver/providers/process/translate/context.h"
#include "host-driver/providers/process/translate/trace.h"
#include "host-driver/providers/process/translate/windows.h"
#include "hypercalls/monitor/mm.h"

#define SPINS	   200
#define KICK_EVERY (1U << 14)

bool tr_fences = true;

void context_clear(struct tr_context *c)
{
	pages_clear(c);
	entries_clear(c, c->filled);
	ibtc_clear(c);
	memset(c->code_pages, 0, sizeof(c->code_pages));
	memset(c->low, 0, sizeof(c->low));
	c->low_code = false;
}

void mmu_context_init(struct tr_context *c)
{
	c->tlb = c->own;
	entry_clear(c, 0);
	entry_clear(c, TLB_SIZE - 1);
	context_clear(c);
	target_clear(c, 0);
	target_clear(c, IBTC_SIZE - 1);
}

static bool was_another(const struct domain *d, const struct tr_context *c, uint64_t root)
{
	return c->root != root || root >= d->nr_frames || d->frame[root].lost_at > c->since;
}

static void context_reset(struct domain *d, struct tr_context *c, uint64_t root)
{
	context_clear(c);
	c->seen = changes_end();
	c->since = d->tlb_clock;
	c->root = root;
	c->window = c->samples = 0;
	c->cold = false;
}

/* The pool's for user code of this root, or the one that was not used for longest, emptied. */
static struct tr_context *user_context(struct vcpu *v, uint64_t root)
{
	struct tr *t = v->provider;
	struct tr_context *c = t->pool + 1, *last = NULL;

	for (unsigned i = 1; i < CONTEXTS; i++, c++) {
		if (c->root == root)
			break;
		if (c != t->now[0] && (!last || c->used < last->used))
			last = c;
	}
	if (c == t->pool + CONTEXTS)
		c = last;
	/* A frame that was no table meanwhile is another root. */
	if (was_another(v->d, c, root))
		context_reset(v->d, c, root);
	c->used = t->entries;
	return c;
}

static const uint64_t *upper_half(struct vcpu *v, uint64_t root)
{
	const uint64_t *table = frame_ptr(v->d, root);

	return table ? table + UPPER_FIRST : NULL;
}

/*
 * The kernel's next root shows the same upper half, as all of Linux' do, and its code is there:
 * then only what is known of the lower half goes. The tables of the upper half cannot have changed
 * unseen, for one root or the other was loaded all the time: unless the last one was lost
 * meanwhile, as in a multicall that loads a third one between them.
 */
static bool goes_on(struct vcpu *v, struct tr_context *c)
{
	const uint64_t *upper = upper_half(v, v->cr3_mfn);

	if (c->root == INVALID_MFN || v->d->frame[c->root].lost_at > c->since || c->low_code ||
	    !upper)
		return false;
	for (unsigned i = 0; i < UPPER_ENTRIES; i++)
		if (c->upper[i] != upper[i])
			return false;
	entries_clear(c, c->low);
	memset(c->low, 0, sizeof(c->low));
	c->root = v->cr3_mfn;
	c->since = v->d->tlb_clock;
	return true;
}

static void kernel_context(struct vcpu *v, struct tr_context *c)
{
	const uint64_t *upper = upper_half(v, v->cr3_mfn);
	const uint64_t changes = __atomic_load_n(&l4_changes, __ATOMIC_ACQUIRE);

	if (changes == c->l4_changes && (!was_another(v->d, c, v->cr3_mfn) || goes_on(v, c)))
		return;
	context_reset(v->d, c, v->cr3_mfn);
	c->l4_changes = changes;
	for (unsigned i = 0; upper && i < UPPER_ENTRIES; i++)
		c->upper[i] = upper[i];
	if (upper)
		roots_loaded(v, upper);
	tr.upper = upper_bind(v, upper);
}

/* ---- flushes ---- */

/* mmu_alone_begin(): who comes for a flush meanwhile stays until it is over. */
static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;
static volatile bool one_alone;

static void wait_while_alone(void)
{
	if (!__atomic_load_n(&one_alone, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&alone);
	pthread_mutex_unlock(&alone);
}

/* Whatever the guest asked to be flushed, of whichever root is loaded now. */
void mmu_flush_self(struct vcpu *v)
{
	struct tr *t = v->provider;

	if (tracing(TRACE_FLUSHES))
		trace_line(v, "flush");
	__atomic_store_n(&t->flush, 0, __ATOMIC_SEQ_CST);
	kernel_context(v, t->now[1]);
	if (was_another(v->d, t->now[0], v->user_cr3_mfn))
		t->now[0] = user_context(v, v->user_cr3_mfn);
	for (unsigned i = 0; i < 2; i++) {
		catch_up(v->d, t->now[i]);
		if (t->now[i]->ts != v->fpu_ts)
			ibtc_clear(t->now[i]);
		t->now[i]->ts = v->fpu_ts;
	}
	t->context = t->now[v->kernel_mode];
	window_follow(v, t->now[0]);
	wait_while_alone();
}

static void wait_outside(struct vcpu *v, const struct tr *t)
{
	const uint64_t seen = t->entries;

	if (!t->in_guest)
		return;
	for (unsigned i = 0; t->in_guest && t->entries == seen; i++) {
		if (i % KICK_EVERY ==
		    0) /* once is enough; who relied on that would wait for ever */
			v->d->provider->kick(v);
		if (i < SPINS)
			__builtin_ia32_pause();
		else
			sched_yield();
	}
}

bool mmu_someone_kicked(const struct domain *d)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		const struct tr *t = d->vcpu[i] ? d->vcpu[i]->provider : NULL;

		if (t && t != &tr && t->kicked && t->in_guest)
			return true;
	}
	return false;
}

/* Who said in_guest before it saw `flush` is seen to have said so (tr_enter). */
static void fence_others(void)
{
	if (!tr_fences)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void mmu_flush(struct domain *d, uint32_t vcpus, uint64_t va)
{
	bool others = false;

	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];
		struct tr *t = v ? v->provider : NULL;

		if (!(vcpus >> i & 1) || !t)
			continue;
		__atomic_store_n(&t->flush, 1, __ATOMIC_RELAXED);
		others |= v != current;
	}
	if (!others)
		return;
	fence_others();
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = d->vcpu[i];
		struct tr *t = v ? v->provider : NULL;

		if (vcpus >> i & 1 && t && v != current)
			wait_outside(v, t);
	}
}

void mmu_alone_begin(struct vcpu *v)
{
	pthread_mutex_lock(&alone);
	__atomic_store_n(&one_alone, true, __ATOMIC_SEQ_CST);
	mmu_flush(v->d, ~(1U << v->id), 0);
}

void mmu_alone_end(void)
{
	__atomic_store_n(&one_alone, false, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&alone);
}

void mmu_forget_page(struct domain *d, uint64_t va)
{
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		struct tr *t = d->vcpu[i]->provider;

		for (unsigned k = 0; t && k < CONTEXTS && t->pool[k].tlb; k++)
			entry_clear(&t->pool[k], tlb_index(&t->pool[k], va));
	}
}

void mmu_root_changed(struct vcpu *v)
{
	struct tr *t = v->provider;

	if (tracing(TRACE_FLUSHES))
		trace_line(v, "root %lx %lx", v->cr3_mfn, v->user_cr3_mfn);
	if (t)
		__atomic_store_n(&t->flush, 1, __ATOMIC_SEQ_CST);
	v->flushed_at = v->d->tlb_clock;
}

void mmu_fences_init(void)
{
	tr_fences = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
}

/* A table that no guest has, for it to see; its own walks never get that far. */
int mmu_memory(struct domain *d)
{
	d->l4_slot[M2P_SLOT - 256] = d->nr_frames << PAGE_SHIFT | PTE_P | PTE_US | PTE_A;
	return 0;
}

int mmu_init(struct vcpu *v)
{
	struct tr_context *c = mmap(NULL, CONTEXTS * sizeof(*c), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (c == MAP_FAILED)
		return -ENOMEM;
	tr.pool = tr.now[1] = c;
	tr.context = tr.now[0] = c + 1;
	c->tlb = tr_kernel_tlb;
	tr.page_mask = PAGE_MASK;
	tr.bits32 = 31;
	tr.bits64 = 63;
	tr.tlb_mask = (uint64_t)(TLB_SIZE - 1) << PAGE_SHIFT;
	tr.kernel_tlb_mask = (uint64_t)(KERNEL_TLB_SIZE - 1) << PAGE_SHIFT;
	tr.ret_mask = (RET_SIZE - 1) << 3;
	if (window_thread_init(v))
		return -ENOMEM;
	tr.window_mask = WINDOW_MASK | -(1UL << 47); /* of user's addresses (lower_window.c) */
	tr.window_bits = WINDOW_MASK;
	tr.ibtc_mask = (uint64_t)(IBTC_SIZE - 1) << IBTC_SHIFT;
	tr.flush = 1;
	__atomic_store_n(&v->provider, &tr, __ATOMIC_RELEASE);
	return 0;
}

/* Not before it is needed: a domain that another provider runs has this one ready as well. */
void mmu_start(void)
{
	for (unsigned i = 0; i < CONTEXTS; i++) {
		if (i)
			tr.pool[i].tlb = tr.pool[i].own;
		tr.pool[i].root = INVALID_MFN;
		entry_clear(&tr.pool[i], 0);
		entry_clear(&tr.pool[i], tlb_size(&tr.pool[i]) - 1);
		target_clear(&tr.pool[i], 0);
		target_clear(&tr.pool[i], IBTC_SIZE - 1);
		tr.pool[i].pages_first = PAGE_IDS;
	}
	context_clear(tr.now[0]);
	context_clear(tr.now[1]);
}
