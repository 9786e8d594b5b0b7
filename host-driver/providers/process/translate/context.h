/* SPDX-License-Identifier: MIT */
/* A context's parts, for the files that keep them. */
#ifndef PAVANE_CONTEXT_H
#define PAVANE_CONTEXT_H

#include "host-driver/providers/process/translate/block.h"
#include "host-driver/providers/process/translate/spans.h"

#define CONTEXTS 12  /* of a vCPU: the kernel's, and of its last users */
#define M2P_SLOT 256 /* of an L4 table */

/* Of L1 tables' indices. */
struct index_set {
	uint64_t bits[L1_ENTRIES / 64];
};

static inline unsigned tlb_size(const struct tr_context *c)
{
	return c->tlb == c->own ? TLB_SIZE : KERNEL_TLB_SIZE;
}

static inline unsigned tlb_index(const struct tr_context *c, uint64_t va)
{
	return va >> PAGE_SHIFT & (tlb_size(c) - 1);
}

/*
 * What an empty entry i has for minus an address: 0, as no address but the very first and, with its
 * last byte, the very last look for what is there; those find the page whose number ends in i ^ 2.
 */
static inline uint64_t nothing(unsigned i, unsigned size, unsigned shift)
{
	return i && i != size - 1 ? 0 : -((uint64_t)(i ^ 2) << shift);
}

static inline void entry_clear(struct tr_context *c, unsigned i)
{
	c->tlb[i].read_neg = c->tlb[i].write_neg = nothing(i, tlb_size(c), PAGE_SHIFT);
	c->filled[i / 64] &= ~(1UL << (i % 64));
}

/* ---- softmmu.c ---- */
/* Entries of the TLB go: those of `which`, an array like `filled`. */
void entries_clear(struct tr_context *c, const uint64_t *which);
/* Those that an entry of an L1 table with this index can be in. */
void slots_clear(struct tr_context *c, unsigned index);
/* No store goes to this page of d->ram. */
void writes_clear(struct tr_context *c, uint64_t page);

/* ---- targets.c ---- */
static inline void target_clear(struct tr_context *c, unsigned i)
{
	__atomic_store_n(&c->ibtc[i].neg, nothing(i, IBTC_SIZE, IBTC_SHIFT), __ATOMIC_RELAXED);
}

void returns_clear(struct tr_context *c);
void ibtc_clear(struct tr_context *c); /* and the returns */
void pages_clear(struct tr_context *c);
/* What leads to a page of these indices, or to an instruction that goes on there, goes. */
void targets_clear(struct tr_context *c, const struct index_set *changed);

/* ---- changes.c ---- */
extern volatile uint64_t l4_changes; /* of entries for the upper half, in any root */
uint64_t changes_end(void);	     /* of the log */
void catch_up(struct domain *d, struct tr_context *c);

/* ---- contexts.c ---- */
void context_clear(struct tr_context *c);

#endif
