/* SPDX-License-Identifier: MIT */
/*
 * The frame table: who owns a machine frame, what it is used as, how often it is referenced.
 *
 * A frame that backs a page table or a descriptor table is never mapped writable at the same
 * time, because both are types and a frame has one type while type_count > 0. d->lock is held.
 */
#include <sys/mman.h>

#include "hypercalls/monitor/mm.h"

static size_t m2p_size(const struct domain *d)
{
	/* Of whole 2 MiB, to be mapped by large pages. */
	return (d->nr_frames * sizeof(uint64_t) + 2 * M2P_ALIGN - 1) & -M2P_ALIGN;
}

size_t frame_tables(const struct domain *d)
{
	return d->nr_frames * sizeof(struct frame) + m2p_size(d);
}

int frame_init(struct domain *d)
{
	void *table = mmap(NULL, d->nr_frames * sizeof(struct frame), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (table == MAP_FAILED)
		return -ENOMEM;
	d->map_clock = 1;
	d->frame = table; /* zeroed: every frame FRAME_FREE, untouched memory costs nothing */
	table = mmap(NULL, m2p_size(d), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		return -ENOMEM;
	d->m2p = (uint64_t *)(((uintptr_t)table + M2P_ALIGN - 1) & -M2P_ALIGN);
	for (uint64_t mfn = 0; mfn < PVDOM_MFN_RAM && mfn < d->nr_frames; mfn++)
		d->frame[mfn].kind = FRAME_HEAP;
	d->alloc_hint = PVDOM_MFN_RAM;
	return 0;
}

bool frame_is_ram(struct domain *d, uint64_t mfn)
{
	return mfn < d->nr_frames && d->frame[mfn].kind == FRAME_RAM;
}

/* The heap frames a guest may map: shared_info and the grant table in use. */
static bool heap_mappable(struct domain *d, uint64_t mfn)
{
	if (mfn >= PVDOM_MFN_FOREIGN) /* another domain's page: only a grant operation may */
		return d->frame[mfn].pinned;
	return mfn == PVDOM_MFN_SHARED_INFO ||
	       (mfn >= PVDOM_MFN_GRANT && mfn < PVDOM_MFN_GRANT + d->grant_frames);
}

static bool range_free(struct domain *d, uint64_t mfn, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (d->frame[mfn + i].kind != FRAME_FREE)
			return false;
	return true;
}

uint64_t frame_alloc(struct domain *d, unsigned order, uint64_t pfn)
{
	const uint64_t n = 1UL << order;
	uint64_t start, mfn;

	if (d->tot_pages + n > d->max_pages)
		return INVALID_MFN;
	start = mfn = (d->alloc_hint + n - 1) & ~(n - 1);
	for (bool wrapped = false;;) {
		if (mfn + n > d->nr_frames) {
			if (wrapped)
				return INVALID_MFN;
			wrapped = true;
			mfn = (PVDOM_MFN_RAM + n - 1) & ~(n - 1);
			if (mfn + n > d->nr_frames)
				return INVALID_MFN;
		}
		if (range_free(d, mfn, n))
			break;
		mfn += n;
		if (wrapped && mfn > start)
			return INVALID_MFN;
	}
	for (uint64_t i = 0; i < n; i++) {
		struct frame *f = &d->frame[mfn + i];

		*f = (struct frame){.kind = FRAME_RAM,
				    .va_hint = VA_HINT_NONE,
				    .lost_at = f->lost_at,
				    .last_type = f->last_type};
		d->m2p[mfn + i] = pfn == INVALID_MFN ? pfn : pfn + i;
	}
	d->tot_pages += n;
	d->alloc_hint = mfn + n;
	return mfn;
}

void frame_scrub(struct domain *d, uint64_t mfn, unsigned order)
{
	madvise(frame_ptr(d, mfn), PAGE_SIZE << order, MADV_REMOVE);
}

/* Nobody refers to it any more: back to the host, to be found zeroed if allocated again. */
static void frame_release(struct domain *d, uint64_t mfn)
{
	const struct frame *f = &d->frame[mfn];

	d->tot_pages--;
	d->frame[mfn] = (struct frame){.lost_at = f->lost_at, .last_type = f->last_type};
	frame_scrub(d, mfn, 0);
}

/*
 * Leaves the reservation now; the memory goes, and is counted as gone, with the last reference:
 * a mapped frame, or a pinned table, stays what it is until then (as on Xen).
 */
int frame_free(struct domain *d, uint64_t mfn)
{
	if (!frame_is_ram(d, mfn))
		return -EINVAL;
	d->frame[mfn].kind = FRAME_DYING;
	if (!d->frame[mfn].ref_count)
		frame_release(d, mfn);
	return 0;
}

int frame_get(struct domain *d, uint64_t mfn)
{
	if (mfn >= d->nr_frames) /* Xen takes it for a device's, unless it is the invalid frame */
		return mfn == PTE_MFN_MASK >> PAGE_SHIFT ? -EINVAL : -EPERM;
	if (d->frame[mfn].kind == FRAME_HEAP)
		return heap_mappable(d, mfn) ? 0 : -EINVAL;
	if (!frame_is_owned(d, mfn) || d->frame[mfn].ref_count == UINT32_MAX)
		return -EBUSY;
	d->frame[mfn].ref_count++;
	return 0;
}

void frame_put(struct domain *d, uint64_t mfn)
{
	struct frame *f = &d->frame[mfn];

	if (f->kind == FRAME_HEAP)
		return;
	if (--f->ref_count == 0 && f->kind == FRAME_DYING)
		frame_release(d, mfn);
}

int frame_get_type(struct domain *d, uint64_t mfn, enum frame_type type)
{
	struct frame *f;
	int rc;

	if (!frame_is_owned(d, mfn))
		return -EINVAL;
	f = &d->frame[mfn];
	if (f->type_count && f->type != type)
		return -EINVAL;
	if (f->type_count == UINT32_MAX)
		return -EBUSY;
	rc = frame_get(d, mfn);
	if (rc)
		return rc;
	if (f->type_count++)
		return 0;
	tlb_flush_for_retype(d, f, type);
	/* Typed before its entries are looked at: an entry that names this frame is refused. */
	f->type = type;
	f->va_hint = VA_HINT_NONE;
	rc = frame_validate(d, mfn, type);
	if (rc) {
		f->type_count = 0;
		f->type = FT_NONE;
		frame_put(d, mfn);
	}
	return rc;
}

void frame_put_type(struct domain *d, uint64_t mfn, enum frame_type type)
{
	struct frame *f = &d->frame[mfn];

	if (f->type_count == 1) {
		map_changed(d);
		if (d->provider->table_lost && type <= FT_L4 && type >= FT_L1)
			d->provider->table_lost(d, mfn);
		frame_invalidate(d, mfn, type);
		tlb_note_loss(d, f);
		f->type = FT_NONE;
	}
	f->type_count--;
	frame_put(d, mfn);
}
