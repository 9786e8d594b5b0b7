/* SPDX-License-Identifier: MIT */
/*
 * Frames whose memory lies outside the domain's memfd: a page lent to another domain while that
 * maps our grant of it, and a page borrowed from another domain by a grant of its.
 *
 * A process that holds a memfd can map all of it, so a domain must never hold another's. A page
 * that is granted and mapped moves into a memfd of its own, which both hold, and moves back when
 * the last mapping ends. Borrowed pages are numbered PVDOM_MFN_FOREIGN and up, among the heap
 * frames, and no page-table entry but the one that a grant operation writes may name them.
 *
 * d->lock is held by every caller.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "hypercalls/monitor/mm.h"

#define MAX_PAGES PVDOM_MAX_LENT /* lent and borrowed at a time */

static int page_fd[MAX_PAGES]; /* descriptor + 1; frame.elsewhere is the index + 1 */

static int keep_fd(int fd)
{
	for (int i = 0; i < MAX_PAGES; i++)
		if (!page_fd[i]) {
			page_fd[i] = fd + 1;
			return i + 1;
		}
	return 0;
}

static void drop_fd(struct frame *f)
{
	close(page_fd[f->elsewhere - 1] - 1);
	page_fd[f->elsewhere - 1] = 0;
	f->elsewhere = 0;
}

int frame_backing(struct domain *d, uint64_t mfn, uint64_t *offset)
{
	const struct frame *f = &d->frame[mfn];

	*offset = f->elsewhere ? 0 : mfn << PAGE_SHIFT;
	return f->elsewhere ? page_fd[f->elsewhere - 1] - 1 : d->ram_fd;
}

/* Let the monitor's own mapping of a frame show this page instead. */
static bool show(struct domain *d, uint64_t mfn, int prot, int fd, uint64_t offset)
{
	return mmap(frame_ptr(d, mfn), PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, fd, offset) !=
	       MAP_FAILED;
}

/*
 * Nobody may write to the page while it moves. The guest cannot: its mirror is emptied, and its
 * next access waits for d->lock. The monitor's own accesses without the lock (a trap frame, the
 * runstate area) find the page read-only and are tried again until it is not (signals.c).
 */
static bool move(struct domain *d, uint64_t mfn, int from, uint64_t from_off, int to,
		 uint64_t to_off)
{
	void *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, to, to_off);

	if (p == MAP_FAILED)
		return false;
	if (!show(d, mfn, PROT_READ, from, from_off)) {
		munmap(p, PAGE_SIZE);
		return false;
	}
	if (d->provider->frame_moves)
		d->provider->frame_moves(d, mfn);
	else
		mirror_invalidate(d, FLUSH_ALL);
	memcpy(p, frame_ptr(d, mfn), PAGE_SIZE);
	munmap(p, PAGE_SIZE);
	return show(d, mfn, PROT_READ | PROT_WRITE, to, to_off);
}

int frame_lend(struct domain *d, uint64_t mfn, int fd)
{
	struct frame *f;
	int rc;

	if (!frame_is_ram(d, mfn))
		return -EINVAL;
	f = &d->frame[mfn];
	if (f->elsewhere)
		return -EBUSY;
	/* Also for a read-only grant: a page table does not move. */
	rc = frame_get_type(d, mfn, FT_WRITABLE);
	if (rc)
		return rc;
	if (!move(d, mfn, d->ram_fd, mfn << PAGE_SHIFT, fd, 0)) {
		show(d, mfn, PROT_READ | PROT_WRITE, d->ram_fd, mfn << PAGE_SHIFT);
		frame_put_type(d, mfn, FT_WRITABLE);
		return -ENOMEM;
	}
	f->elsewhere = keep_fd(fd);
	frame_written(d, mfn); /* whoever it is lent to will */
	if (!f->elsewhere) {
		move(d, mfn, fd, 0, d->ram_fd, mfn << PAGE_SHIFT);
		frame_put_type(d, mfn, FT_WRITABLE);
		return -ENOSPC;
	}
	return 0;
}

int frame_return(struct domain *d, uint64_t mfn)
{
	if (mfn < PVDOM_MFN_RAM || mfn >= d->nr_frames || !d->frame[mfn].elsewhere)
		return -EINVAL;
	if (!move(d, mfn, page_fd[d->frame[mfn].elsewhere - 1] - 1, 0, d->ram_fd,
		  mfn << PAGE_SHIFT))
		return -ENOMEM;
	drop_fd(&d->frame[mfn]);
	frame_put_type(d, mfn, FT_WRITABLE);
	return 0;
}

uint64_t frame_borrow(struct domain *d, int fd, bool write)
{
	for (uint64_t mfn = PVDOM_MFN_FOREIGN; mfn < PVDOM_MFN_RAM; mfn++) {
		struct frame *f = &d->frame[mfn];

		if (f->elsewhere)
			continue;
		f->elsewhere = keep_fd(fd);
		if (!f->elsewhere)
			return INVALID_MFN;
		if (show(d, mfn, PROT_READ | (write ? PROT_WRITE : 0), fd, 0))
			return mfn;
		page_fd[f->elsewhere - 1] = 0; /* the caller closes it */
		f->elsewhere = 0;
		return INVALID_MFN;
	}
	return INVALID_MFN;
}

void frame_give_back(struct domain *d, uint64_t mfn)
{
	mirror_invalidate(d, FLUSH_ALL);
	tlb_flush(d, ALL_VCPUS, FLUSH_ALL);
	show(d, mfn, PROT_READ | PROT_WRITE, d->ram_fd, mfn << PAGE_SHIFT);
	drop_fd(&d->frame[mfn]);
}
