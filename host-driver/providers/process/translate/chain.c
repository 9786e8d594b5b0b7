/* SPDX-License-Identifier: MIT */
/* Blocks chained to each other, and their ways out cut for a while. */
#include "host-driver/providers/process/translate/block.h"
#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/emit.h"

static void unchain(struct link *l)
{
	link_set(code_write + l->at, code_run - code_write,
		 l->stub ? code_run + l->stub : (uint8_t *)tr_indirect_miss);
}

void remove_incoming(uint32_t link)
{
	uint32_t *p = &blocks[links[link].to].incoming;

	while (*p && *p != link + 1)
		p = &links[*p - 1].next;
	if (*p)
		*p = links[link].next;
}

void unchain_incoming(struct block *b)
{
	for (uint32_t l = b->incoming; l; l = links[l - 1].next) {
		unchain(&links[l - 1]);
		links[l - 1].to = 0;
	}
	b->incoming = 0;
}

enum linkable code_linkable(const struct vcpu *v, const struct block *b, uint64_t target)
{
	if (code_near_end(target) || (target == tr_stop && tr_stop))
		return LINK_NONE;
	if (target >> PAGE_SHIFT == b->rip >> PAGE_SHIFT ||
	    (v->kernel_mode && b->rip >= HYPERVISOR_END && target >= HYPERVISOR_END &&
	     roots_agree()))
		return LINK_TRUSTED;
	return v->kernel_mode ? LINK_NONE : LINK_GUARDED; /* the guard is by the user's GS */
}

/*
 * Since the block that the link is of was left, another vCPU may have mapped something else there,
 * or here: and the link is everybody's who has that block's page.
 */
static bool link_stands(struct vcpu *v, const struct link *l, uint32_t to, const uint8_t *page)
{
	const struct block *from = &blocks[l->from];

	if (from->rip >> PAGE_SHIFT == l->target >> PAGE_SHIFT && from->mfn != blocks[to].mfn)
		return false;
	return !((from->mode ^ blocks[to].mode) & ~MODE_SINGLE) &&
	       block_stands(v, to, l->target, page);
}

static void link_chain(uint32_t link, uint32_t to)
{
	struct link *l = &links[link];

	if (l->to)
		remove_incoming(link);
	l->to = to;
	l->next = blocks[to].incoming;
	blocks[to].incoming = link + 1;
	link_set(code_write + l->at, code_run - code_write, code_run + blocks[to].code);
}

/*
 * What a guard asks for, once and for all, and set after the jump behind it leads there: whoever
 * runs this now sees a number that nobody has, or this one and where that leads.
 */
static void guard_set(struct link *l, uint32_t id)
{
	l->page_id = id;
	word_store(code_write + l->guard, C_PAGES + id);
}

/* Chains a jump to another page. False: it asks for a page that is not what is there now. */
static bool guarded_chain(struct vcpu *v, uint32_t link, uint32_t to, const uint8_t *page)
{
	struct link *l = &links[link];
	const uint32_t id = page_id_make(l->target, blocks[to].mfn);

	link_set(code_write + l[1].at, code_run - code_write, tr_indirect);
	if (!id || (l->page_id && l->page_id != id))
		return false;
	mmu_page_here(tr.context, id, l->target, true);
	if (!link_stands(v, l, to, page)) {
		mmu_page_here(tr.context, id, l->target, false);
		return false;
	}
	link_chain(link, to);
	if (!l->page_id)
		guard_set(l, id);
	return true;
}

/* `lock` is held. */
static bool link_follow(struct vcpu *v, uint32_t link, uint32_t to, const uint8_t *page)
{
	struct link *l = &links[link];
	bool chained;

	if (l->guard)
		chained = guarded_chain(v, link, to, page);
	else if ((chained = link_stands(v, l, to, page)))
		link_chain(link, to);
	if (mmu_someone_kicked(v->d)) {
		unchain(l);
		if (l->guard)
			unchain(l + 1);
	}
	return chained;
}

void *code_follow(struct vcpu *v, uint32_t link, uint32_t generation)
{
	const uint8_t *page = code_page(v, v->regs.rip);
	const unsigned mode = block_mode(v) | (links[link].single ? MODE_SINGLE : 0);
	const uint32_t to = page ? block_get(v, v->regs.rip, page, mode) : 0;
	void *code = NULL;

	if (!to)
		return NULL;
	pthread_mutex_lock(&code_lock);
	if (generation == code_generation && !blocks[links[link].from].dead &&
	    check_done(&blocks[links[link].from]) && check_done(&blocks[to]) &&
	    link_follow(v, link, to, page))
		code = code_run + blocks[to].code;
	pthread_mutex_unlock(&code_lock);
	return code;
}

void block_cut(struct block *b)
{
	for (uint32_t l = b->link; l < b->link + b->links; l++)
		unchain(&links[l]);
}

/* Direct links are chained anew as they are met. */
bool block_mend(struct block *b, uint32_t generation)
{
	if (generation != code_generation || b->dead)
		return true;
	for (uint32_t l = b->link; l < b->link + b->links; l++)
		if (links[l].kind != LINK_DIRECT)
			link_set(code_write + links[l].at, code_run - code_write,
				 links[l].kind == LINK_RETURN ? tr_return : tr_indirect);
	if (!b->dead && !mmu_someone_kicked(the_domain))
		return true;
	block_cut(b);
	return b->dead;
}

bool code_mend(struct block *b, uint32_t generation)
{
	bool mended;

	pthread_mutex_lock(&code_lock);
	mended = block_mend(b, generation);
	pthread_mutex_unlock(&code_lock);
	return mended;
}
