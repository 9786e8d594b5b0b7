/* SPDX-License-Identifier: MIT */
/* Blocks run translated and by tr_step(), from the same state, and compared (check.h). */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/step.h"

#define TRIES 2 /* what was another vCPU's doing does not happen again */

volatile bool check_on;
volatile uint64_t check_times;

static __thread struct check *mine;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the file */
static int check_fd = -1;

/* Written by the vCPU's own thread. */
static struct counts {
	uint64_t blocks, insns; /* compared */
	uint64_t apart;		/* instructions that are not translated */
	uint64_t skipped;	/* blocks */
} __attribute__((aligned(64))) counts[PVDOM_MAX_VCPUS];

/* ---- the two runs ---- */

void check_page_fault(uint64_t va, enum access how)
{
	check_trap(VECTOR_PF, how);
	tr.check->now->va = va;
}

/* The access that left the cache: its place in the copies, or NULL and s->end. */
static uint8_t *access_of(struct vcpu *v, struct check *c, const struct site *s)
{
	struct check_state *now = c->now;
	uint8_t *p;

	now->end = CHECK_STOPPED;
	if ((tr.ea & ~PAGE_MASK) + s->size > PAGE_SIZE)
		return NULL;
	p = check_memory(v, tr.ea, s->access);
	if (p) {
		now->end = CHECK_LOST;
		mmu_tlb_set(&c->context, tr.ea, p - (tr.ea & ~PAGE_MASK),
			    s->access == ACCESS_WRITE);
		return p;
	}
	if (c->lost) {
		now->end = CHECK_LOST;
	} else if (tr_canonical(tr.ea)) {
		now->end = CHECK_FAULTED;
		check_page_fault(tr.ea, s->access);
	}
	return NULL;
}

/*
 * A read by upper.c, of a copy from here on. False: that is for the guest itself to find out, or it
 * is on two pages, and neither base will do.
 */
static bool upper_of(struct vcpu *v, struct check *c, const struct left *l,
		     const struct left *before)
{
	const bool again = before->why == EXIT_UPPER && before->site.code == l->site.code;
	const uint8_t *p;

	if (tr.vector != VECTOR_PF || tr.ea < HYPERVISOR_END || (again && ++c->again > 2))
		return false;
	if (!again)
		c->again = 0;
	p = check_memory(v, tr.ea, ACCESS_READ);
	if (p)
		__builtin_ia32_wrgsbase64(check_base(p, tr.ea));
	return p;
}

static void bases_set(const struct vcpu *v, struct check *c)
{
	tr.fs_base = v->fs_base;
	tr.gs_base = v->kernel_mode ? v->gs_base_kernel : v->gs_base_user;
	tr.ibtc = c->context.ibtc;
	tr.returns = c->context.returns;
	tr.crosses = false;
	__builtin_ia32_wrgsbase64(v->kernel_mode ? CHECK_NOWHERE : (uint64_t)c->context.own);
}

/* The cache was left where the block goes on once that is dealt with. */
static bool in_the_middle(const struct left *l)
{
	return l->why == EXIT_MEMORY || l->why == EXIT_UPPER ||
	       (l->why == EXIT_STEP && l->site.access != SITE_START);
}

/* It is, on the copies. False: c->now->end says what is; LOST, where half of a string is done. */
static bool deal_with(struct vcpu *v, struct check *c, const struct left *l,
		      const struct left *before, const uint8_t **resume)
{
	const uint64_t rdi = v->regs.rdi;

	*resume = NULL;
	switch (l->why) {
	case EXIT_MEMORY: *resume = access_of(v, c, &l->site); return *resume;
	case EXIT_UPPER: return upper_of(v, c, l, before);
	default:
		if (string_run(v, &l->site))
			return true;
		if (v->regs.rdi == rdi)
			c->now->end = CHECK_STOPPED;
		return false;
	}
}

static void left_for_good(struct vcpu *v, struct check *c, const struct left *l)
{
	switch (l->why) {
	case EXIT_LINK:
	case EXIT_INDIRECT:
		c->now->end = l->single ? CHECK_STOPPED : CHECK_LEFT;
		mmu_return_forget(&c->context, v->regs.rsp + sizeof(uint64_t));
		break;
	case EXIT_STEP:
	case EXIT_SYSCALL: c->now->end = CHECK_STOPPED; break;
	case EXIT_TRAP:
		check_trap(tr.vector, tr.error);
		c->now->end = CHECK_FAULTED;
		break;
	default: break;
	}
}

static void run_translated(struct vcpu *v, struct check *c)
{
	struct left l = {.why = EXIT_KICK}, before;
	void *code = (void *)c->code;
	const uint8_t *resume = NULL;

	bases_set(v, c);
	c->now->end = CHECK_LOST;
	do {
		before = l;
		if (!tr_visit(v, code, resume, &l))
			return;
		if (!in_the_middle(&l)) {
			left_for_good(v, c, &l);
			return;
		}
		code = code_run + l.site.code;
	} while (deal_with(v, c, &l, &before, &resume));
}

/* As far as the block goes and is translated, or to c->stop. */
static void run_reference(struct vcpu *v, struct check *c)
{
	const unsigned insns = c->block.insns - c->block.steps;
	struct check_state *now = c->now;

	for (now->insns = 0; now->insns < insns; now->insns++) {
		const uint64_t rip = v->regs.rip;

		now->end = CHECK_STOPPED;
		if (c->stops && rip == c->stop)
			return;
		now->end = CHECK_LOST;
		if (!tr_step(v)) {
			if (c->faulted && !c->lost)
				now->end = CHECK_FAULTED;
			return;
		}
		now->end = CHECK_LEFT;
		if (v->regs.rip != rip + native_slot(rip)->i.length) {
			now->insns++;
			return;
		}
	}
	now->end = c->block.steps ? CHECK_STOPPED : CHECK_LEFT;
}

static void run_side(struct vcpu *v, struct check *c, enum check_side side)
{
	v->regs = c->before.regs;
	c->side = side;
	c->now = &c->after[side];
	c->faulted = false;
	if (side == TRANSLATED)
		run_translated(v, c);
	else
		run_reference(v, c);
	c->now->regs = v->regs;
	if (c->block.vectors) {
		fpu_keep(&c->now->fpu);
		fpu_back(&c->before.fpu);
	}
}

/* ---- what they left ---- */

static bool same_fault(const struct check_state *a, const struct check_state *b)
{
	return a->vector == b->vector && a->error == b->error &&
	       (a->vector != VECTOR_PF || a->va == b->va);
}

/* A jump to where no address is: the CPU stays at the jump, translated code is there already. */
static bool went_nowhere(const struct check_state *t, const struct check_state *r)
{
	return t->end == CHECK_LEFT && !tr_canonical(t->regs.rip) && r->end == CHECK_FAULTED &&
	       r->vector == VECTOR_GP;
}

/* Not by libc, which has a use for vector registers. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, unsigned n)
{
	uint64_t differ = 0, x, y;

	for (; n >= 8; n -= 8, a += 8, b += 8) {
		__builtin_memcpy(&x, a, 8);
		__builtin_memcpy(&y, b, 8);
		differ |= x ^ y;
	}
	while (n--)
		differ |= *a++ ^ *b++;
	return !differ;
}

static bool same_vectors(const struct check_state *a, const struct check_state *b)
{
	const uint8_t *x = fpu_aligned((struct fpu_area *)&a->fpu),
		      *y = fpu_aligned((struct fpu_area *)&b->fpu);
	unsigned from, to;

	for (unsigned i = 0; check_vector_part(i, &from, &to); i++)
		if (!same_bytes(x + from, y + from, to - from))
			return false;
	return true;
}

static bool same_memory(struct check *c)
{
	for (unsigned i = 0; i < c->pages; i++)
		if (!same_bytes(check_copy(c, TRANSLATED, i), check_copy(c, REFERENCE, i),
				PAGE_SIZE))
			return false;
	return true;
}

/* What differs first, in a word; NULL: nothing does. *flags: those of them that do. */
static const char *difference(struct vcpu *v, struct check *c, uint64_t *flags)
{
	const struct check_state *t = &c->after[TRANSLATED], *r = &c->after[REFERENCE];
	regs_t same = r->regs;

	*flags = t->regs.rflags ^ r->regs.rflags;
	if (*flags)
		*flags = check_flags(v, c, r->insns, t->regs.rip, *flags);
	if (t->end != r->end)
		return "how it ends";
	if (t->end == CHECK_FAULTED && !same_fault(t, r))
		return "its exception";
	if (t->regs.rip != r->regs.rip)
		return "rip";
	same.rflags = t->regs.rflags;
	if (!same_bytes((void *)&same, (void *)&t->regs, sizeof(same)))
		return "a register";
	if (*flags)
		return "flags";
	if (c->block.vectors && !same_vectors(t, r))
		return "a vector register, or of x87";
	return same_memory(c) ? NULL : "memory";
}

/* ---- one block ---- */

enum begun { BEGUN, ENOUGH, NOT_NOW };

static enum begun begin(struct vcpu *v, struct check *c, const void *code)
{
	if (!tr_enter())
		return NOT_NOW;
	c->at = code_block(code);
	if (check_done(c->at) || c->at->mode & MODE_WINDOW) { /* GS will be ours */
		tr_left();
		return ENOUGH;
	}
	c->block = *c->at;
	c->generation = code_generation;
	tr_left();
	c->code = code;
	c->before.regs = v->regs;
	if (c->block.vectors)
		fpu_keep(&c->before.fpu);
	return BEGUN;
}

/*
 * Its code was written meanwhile, so that what the reference did was something else, perhaps; or
 * another vCPU has compared it for the last time and chained it, so that it went further.
 */
static bool gone(const struct check *c)
{
	bool is;

	if (!tr_enter())
		return true;
	is = c->generation != code_generation || c->at->dead || check_done(c->at);
	tr_left();
	return is;
}

/*
 * The reference goes first: what it reads and writes, the translation finds in its TLB. False: one
 * of them came to no end.
 */
static bool run_both(struct vcpu *v, struct check *c)
{
	run_side(v, c, REFERENCE);
	if (c->after[REFERENCE].end == CHECK_LOST)
		return false;
	check_memory_fill(c);
	run_side(v, c, TRANSLATED);
	check_memory_end(c);
	return c->after[TRANSLATED].end != CHECK_LOST;
}

/* The translation left an instruction to others that the reference carried out. */
static bool stopped_early(const struct check *c)
{
	const struct check_state *t = &c->after[TRANSLATED], *r = &c->after[REFERENCE];

	return t->end == CHECK_STOPPED && (r->end != CHECK_STOPPED || r->regs.rip != t->regs.rip);
}

/* Both ways from the same state. False: see run_both(). */
static bool compare(struct vcpu *v, struct check *c, const char **what, uint64_t *flags)
{
	bool done;

	tr.check = c;
	check_memory_begin(v, c);
	c->stops = false;
	done = run_both(v, c);
	if (done && stopped_early(c)) {
		c->stops = true;
		c->stop = c->after[TRANSLATED].regs.rip;
		done = check_memory_again(c) && run_both(v, c);
	}
	done = done && !went_nowhere(&c->after[TRANSLATED], &c->after[REFERENCE]);
	if (done)
		*what = difference(v, c, flags);
	tr.check = NULL;
	v->regs = c->before.regs;
	return done;
}

static void complain(struct vcpu *v, struct check *c, const char *what, uint64_t flags)
{
	struct fpu_area fpu;

	fpu_keep(&fpu);
	pthread_mutex_lock(&lock);
	tr.check = c;
	if (check_fd >= 0)
		check_report(v, c, what, flags, check_fd);
	tr.check = NULL;
	pthread_mutex_unlock(&lock);
	fpu_back(&fpu);
	domain_crash(v, "translated code differs from the reference: `pvctl check` has a report");
}

static void count(const struct vcpu *v, const struct check *c)
{
	struct counts *n = &counts[v->id];

	n->blocks++;
	n->insns += c->after[REFERENCE].insns;
	n->apart += c->after[TRANSLATED].end == CHECK_STOPPED;
}

/* It has had one of its times. */
static void tried(const struct check *c)
{
	if (!tr_enter())
		return;
	if (c->generation == code_generation)
		c->at->compared++;
	tr_left();
}

static struct check *check_of(struct vcpu *v)
{
	if (mine)
		return mine;
	mine = mmap(NULL, sizeof(*mine), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (mine == MAP_FAILED || !check_memory_init(mine, v->id)) {
		mine = NULL;
		domain_crash(v, "no memory to check the translator");
		return NULL;
	}
	mmu_context_init(&mine->context);
	return mine;
}

bool check_block(struct vcpu *v, void *code)
{
	struct check *c = check_of(v);
	const char *what = NULL;
	enum begun begun;
	uint64_t flags = 0;

	begun = c ? begin(v, c, code) : NOT_NOW;
	if (begun != BEGUN)
		return begun == ENOUGH;
	for (unsigned i = 0; i < TRIES; i++) {
		if (!compare(v, c, &what, &flags)) {
			if (tr.flush || tr.kicked)
				return false;
			counts[v->id].skipped++;
			tried(c);
			return true;
		}
		if (!what) {
			count(v, c);
			tried(c);
			return true;
		}
	}
	if (gone(c))
		return false;
	complain(v, c, what, flags);
	return false;
}

/* ---- on and off ---- */

/* The lock is held. */
static void say_counts(const struct domain *d)
{
	struct counts n = {0};
	char line[256];
	int len;

	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		n.blocks += counts[i].blocks;
		n.insns += counts[i].insns;
		n.apart += counts[i].apart;
		n.skipped += counts[i].skipped;
	}
	len = snprintf(line, sizeof(line),
		       "compared %lu blocks, %lu instructions; %lu instructions not translated; "
		       "%lu blocks not compared\n",
		       n.blocks, n.insns, n.apart, n.skipped);
	if (write(check_fd, line, len) != len)
		return; /* the disk is full: there is nobody to tell */
}

void check_parks(struct vcpu *v)
{
	struct fpu_area fpu;

	if (!check_on)
		return;
	fpu_keep(&fpu);
	pthread_mutex_lock(&lock);
	if (check_fd >= 0)
		say_counts(v->d);
	pthread_mutex_unlock(&lock);
	fpu_back(&fpu);
}

int check_set(struct domain *d, uint64_t times, int fd)
{
	pthread_mutex_lock(&lock);
	if (check_fd >= 0) {
		say_counts(d);
		close(check_fd);
	}
	memset(counts, 0, sizeof(counts));
	check_fd = fd;
	check_times = times;
	check_on = fd >= 0;
	pthread_mutex_unlock(&lock);
	/* What is translated already is chained. */
	code_forget_all(d);
	return 0;
}
