/* SPDX-License-Identifier: MIT */
/* Blocks of translated code, and what the translator's files share about them. */
#ifndef PAVANE_BLOCK_H
#define PAVANE_BLOCK_H

#include <signal.h>

#include "host-driver/providers/process/translate/translate.h"

#define MODE_KERNEL 1  /* in a block's key: what else than its bytes decides its translation */
#define MODE_TS	    2  /* CR0.TS is set */
#define MODE_32	    4  /* 32-bit code, its segments flat */
#define MODE_UPPER  8  /* reads by upper.c */
#define MODE_SINGLE 16 /* no two accesses of it share a look: reached by links alone */
#define MODE_WINDOW 32 /* its accesses are to a window (windows.c), not by the TLB */
#define MODE_TSD    64 /* user code, and CR4.TSD is set: rdtsc is a step's */

#ifndef CODE_SIZE		/* tests have a small one */
#define CODE_SIZE (256UL << 20) /* of the cache, bytes */
#endif
#define CODE_COLD   (CODE_SIZE / 16 * 9) /* where the part begins that leaves it */
#define MAX_BLOCKS  (1U << 22)
#define MAX_LINKS   (1U << 23)
#define MAX_SITES   (1U << 25)
#define INSN_MAX    15 /* bytes */
#define BLOCK_INSNS 32 /* guest instructions in one, at most */

/*
 * One entry, several exits: guest instructions of one page that follow each other; or a single one
 * that goes on in the next page.
 */
struct block {
	uint64_t rip;
	uint32_t mfn, mfn2; /* of its pages; 0: there is no second one */
	uint8_t mode, insns;
	uint16_t bytes;	     /* of guest code */
	uint32_t code, size; /* offset in the cache, bytes */
	uint32_t site, link; /* the first of its own; they are in sequence */
	uint8_t links;
	bool dead, vectors; /* vectors: it has other instructions than those of general registers */
	bool steps;	    /* its last instruction is not translated */
	bool peek;	    /* stands_for: for a page that was looked at for its flags alone */
	uint16_t sites;
	uint32_t compared;		/* how often (check.c) */
	uint32_t same_hash, same_frame; /* next ones, 0: none; block 0 is never used */
	uint32_t stands_for; /* in the list of mfn2 or a peek: the block that is to be forgotten */
	uint32_t incoming;   /* the first link that leads here, + 1 */
};

/* A way out of a block. */
struct link {
	uint64_t target; /* guest address; of an indirect one nothing */
	uint32_t at;	 /* where its jump's distance is, offset in the cache */
	uint32_t stub;	 /* where it goes unchained, offset in the cache; 0: tr_indirect_miss */
	uint32_t from, to, next; /* blocks; the next link to the same, + 1 */
	/*
	 * Of a jump to another page: where its number is, that is looked up in the context before
	 * the jump, offset in the cache; 0: there is no such look. The link behind it is the way
	 * of those that have something else there, who ask the IBTC.
	 */
	uint32_t guard;
	uint32_t page_id; /* what is there now; 0: nobody's */
	bool single;	  /* to a block of MODE_SINGLE */
	enum link_kind { LINK_DIRECT, LINK_INDIRECT, LINK_RETURN } kind;
};

/*
 * A place in translated code that a guest instruction is known for: its start (`access` is
 * SITE_START), or a memory access of it that may leave by EXIT_MEMORY.
 */
#define SITE_START    0xff
#define SITE_MOVS     0xfe /* of string.c; `size`: */
#define SITE_STOS     0xfd
#define STRING_SIZE   15 /* of an element */
#define STRING_REP    16
#define STRING_LENGTH 8 /* from this bit on: the instruction's */
struct site {
	uint32_t block;
	uint32_t code;	 /* offset in the cache: where the instruction begins, or goes on */
	uint16_t offset; /* of the guest instruction, from the block's rip */
	uint16_t size;	 /* of the access, bytes */
	uint8_t access;	 /* enum access, or SITE_START */
};

extern struct block *blocks;
extern struct link *links;
extern struct site *sites;
extern uint32_t nr_blocks;
extern uint8_t *code_write, *code_run; /* two views of the cache */

/* ---- block.c ---- */
int code_init(struct domain *d); /* before the sandbox; 0 or -errno */
/* Nothing is translated any longer. Any thread, d->lock held. */
void code_forget_all(struct domain *d);
/*
 * Where the translation for v's state starts; or there is none to be had (a page of it is another
 * domain's, it cannot be decoded, or the next page is not there): a step then; or v took a page
 * fault.
 */
enum found { FOUND, FOUND_STEP, FOUND_FAULT, FOUND_AGAIN }; /* AGAIN: it changed meanwhile */
enum found code_find(struct vcpu *v, void **code);
/*
 * Chains a link that was met while `generation` was the cache's; NULL: its target, v's rip, is to
 * be found as any other.
 */
void *code_follow(struct vcpu *v, uint32_t link, uint32_t generation);
extern volatile uint32_t code_generation; /* how often the cache was emptied */
/* How a jump from b to target may be chained: not; always; if its page is mapped there (guard). */
enum linkable { LINK_NONE, LINK_TRUSTED, LINK_GUARDED };
enum linkable code_linkable(const struct vcpu *v, const struct block *b, uint64_t target);
/* Nothing is translated any longer that has this guest address in it. Any thread, d->lock held. */
void code_forget_at(struct domain *d, uint64_t va);
/* The page (in d->ram) is about to be written: what was translated from it is forgotten. */
void code_written(struct domain *d, const uint8_t *page);
bool code_translated(uint64_t mfn); /* anything of this frame? */
/*
 * A mapping of this frame went: jumps from other pages find out for themselves. d->lock held.
 * False: nothing of it is translated.
 */
bool code_unmapped(struct domain *d, uint64_t mfn);
/* The block that this host address is in, NULL: none. From a signal handler as well. */
struct block *code_block(const void *host);
void block_cut(struct block *b); /* its next exit leaves the cache; from a signal handler */
/*
 * It does not have to any longer. False: another vCPU has it cut, perhaps; to be asked again. Cut
 * while `generation` was the cache's: after that there is nothing to mend.
 */
bool block_mend(struct block *b, uint32_t generation);
/* The same by C code, which does not keep the cache from being emptied. */
bool code_mend(struct block *b, uint32_t generation);
/* The instruction of b that translated code at `host` belongs to: its SITE_START. */
uint32_t block_site(const struct block *b, const void *host);
/*
 * That instruction does not read by upper.c any more, in whatever is made of its page from now on;
 * the block is forgotten. Of the cache as it was in `generation`.
 */
void code_soften(struct domain *d, uint32_t block, uint16_t offset, uint32_t generation);
/*
 * The page of rip, for the block in the making: if it is written, or mapped elsewhere, that block
 * is forgotten. NULL: it is not there, or the block has enough of them. Under block.c's lock.
 */
#define PEEKS 2
const uint8_t *code_peek(struct vcpu *v, uint64_t rip);
/* Is it one that was softened? Under block.c's lock. */
bool code_soft(const struct block *b, uint64_t rip);

/* ---- page_id.c ---- */
int page_id_init(void);
/*
 * The number of this frame where it is mapped at that address' page. _make: given to it if it has
 * none, 0 if there is none left; code_lock held. _find: 0 if it has none.
 */
uint32_t page_id_make(uint64_t va, uint32_t mfn);
uint32_t page_id_find(uint64_t va, uint32_t mfn);
uint64_t page_id_address(uint32_t id);
bool page_id_given(uint32_t mfn); /* has this frame one? */
void page_id_forget_all(void);	  /* code_lock held */

/* Of the mode, what v's control registers say: where they change, what leads to code goes. */
static inline uint8_t block_controls(const struct vcpu *v, bool kernel)
{
	return (v->fpu_ts ? MODE_TS : 0) | (v->cr4 & CR4_TSD && !kernel ? MODE_TSD : 0);
}

/* ---- between block.c and chain.c ---- */
extern pthread_mutex_t code_lock;
/* Under it: a link leads nowhere any more; no link leads to b. */
void remove_incoming(uint32_t link);
void unchain_incoming(struct block *b);
unsigned block_mode(const struct vcpu *v);
/* The page of code at rip, in d->ram; NULL: there is none, or not to be kept. */
const uint8_t *code_page(struct vcpu *v, uint64_t rip);
/* The block for this rip, which is in `page`, made if need be; 0: there cannot be one. */
uint32_t block_get(struct vcpu *v, uint64_t rip, const uint8_t *page, unsigned mode);
/*
 * Is what was found for rip in `page` still what it leads to? Asked when others can see the block:
 * who changes the page table, or writes to the page, from now on forgets it; before, nobody did.
 */
bool block_stands(struct vcpu *v, uint32_t i, uint64_t rip, const uint8_t *page);
/* An instruction there may go on in the next page, which a jump from this one must not rely on. */
static inline bool code_near_end(uint64_t rip)
{
	return (rip & (PAGE_SIZE - 1)) > PAGE_SIZE - INSN_MAX;
}

/* ---- lower.c ---- */
struct emit;
/*
 * Translates what is at b's rip, in `page`, to e, and to `cold` what is seldom run of it; false:
 * not even one instruction. `next` is the page behind it, or NULL; b->mfn2 says whether it has been
 * used.
 */
bool lower_block(struct vcpu *v, struct block *b, const uint8_t *page, const uint8_t *next,
		 struct emit *e, struct emit *cold);
/* Of the block that was lowered last: what it has of the next page, is that still there? */
bool lower_next_stands(void);
uint32_t site_add(struct block *b, uint32_t code, uint16_t offset, uint16_t size, uint8_t access);
uint32_t link_add(struct block *b, uint64_t target, enum link_kind kind);

/* ---- string.c ---- */
/* movs or stos at v->regs.rip. False: not all of it, and a step carries out the rest or traps. */
bool string_run(struct vcpu *v, const struct site *s);

/* ---- roots.c ---- */
/* May code of the upper half rely on other pages there, whichever kernel root is loaded? */
bool roots_agree(void);
/* Code of a guest kernel is about to be translated there. d->lock held. */
void roots_code(struct domain *d, uint64_t rip);
/* v goes on with a kernel root of these entries (UPPER_ENTRIES of them). Takes d->lock. */
void roots_loaded(struct vcpu *v, const uint64_t *entries);

/* ---- softmmu.c, targets.c, changes.c, contexts.c ---- */
/* While there is but one thread: with more, the kernel takes 9 ms to hear of it. */
void mmu_fences_init(void);
int mmu_init(struct vcpu *v); /* its thread, before the sandbox */
void mmu_start(void);	      /* its thread, before its first guest instruction */
int mmu_memory(struct domain *d);
void mmu_flush_self(struct vcpu *v);
void mmu_flush(struct domain *d, uint32_t vcpus, uint64_t va);
void mmu_root_changed(struct vcpu *v);
/* No TLB knows that page any longer. All vCPUs stand still. */
void mmu_forget_page(struct domain *d, uint64_t va);
void mmu_forget_writes(struct domain *d, uint64_t page);
void mmu_forget_code(struct domain *d, uint64_t rip, const void *code);
void mmu_forget_all_code(struct domain *d);
void mmu_entry_changed(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old);
void *mmu_ibtc_find(const struct tr_context *c, uint64_t rip);
/* two: its instruction goes on in the next page. */
/* The IBTC has code of that width alone: emptied if it has the other. */
void mmu_ibtc_for(struct tr_context *c, bool code32);
/*
 * Another vCPU is to leave the cache soon. Asked after a jump was chained: it may have been cut the
 * moment before, by that vCPU's signal handler, which takes no lock.
 */
bool mmu_someone_kicked(const struct domain *d);
void mmu_ibtc_add(struct tr_context *c, uint64_t rip, void *code, bool two);
/* The page itself, with its accessed and dirty bits set as the access does; NULL: a page fault. */
uint8_t *mmu_page(struct vcpu *v, uint64_t va, enum access how);
/*
 * A context of nobody's, made empty; its TLB emptied, or led to `page` or nowhere (NULL); what a
 * call has left for its return, which is at `slot` of the stack, taken back.
 */
void mmu_context_init(struct tr_context *c);
void mmu_tlb_empty(struct tr_context *c);
void mmu_return_forget(struct tr_context *c, uint64_t slot);
void mmu_tlb_set(struct tr_context *c, uint64_t va, const uint8_t *page, bool write);
/* The page of that number, which va is in, is mapped there in c; or no longer. */
void mmu_page_here(struct tr_context *c, uint32_t id, uint64_t va, bool here);

/* ---- run.c, signal.c, glue.S, cross.S ---- */
/* Why the cache was left, and the site of EXIT_MEMORY, EXIT_STEP and EXIT_SYSCALL. */
struct left {
	int why;
	bool single;	     /* of EXIT_LINK: to a block of MODE_SINGLE */
	uint32_t generation; /* the cache's, then */
	struct site site;
};
/*
 * Into the cache at `code`, with r14 and r15 as `resume`, and out; v->regs has the guest's state,
 * but for what an access in its middle has to do yet. False: not even in, for a flush is due.
 */
bool tr_visit(struct vcpu *v, void *code, const uint8_t *resume, struct left *l);
bool tr_turn(struct vcpu *v);
extern uint64_t tr_stop; /* a guest address that tr_turn stops at, for tests; 0: none */
int tr_signals_init(void);
#define SIGSTACK_SIZE (64 * 1024)
void *tr_signal_stack(void); /* the calling thread's alternate one; NULL: errno says why not */
int tr_run(struct vcpu *v);
extern char tr_resume[], tr_resume_end[], tr_abort[], tr_trapped[], tr_unread[], tr_unshown[];
extern char tr_indirect[], tr_indirect_kept[], tr_indirect_end[], tr_indirect_miss[];
extern char tr_indirect_hit[], tr_return[], tr_return_end[];
extern char tr_exit_link[], tr_exit_memory[], tr_exit_step[];
extern char tr_exit_syscall[], tr_call_kept[], tr_call_late[], tr_call_end[], tr_call_slow[];
extern char tr_exit_hypercall[], tr_iret[], tr_iret_kept[], tr_iret_late[], tr_iret_end[];
extern char tr_iret_slow[], tr_crossed[];
void tr_signal(int sig, siginfo_t *si, void *ctx);

#endif
