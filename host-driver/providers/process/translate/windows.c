/* SPDX-License-Identifier: MIT */
/*
 * Windows for hot user code. A window shows what the tables of one user root map (window_pages.c),
 * at the low bits of its addresses; vCPUs that run the same root share it. The timer's kicks say
 * what is hot. What is new is expensive in a window: the fault is a signal, and it is mapped twice.
 * So user code that has many page faults goes by the TLB until it has not.
 *
 * Two entries of the root whose addresses have the same low bits cannot be told apart: such a root
 * has no window. An access to an entry that is not present, by an address with the low bits of one
 * that is, finds that: the one thing that differs from a CPU. It is a page of the same process.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/context.h"
#include "host-driver/providers/process/translate/windows.h"
#include "hypercalls/monitor/mm.h"

#define HOT	    3	  /* kicks */
#define QUIET_NS    40000 /* without page faults, and user code may go by a window */
#define FAULT_NS    20000 /* from one page fault to the next: closer are too many */
#define STORM	    16	  /* if there are so many */
#define MAX_WAIT_NS 1000000
#define PREMAP	    256	  /* mappings made at once */
#define MAX_ODD	    2000  /* accesses by steps, and as many as have been mapped */
#define STORE_NS    50000 /* what a store to code costs: two faults' time, two mappings' */
#define DEBT_NS	    (1000 * STORE_NS)
#define RESTS_NS    1000000000 /* without use, and a window may be another root's */

struct window window[WINDOWS];
static uint64_t turns;
static enum { TIERS_ALL, TIERS_TLB, TIERS_WINDOW } tiers;
static bool possible;
static __thread timer_t timer;

/*
 * The first window is at 0, where a segment base costs nothing; the others where neither a kernel's
 * upper half of up to 8 TiB of memory (upper.c) nor the monitor is.
 */
#define FIRST_ADDRESS 0x10000UL /* vm.mmap_min_addr */
#define OTHERS	      0x110000000000UL
#define STRIDE	      (WINDOW_SIZE + 2 * WINDOW_GUARD)

void windows_init(void)
{
	const char *wanted = getenv("PAVANE_TIERS");

	if (wanted && !strcmp(wanted, "tlb"))
		tiers = TIERS_TLB;
	else if (wanted && !strcmp(wanted, "window"))
		tiers = TIERS_WINDOW;
	for (unsigned i = 0; i < WINDOWS; i++) {
		window[i].base = i ? OTHERS + (i - 1) * STRIDE + WINDOW_GUARD : 0;
		window[i].root = INVALID_MFN;
	}
	possible = tiers != TIERS_TLB && spans_possible();
}

uint64_t window_past(const struct domain *d, uint64_t tsc)
{
	const uint64_t cycles = __builtin_ia32_rdtsc() - tsc;
	const uint64_t scaled = d->tsc_shift < 0 ? cycles >> -d->tsc_shift : cycles << d->tsc_shift;

	return (unsigned __int128)scaled * d->tsc_mul >> 32;
}

/* ns since the calling vCPU's last page fault. */
static uint64_t fault_past(const struct domain *d)
{
	return window_past(d, tr.faulted_at);
}

int window_thread_init(const struct vcpu *v)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};

	if (!possible)
		return 0;
	ev._sigev_un._tid = v->tid;
	return timer_create(CLOCK_MONOTONIC, &ev, &timer) ? -errno : 0;
}

/* Does somebody want to see each block, or each access? Then user code goes by the TLB. */
static bool looked_at(void)
{
	return check_on || debug_points;
}

bool windows_possible(void)
{
	return possible;
}

bool windows_used(void)
{
	return turns;
}

uint64_t window_base(unsigned number)
{
	return window[number - 1].base;
}

/* ---- whose they are; d->lock held ---- */

void window_empty(struct domain *d, struct window *w)
{
	if (w->reserved)
		spans_forget(d, window_number(w));
	w->shown = 0;
}

static bool window_reserve(struct window *w)
{
	const uint64_t from = w->base ? w->base - WINDOW_GUARD : FIRST_ADDRESS;

	if (!w->reserved && !w->useless) {
		w->reserved =
			spans_reserve(window_number(w), from, w->base + WINDOW_SIZE + WINDOW_GUARD);
		w->useless = !w->reserved; /* somebody is there, and stays */
	}
	return w->reserved;
}

bool window_fits(struct domain *d, uint64_t root)
{
	const uint64_t *table = frame_ptr(d, root);
	uint8_t taken = 0;

	for (unsigned i = 0; table && i < L4_LOW; i++) {
		const uint8_t bit = 1 << i % (WINDOW_SIZE >> L4_SHIFT);

		if (!(table[i] & PTE_P))
			continue;
		if (taken & bit)
			return false;
		taken |= bit;
	}
	return table;
}

/*
 * To fill a window takes longer than code that takes its turn with others has: it stays where it is
 * while its root is used again and again, and who comes too late goes by the TLB meanwhile.
 */
static bool rests(const struct domain *d, const struct window *w)
{
	return !w->vcpus && (w->root == INVALID_MFN || tiers == TIERS_WINDOW ||
			     window_past(d, w->used) > RESTS_NS);
}

static uint64_t last_use(const struct window *w)
{
	return w->root == INVALID_MFN ? 0 : w->used;
}

/* The root's, or the one that rests and was not used for longest, emptied; NULL: none. */
static struct window *window_of(struct domain *d, uint64_t root)
{
	struct window *last = NULL;

	for (struct window *w = window; w < window + WINDOWS; w++) {
		if (w->root == root)
			return w;
		if (rests(d, w) && !w->useless && (!last || last_use(w) < last_use(last)) &&
		    window_reserve(w))
			last = w;
	}
	if (!last)
		return NULL;
	window_empty(d, last);
	last->root = root;
	last->turn = ++turns;
	last->odd = 0;
	last->was_full = 0;
	last->debt = 0;
	return last;
}

static void leave(struct vcpu *v)
{
	if (tr.in_window) {
		window[tr.in_window - 1].vcpus &= ~(1U << v->id);
		window[tr.in_window - 1].used = __builtin_ia32_rdtsc();
	}
	tr.in_window = 0;
}

static void enter(struct vcpu *v, unsigned number)
{
	window[number - 1].vcpus |= 1U << v->id;
	window[number - 1].used = __builtin_ia32_rdtsc();
	tr.in_window = number;
}

/* c goes by the TLB from here on, which will have what is used now. */
static void give_up(struct vcpu *v, struct tr_context *c)
{
	leave(v);
	if (c->window) {
		ibtc_clear(c);
		mmu_tlb_empty(c);
	}
	c->window = 0;
	tr.storm = 0;
}

/* What the TLB has is used, and will be. */
static void premap(struct vcpu *v, struct window *w, struct tr_context *c)
{
	const unsigned before = w->shown;

	for (unsigned i = 0; i < TLB_SIZE && w->shown - before < PREMAP; i++) {
		const uint64_t va = -c->tlb[i].read_neg;

		if (in_set(c->filled, i) && va < 1UL << 47)
			window_show(v, w, va & WINDOW_MASK, false);
	}
}

static void take(struct vcpu *v, struct tr_context *c)
{
	struct window *w;

	pthread_mutex_lock(&v->d->lock);
	c->cold = c->root != v->user_cr3_mfn || !window_fits(v->d, c->root);
	w = c->cold ? NULL : window_of(v->d, c->root);
	tr.wait_more = 0;
	if (w) {
		enter(v, window_number(w));
		c->window = window_number(w);
		c->window_turn = w->turn;
		ibtc_clear(c);
		premap(v, w, c);
	}
	pthread_mutex_unlock(&v->d->lock);
}

static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static uint64_t least_ns(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Kicks the calling vCPU's thread after a quiet time; a longer one each time that it was none. */
static void wait_for_quiet(void)
{
	const struct itimerspec in = {.it_value.tv_nsec = QUIET_NS + tr.wait_more};

	tr.waits = true;
	tr.wait_more = least_ns(tr.wait_more + QUIET_NS, MAX_WAIT_NS);
	tr.faults_then = tr.faults;
	tr.ran_then = thread_ns();
	timer_settime(timer, 0, &in, NULL);
}

/* Has it been quiet? The host may have run others for most of the time. */
static bool was_quiet(void)
{
	return tr.faults == tr.faults_then && thread_ns() - tr.ran_then > QUIET_NS / 2;
}

void window_sample(struct vcpu *v)
{
	struct tr_context *c = tr.now[0];
	const bool waited = tr.waits;

	tr.waits = false;
	if (!possible || c->window || c->cold || looked_at())
		return;
	c->samples += !waited && !v->kernel_mode && c->samples < HOT;
	if (c->samples < HOT && tiers != TIERS_WINDOW)
		return;
	if (!v->kernel_mode && !tr.flush && (tiers == TIERS_WINDOW || (waited && was_quiet())))
		take(v, c);
	else if (v->kernel_mode)
		tr.window_due |= waited;
	else
		wait_for_quiet();
}

void window_follow(struct vcpu *v, struct tr_context *c)
{
	const struct window *w;

	if (tr.in_window || c->window) {
		pthread_mutex_lock(&v->d->lock);
		leave(v);
		w = c->window ? &window[c->window - 1] : NULL;
		if (w && w->root == c->root && w->turn == c->window_turn && !looked_at())
			enter(v, c->window);
		else
			give_up(v, c);
		pthread_mutex_unlock(&v->d->lock);
	}
	if (tiers == TIERS_WINDOW && possible && !c->window && !c->cold && !looked_at())
		take(v, c);
}

/* ---- faults ---- */

/* d->lock held. */
static void odd(struct vcpu *v, struct window *w)
{
	if (w->odd++ < MAX_ODD + w->shown && w->root == tr.now[0]->root)
		return;
	tr.now[0]->cold = true;
	give_up(v, tr.now[0]);
}

/*
 * A store to code: its page is now there to be written to, and will not be when it is run again.
 * Who spends more than a tenth of the time with that, and for long, goes by the TLB, by which it is
 * cheaper by far. True: v does from here on.
 */
static bool rewrites(struct vcpu *v, struct window *w)
{
	const uint64_t paid = window_past(v->d, w->stored) / 10;

	w->stored = __builtin_ia32_rdtsc();
	w->debt = (w->debt > paid ? w->debt - paid : 0) + STORE_NS;
	if (w->debt < DEBT_NS || tiers == TIERS_WINDOW)
		return false;
	tr.now[0]->cold = true;
	give_up(v, tr.now[0]);
	return true;
}

/* The guest has a page fault in a window: too many? */
static void stormy(struct vcpu *v)
{
	const uint64_t past = fault_past(v->d);

	tr.storm = (tr.storm > past ? tr.storm - past : 0) + FAULT_NS;
	if (tr.storm < STORM * FAULT_NS || tiers == TIERS_WINDOW)
		return;
	give_up(v, tr.now[0]);
	wait_for_quiet();
}

bool window_fault(struct vcpu *v, uint64_t at, bool write)
{
	struct window *w = &window[tr.now[0]->window - 1];
	enum window_shown how = ODD;

	pthread_mutex_lock(&v->d->lock);
	if (w->root == v->user_cr3_mfn)
		how = window_show(v, w, at - w->base, write);
	tr.missed_in = how == GUESTS ? tr.now[0] : NULL;
	tr.window_due = how == GUESTS;
	if (how == ODD)
		odd(v, w);
	else if (how == GUESTS)
		stormy(v);
	else if (how == SHOWN_CODE && !rewrites(v, w))
		how = SHOWN;
	pthread_mutex_unlock(&v->d->lock);
	tr.missed = at;
	tr.missed_write = write;
	tr.missed_rip = v->regs.rip;
	return how == SHOWN;
}

void window_before(struct vcpu *v)
{
	const struct tr_context *c = tr.now[0];
	struct window *w;

	tr.window_due = false;
	if (!c->window) {
		if (c->samples >= HOT)
			wait_for_quiet();
		return;
	}
	w = &window[c->window - 1];
	pthread_mutex_lock(&v->d->lock);
	if (tr.missed_in == tr.now[0] && w->root == v->user_cr3_mfn && tr.missed_rip == v->regs.rip)
		window_show(v, w, tr.missed - w->base, tr.missed_write);
	tr.missed_in = NULL;
	pthread_mutex_unlock(&v->d->lock);
}

void window_odd(struct vcpu *v)
{
	pthread_mutex_lock(&v->d->lock);
	odd(v, &window[tr.now[0]->window - 1]);
	pthread_mutex_unlock(&v->d->lock);
}

void window_forks(unsigned number)
{
	struct tr_context *c = current ? tr.now[0] : NULL;

	if (!c || c->window != number)
		return;
	give_up(current, c);
	c->samples = 0;
}
