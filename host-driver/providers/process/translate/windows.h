/* SPDX-License-Identifier: MIT */
/*
 * Windows: the lower half of a user root's addresses at one place of this process, for user code
 * that is hot. Translated code of MODE_WINDOW reaches its window alone (lower_window.c).
 */
#ifndef PAVANE_WINDOWS_H
#define PAVANE_WINDOWS_H

#include "host-driver/providers/process/translate/spans.h"

struct tr_context;

#define WINDOW_BITS  42
#define WINDOW_SIZE  (1UL << WINDOW_BITS) /* addresses that are equal modulo this are one place */
#define WINDOW_MASK  (WINDOW_SIZE - 1)
#define WINDOW_GUARD (1UL << 31) /* on either side: as far as a displacement leads */

/*
 * Once, before the sandbox. PAVANE_TIERS says what user code goes by: "tlb", never by windows;
 * "window", by one from the start; otherwise as it gets hot.
 */
void windows_init(void);
bool windows_possible(void);
int window_thread_init(const struct vcpu *v); /* of a vCPU, before the sandbox; 0 or -errno */
uint64_t window_base(unsigned window);	      /* of that number, from 1 on: its host address */
/* A kick has found v in user code. */
void window_sample(struct vcpu *v);
/* v goes on with c as its user context: is its window still its own? */
void window_follow(struct vcpu *v, struct tr_context *c);
/*
 * An access of v's user code to the host address `at` of its window faulted. True: it will not
 * again. False: it is for a step, which knows what it is about; if that is so too often, v's
 * context has no window any more. Takes d->lock.
 */
bool window_fault(struct vcpu *v, uint64_t at, bool write);
/*
 * tr.window_due was set, and v is about to run user code. What its page fault was about is there
 * now, perhaps: then it does not have to fault again. Or it waits for a quiet time.
 */
void window_before(struct vcpu *v);
/* An instruction that only a step can carry out, for a reason that is not the guest's. */
void window_odd(struct vcpu *v);
/* d->lock held, as upper.h's. */
void windows_entry_changed(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old);
void windows_table_lost(struct domain *d, uint64_t mfn);

/* ---- between windows.c and window_pages.c; d->lock held ---- */
#define WINDOWS	 (SPANS_OF - 1)
#define L4_LOW	 256 /* entries of a root that are about the lower half */
#define L4_SHIFT 39

/* Of number i + 1. */
struct window {
	uint64_t base, root; /* root: INVALID_MFN, nobody's */
	bool reserved, useless;
	uint32_t vcpus;	     /* whose user context has it: a bit each */
	uint64_t used, turn; /* used: when last (TSC) */
	uint64_t was_full;   /* when there was no room in it last (TSC); 0: never */
	uint64_t stored;     /* when code was last stored to (TSC) */
	uint64_t debt;	     /* ns of that which nothing else has been done for (windows.c) */
	unsigned odd, shown; /* accesses by steps; mappings */
};
extern struct window window[WINDOWS];
static inline unsigned window_number(const struct window *w)
{
	return w - window + 1;
}
bool windows_used(void);				    /* has there been one? */
uint64_t window_past(const struct domain *d, uint64_t tsc); /* ns since then */
void window_empty(struct domain *d, struct window *w);
/* Can all entries of this root's lower half be told apart in a window? */
bool window_fits(struct domain *d, uint64_t root);
/* The calling vCPU's memory is not to be written any more: somebody forks. */
void window_forks(unsigned number);
/*
 * What the tables show at this place of w is there now, for v, whose root it is of; GUESTS: that is
 * the guest's own page fault; ODD: it is there, but cannot be shown. SHOWN_CODE: it is shown, and
 * what was translated of it is forgotten.
 */
enum window_shown { SHOWN, SHOWN_CODE, GUESTS, ODD };
enum window_shown window_show(struct vcpu *v, struct window *w, uint64_t place, bool write);

#endif
