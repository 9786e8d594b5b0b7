/* SPDX-License-Identifier: MIT */
/* What a request asks for. Nothing here believes a number before it was compared. */
#include <string.h>

#include "toolstack/backends/block/blk.h"

#define SECTORS_PER_PAGE (PAGE_SIZE / SECTOR)

static int parse_direct(const blkif_request_t *raw, struct blk_req *r)
{
	r->nr_segs = raw->nr_segments;
	r->sector = raw->sector_number;
	if (r->nr_segs > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		return BLKIF_RSP_ERROR;
	memcpy(r->seg, raw->seg, r->nr_segs * sizeof(r->seg[0]));
	return BLKIF_RSP_OKAY;
}

/* The response to an indirect request names the inner operation, as Linux does it. */
static int parse_indirect(const blkif_request_indirect_t *raw, struct blk_req *r)
{
	r->op = raw->indirect_op;
	r->id = raw->id;
	r->indirect = true;
	r->nr_segs = raw->nr_segments;
	r->sector = raw->sector_number;
	r->page_ref = raw->indirect_grefs[0];
	if (r->op != BLKIF_OP_READ && r->op != BLKIF_OP_WRITE)
		return BLKIF_RSP_EOPNOTSUPP;
	return r->nr_segs > MAX_SEGS ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY;
}

int request_parse(const blkif_request_t *raw, struct blk_req *r)
{
	r->op = raw->operation;
	r->id = raw->id;
	r->indirect = false;
	r->nr_segs = 0;
	switch (raw->operation) {
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
	case BLKIF_OP_FLUSH_DISKCACHE: return parse_direct(raw, r);
	case BLKIF_OP_INDIRECT: return parse_indirect((const void *)raw, r);
	case BLKIF_OP_DISCARD:
		r->sector = raw->sector_number;
		r->nr_sectors = ((const blkif_request_discard_t *)raw)->nr_sectors;
		return BLKIF_RSP_OKAY;
	}
	return BLKIF_RSP_EOPNOTSUPP;
}

static bool inside(const struct blk_req *r, const struct blk_limits *disk)
{
	return r->sector <= disk->sectors && r->nr_sectors <= disk->sectors - r->sector;
}

static int add_up_segments(struct blk_req *r)
{
	r->nr_sectors = 0;
	for (unsigned i = 0; i < r->nr_segs; i++) {
		const struct blkif_request_segment *s = r->seg + i;

		if (s->first_sect > s->last_sect || s->last_sect >= SECTORS_PER_PAGE)
			return BLKIF_RSP_ERROR;
		r->nr_sectors += s->last_sect - s->first_sect + 1;
	}
	return BLKIF_RSP_OKAY;
}

int request_check(struct blk_req *r, const struct blk_limits *disk)
{
	if (r->op == BLKIF_OP_DISCARD) {
		if (disk->ro)
			return BLKIF_RSP_ERROR;
		if (!disk->discard)
			return BLKIF_RSP_EOPNOTSUPP;
		return inside(r, disk) ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
	}
	if (r->op == BLKIF_OP_FLUSH_DISKCACHE && !r->nr_segs)
		return BLKIF_RSP_OKAY;
	if (!r->nr_segs || add_up_segments(r) || !inside(r, disk))
		return BLKIF_RSP_ERROR;
	return disk->ro && r->op != BLKIF_OP_READ ? BLKIF_RSP_ERROR : BLKIF_RSP_OKAY;
}
