/* SPDX-License-Identifier: MIT */
/*
 * The code cache: blocks by guest address, page and mode; chained to each other; forgotten when
 * their page is written.
 *
 * A block's key has the frame that its page is, so it stays good whatever is mapped where: guest
 * processes that share a page share its translation. A direct jump between two blocks of one page
 * may be chained for the same reason, and one between pages of the guest kernel in the upper half,
 * which is the same in all of its address spaces. Other jumps to another page look whether that
 * is mapped there before they go (page_id.c); if not they go by the IBTC.
 *
 * One cache for all vCPUs, filled in sequence and emptied as a whole when it is full. `code_lock`
 * is for whoever changes something, taken after d->lock where both are. The code is mapped twice:
 * written at one place, run at the other.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host-driver/providers/process/translate/block.h"
#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/emit.h"
#include "host-driver/providers/process/translate/trace.h"
#include "hypercalls/monitor/mm.h"

#define HASH_BITS  20
#define BLOCK_ROOM 16384 /* bytes that one may need, at most */

struct block *blocks;
struct link *links;
struct site *sites;
uint32_t nr_blocks = 1;
uint8_t *code_write, *code_run;
volatile uint32_t code_generation;

static uint32_t nr_links = 1, nr_sites = 1, code_used, cold_used = CODE_COLD;
static uint32_t *hash, *frame_blocks; /* the first block of each */
pthread_mutex_t code_lock = PTHREAD_MUTEX_INITIALIZER;

static void *reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Within reach of a jump to the code that is linked into this program. */
static uint8_t *near(int fd)
{
	const uintptr_t here = (uintptr_t)tr_abort & -(1UL << 21);

	for (uintptr_t far = 16UL << 20; far < 1800UL << 20; far += 32UL << 20) {
		void *p = mmap((void *)(here - far - CODE_SIZE), CODE_SIZE, PROT_READ | PROT_EXEC,
			       MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);

		if (p != MAP_FAILED)
			return p;
	}
	return NULL;
}

int code_init(struct domain *d)
{
	const int fd = memfd_create("code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, CODE_SIZE))
		return -ENOMEM;
	code_write = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	code_run = near(fd);
	close(fd);
	blocks = reserve(MAX_BLOCKS * sizeof(*blocks));
	links = reserve(MAX_LINKS * sizeof(*links));
	sites = reserve(MAX_SITES * sizeof(*sites));
	hash = reserve((1UL << HASH_BITS) * sizeof(*hash));
	frame_blocks = reserve((1UL << 28) * sizeof(*frame_blocks));
	if (page_id_init())
		return -ENOMEM;
	return code_write == MAP_FAILED || !code_run || !blocks || !links || !sites || !hash ||
			       !frame_blocks
		       ? -ENOMEM
		       : 0;
}

static unsigned hash_of(uint64_t rip, uint32_t mfn, unsigned mode)
{
	return ((rip ^ (uint64_t)mfn << 20 ^ mode) * 0x9e3779b97f4a7c15UL) >> (64 - HASH_BITS);
}

unsigned block_mode(const struct vcpu *v)
{
	const bool upper = tr.upper && v->kernel_mode && v->regs.rip >= HYPERVISOR_END;

	return (v->kernel_mode ? MODE_KERNEL : 0) | block_controls(v, v->kernel_mode) |
	       (tr.code == CODE_32_FLAT ? MODE_32 : 0) | (upper ? MODE_UPPER : 0) |
	       (tr_window(v) ? MODE_WINDOW : 0);
}

/* mfn2: of the next page, 0: it is not there, or no matter. */
static uint32_t lookup(uint64_t rip, uint32_t mfn, uint32_t mfn2, unsigned mode)
{
	uint32_t i = __atomic_load_n(&hash[hash_of(rip, mfn, mode)], __ATOMIC_ACQUIRE);

	while (i && (blocks[i].rip != rip || blocks[i].mfn != mfn || blocks[i].mode != mode ||
		     (blocks[i].mfn2 && blocks[i].mfn2 != mfn2)))
		i = blocks[i].same_hash;
	return i;
}

uint32_t site_add(struct block *b, uint32_t code, uint16_t offset, uint16_t size, uint8_t access)
{
	sites[nr_sites] = (struct site){b - blocks, code, offset, size, access};
	b->sites++;
	return nr_sites++;
}

uint32_t link_add(struct block *b, uint64_t target, enum link_kind kind)
{
	links[nr_links] = (struct link){.target = target, .from = b - blocks, .kind = kind};
	b->links++;
	return nr_links++;
}

/* ---- forgetting ---- */

static void block_kill(struct domain *d, uint32_t i)
{
	struct block *b = &blocks[i];
	uint32_t *p = &hash[hash_of(b->rip, b->mfn, b->mode)];

	if (b->dead)
		return;
	while (*p && *p != i)
		p = &blocks[*p].same_hash;
	if (*p)
		__atomic_store_n(p, b->same_hash, __ATOMIC_RELEASE);
	unchain_incoming(b);
	for (uint32_t l = b->link; l < b->link + b->links; l++)
		if (links[l].to) {
			remove_incoming(l);
			links[l].to = 0;
		}
	block_cut(b);
	b->dead = true; /* before we look for it in IBTCs: code_find() has it there, then looks */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	mmu_forget_code(d, b->rip, code_run + b->code);
}

void code_written(struct domain *d, const uint8_t *page)
{
	const uint64_t mfn = (page - d->ram) >> PAGE_SHIFT;
	uint32_t i, next;

	if (mfn >= d->nr_frames || !__atomic_load_n(&frame_blocks[mfn], __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&code_lock);
	for (i = frame_blocks[mfn]; i; i = next) {
		next = blocks[i].same_frame;
		block_kill(d, blocks[i].stands_for ? blocks[i].stands_for : i);
	}
	__atomic_store_n(&frame_blocks[mfn], 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&code_lock);
}

bool code_translated(uint64_t mfn)
{
	return __atomic_load_n(&frame_blocks[mfn], __ATOMIC_ACQUIRE);
}

bool code_unmapped(struct domain *d, uint64_t mfn)
{
	if (mfn >= d->nr_frames)
		return false;
	if (!__atomic_load_n(&frame_blocks[mfn], __ATOMIC_ACQUIRE))
		return page_id_given(mfn);
	pthread_mutex_lock(&code_lock);
	for (uint32_t i = frame_blocks[mfn]; i; i = blocks[i].same_frame) {
		struct block *b = &blocks[blocks[i].stands_for ? blocks[i].stands_for : i];

		if (blocks[i].peek)
			block_kill(d, blocks[i].stands_for);
		else if (b->rip >= HYPERVISOR_END) /* else from its own page alone */
			unchain_incoming(b);
	}
	pthread_mutex_unlock(&code_lock);
	return true;
}

/*
 * Everything goes. d->lock and the lock are held. First the hash, which is looked at without a
 * lock: who left the cache for the flush finds nothing there, and waits for us; what was found
 * before is not entered, for the flush comes behind it.
 */
static void code_empty(struct domain *d)
{
	memset(hash, 0, (1UL << HASH_BITS) * sizeof(*hash));
	mmu_forget_all_code(d);
	for (uint32_t i = 1; i < nr_blocks; i++)
		frame_blocks[blocks[i].mfn] = 0;
	page_id_forget_all();
	nr_blocks = nr_links = nr_sites = 1;
	code_used = 0;
	cold_used = CODE_COLD;
	code_generation++;
}

void code_forget_all(struct domain *d)
{
	pthread_mutex_lock(&code_lock);
	code_empty(d);
	pthread_mutex_unlock(&code_lock);
}

void code_forget_at(struct domain *d, uint64_t va)
{
	pthread_mutex_lock(&code_lock);
	for (uint32_t i = 1; i < nr_blocks; i++)
		if (va - blocks[i].rip < blocks[i].bytes)
			block_kill(d, i);
	pthread_mutex_unlock(&code_lock);
}

/* ---- instructions that do not read by upper.c ---- */

#define SOFT_BITS 14

/* Their places in memory, by a hash; as it is full, all are forgotten. */
static uint64_t soft[1 << SOFT_BITS];
static unsigned softs;

static uint64_t *soft_slot(uint64_t place)
{
	unsigned i = (place * 0x9e3779b97f4a7c15UL) >> (64 - SOFT_BITS);

	while (soft[i] && soft[i] != place)
		i = (i + 1) % (1 << SOFT_BITS);
	return &soft[i];
}

static uint64_t place_of(const struct block *b, uint64_t rip)
{
	return (uint64_t)b->mfn << PAGE_SHIFT | (rip & (PAGE_SIZE - 1));
}

bool code_soft(const struct block *b, uint64_t rip)
{
	return *soft_slot(place_of(b, rip));
}

void code_soften(struct domain *d, uint32_t block, uint16_t offset, uint32_t generation)
{
	struct block *b = &blocks[block];
	uint64_t place;

	pthread_mutex_lock(&code_lock);
	if (generation == code_generation && !b->dead) {
		if (softs++ > (1 << SOFT_BITS) / 2) {
			memset(soft, 0, sizeof(soft));
			softs = 0;
		}
		place = place_of(b, b->rip + offset);
		*soft_slot(place) = place;
		block_kill(d, block);
	}
	pthread_mutex_unlock(&code_lock);
}

/* ---- making ---- */

static bool full(void)
{
	return code_used + BLOCK_ROOM > CODE_COLD || cold_used + BLOCK_ROOM > CODE_SIZE ||
	       nr_blocks + 2 + PEEKS > MAX_BLOCKS || nr_links + 4 * BLOCK_INSNS > MAX_LINKS ||
	       nr_sites + 16 * BLOCK_INSNS > MAX_SITES;
}

/* Whoever writes to another page of block i finds it by another block, j, which has no code. */
static void stand_in(struct domain *d, uint32_t i, uint32_t j, uint32_t mfn, bool peek)
{
	const bool first = !frame_blocks[mfn];

	blocks[j] = (struct block){
		.stands_for = i, .mfn = mfn, .peek = peek, .same_frame = frame_blocks[mfn]};
	__atomic_store_n(&frame_blocks[mfn], j, __ATOMIC_RELEASE);
	if (first)
		mmu_forget_writes(d, (uint64_t)d->ram + ((uint64_t)mfn << PAGE_SHIFT));
}

/* Of the block in the making, number nr_blocks: the blocks behind it stand for these. */
static struct {
	uint64_t va;
	const uint8_t *page;
} peeked[PEEKS];
static unsigned peeks;

const uint8_t *code_peek(struct vcpu *v, uint64_t rip)
{
	const uint8_t *page;

	for (unsigned k = 0; k < peeks; k++)
		if (peeked[k].va == (rip & PAGE_MASK))
			return peeked[k].page;
	page = peeks < PEEKS && !tr.check ? code_page(v, rip) : NULL;
	if (!page)
		return NULL;
	stand_in(v->d, nr_blocks, nr_blocks + 1 + peeks, (page - v->d->ram) >> PAGE_SHIFT, true);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (code_page(v, rip) != page) /* who changes that now waits for the lock */
		page = NULL;
	peeked[peeks].va = rip & PAGE_MASK;
	peeked[peeks++].page = page;
	return page;
}

/* Those of block i, which is there, have their place among the others. */
static void peeks_publish(uint32_t i)
{
	for (unsigned k = 1; k <= peeks; k++)
		blocks[i + k].code = code_used;
}

static void peeks_forget(uint32_t i)
{
	for (; peeks; peeks--) {
		const struct block *b = &blocks[i + peeks];

		__atomic_store_n(&frame_blocks[b->mfn], b->same_frame, __ATOMIC_RELEASE);
	}
}

static uint32_t block_make(struct vcpu *v, uint64_t rip, const uint8_t *page, const uint8_t *page2,
			   unsigned mode)
{
	struct domain *d = v->d;
	const uint32_t mfn = (page - d->ram) >> PAGE_SHIFT, i = nr_blocks;
	struct block *b = &blocks[i];
	struct emit e = {code_write + code_used, code_run - code_write};
	struct emit cold = {code_write + cold_used, code_run - code_write};
	struct fpu_area fpu;
	bool made;

	*b = (struct block){.rip = rip,
			    .mfn = mfn,
			    .mode = mode,
			    .code = code_used,
			    .site = nr_sites,
			    .link = nr_links,
			    .same_frame = frame_blocks[mfn]};
	/* Before a byte is read: who writes to the page from now on waits for the lock. */
	__atomic_store_n(&frame_blocks[mfn], i, __ATOMIC_RELEASE);
	if (!b->same_frame)
		mmu_forget_writes(d, (uint64_t)page);
	if (mode & MODE_KERNEL)
		roots_code(d, rip);
	peeks = 0;
	fpu_keep(&fpu);
	made = lower_block(v, b, page, page2, &e, &cold);
	fpu_back(&fpu);
	if (!made) {
		peeks_forget(i);
		__atomic_store_n(&frame_blocks[mfn], b->same_frame, __ATOMIC_RELEASE);
		return 0;
	}
	b->size = e.p - (code_write + b->code);
	code_used += (b->size + 15) & -16U;
	if (tracing(TRACE_BLOCKS))
		trace_block(v, b, cold.p - (code_write + cold_used));
	cold_used = cold.p - code_write;
	b->same_hash = hash[hash_of(rip, mfn, mode)];
	peeks_publish(i);
	__atomic_store_n(&nr_blocks, i + 1 + peeks, __ATOMIC_RELEASE);
	__atomic_store_n(&hash[hash_of(rip, mfn, mode)], i, __ATOMIC_RELEASE);
	if (b->mfn2) {
		stand_in(d, i, nr_blocks, b->mfn2, false);
		blocks[nr_blocks].code = code_used;
		__atomic_store_n(&nr_blocks, nr_blocks + 1, __ATOMIC_RELEASE);
		if (!lower_next_stands())
			block_kill(d, i);
	}
	return i;
}

const uint8_t *code_page(struct vcpu *v, uint64_t rip)
{
	const struct domain *d = v->d;
	const uint8_t *p = tr_memory(v, rip, ACCESS_FETCH);
	uint64_t mfn;

	if (!p || p < d->ram)
		return NULL;
	mfn = (p - d->ram) >> PAGE_SHIFT;
	if (mfn >= d->nr_frames || d->frame[mfn].elsewhere)
		return NULL;
	return d->ram + (mfn << PAGE_SHIFT);
}

bool block_stands(struct vcpu *v, uint32_t i, uint64_t rip, const uint8_t *page)
{
	const struct block *b = &blocks[i];
	const uint8_t *page2;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&b->dead, __ATOMIC_RELAXED) || code_page(v, rip) != page)
		return false;
	if (!b->mfn2)
		return true;
	page2 = code_page(v, (rip & PAGE_MASK) + PAGE_SIZE);
	return page2 && (uint64_t)(page2 - v->d->ram) >> PAGE_SHIFT == b->mfn2;
}

uint32_t block_get(struct vcpu *v, uint64_t rip, const uint8_t *page, unsigned mode)
{
	const uint32_t mfn = (page - v->d->ram) >> PAGE_SHIFT;
	const uint8_t *page2 = code_near_end(rip) ? code_page(v, (rip & PAGE_MASK) + PAGE_SIZE)
						  : NULL;
	const uint32_t mfn2 = page2 ? (page2 - v->d->ram) >> PAGE_SHIFT : 0;
	uint32_t i = lookup(rip, mfn, mfn2, mode);

	if (i)
		return i;
	pthread_mutex_lock(&v->d->lock);
	pthread_mutex_lock(&code_lock);
	if (full())
		code_empty(v->d);
	i = lookup(rip, mfn, mfn2, mode);
	if (!i)
		i = block_make(v, rip, page, page2, mode);
	pthread_mutex_unlock(&code_lock);
	pthread_mutex_unlock(&v->d->lock);
	return i;
}

enum found code_find(struct vcpu *v, void **code)
{
	const uint64_t rip = v->regs.rip;
	const uint8_t *page;
	const unsigned single = tr.single ? MODE_SINGLE : 0;
	uint32_t i, id;

	tr.single = false;
	*code = single ? NULL : mmu_ibtc_find(tr.context, rip);
	if (*code)
		return FOUND;
	page = code_page(v, rip);
	if (!page) {
		if (tr_memory(v, rip, ACCESS_FETCH))
			return FOUND_STEP;
		tr_page_fault(v, rip, ACCESS_FETCH);
		return FOUND_FAULT;
	}
	i = block_get(v, rip, page, block_mode(v) | single);
	if (!i)
		return FOUND_STEP;
	*code = code_run + blocks[i].code;
	if (!single && check_done(&blocks[i]))
		mmu_ibtc_add(tr.context, rip, *code, blocks[i].mfn2);
	id = page_id_find(rip, blocks[i].mfn);
	if (id)
		mmu_page_here(tr.context, id, rip, true);
	if (block_stands(v, i, rip, page))
		return FOUND;
	if (id)
		mmu_page_here(tr.context, id, rip, false);
	mmu_forget_code(v->d, rip, *code);
	return FOUND_AGAIN;
}

/* ---- from host addresses ---- */

struct block *code_block(const void *host)
{
	const uint32_t offset = (const uint8_t *)host - code_run;
	uint32_t lo = 1, hi = __atomic_load_n(&nr_blocks, __ATOMIC_ACQUIRE);

	if ((const uint8_t *)host < code_run || (const uint8_t *)host >= code_run + CODE_COLD)
		return NULL;
	while (hi - lo > 1) {
		const uint32_t mid = lo + (hi - lo) / 2;

		if (blocks[mid].code <= offset)
			lo = mid;
		else
			hi = mid;
	}
	return &blocks[lo];
}

uint32_t block_site(const struct block *b, const void *host)
{
	const uint32_t offset = (const uint8_t *)host - code_run;
	uint32_t at = b->site;

	for (uint32_t s = b->site; s < b->site + b->sites; s++)
		if (sites[s].access == SITE_START && sites[s].code <= offset)
			at = s;
	return at;
}
