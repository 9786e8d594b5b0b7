/* SPDX-License-Identifier: MIT */
/*
 * Which requests are taken and not answered. A request is copied into a free slot, then req_cons
 * passes it; its answer's index is written into the slot, then the answer into the ring, then the
 * ring's rsp_prod passes it. So after any of these stores a successor can tell for each request
 * whether it is still to be taken from the ring, to be executed (again), or answered. The copies
 * are needed because answers overwrite requests in the ring.
 */
#include <stdlib.h>
#include <string.h>

#include "toolstack/backends/block/blk.h"

void journal_begin(struct journal *j, uint32_t req_cons)
{
	for (unsigned i = 0; i < MAX_RING; i++)
		j->slot[i].state = SLOT_FREE;
	j->req_cons = req_cons;
}

void journal_take(struct journal *j, uint32_t nr, const blkif_request_t *req)
{
	struct slot *s = j->slot + nr;

	s->req = *req;
	s->req_idx = j->req_cons;
	STEP();
	s->state = SLOT_TAKEN;
	STEP();
	j->req_cons++;
	STEP();
}

void journal_answer(struct journal *j, uint32_t nr, uint32_t rsp_idx)
{
	j->slot[nr].rsp_idx = rsp_idx;
	STEP();
	j->slot[nr].state = SLOT_ANSWERED;
	STEP();
}

void journal_free(struct journal *j, uint32_t nr)
{
	STEP(); /* not before its answer is published */
	j->slot[nr].state = SLOT_FREE;
}

static bool before(uint32_t a, uint32_t b) /* indices run over */
{
	return (int32_t)(a - b) < 0;
}

static bool is_open(const struct journal *j, const struct slot *s, uint32_t rsp_prod)
{
	if (s->state == SLOT_FREE || !before(s->req_idx, j->req_cons))
		return false; /* the second: copied, but req_cons has not passed it */
	return s->state == SLOT_TAKEN || !before(s->rsp_idx, rsp_prod);
}

static void sort_by_age(const struct journal *j, uint16_t *redo, int n)
{
	for (int i = 1; i < n; i++) {
		const uint16_t nr = redo[i];
		int at = i;

		for (; at && before(j->slot[nr].req_idx, j->slot[redo[at - 1]].req_idx); at--)
			redo[at] = redo[at - 1];
		redo[at] = nr;
	}
}

int journal_recover(struct journal *j, uint32_t rsp_prod, uint16_t *redo)
{
	int n = 0;

	for (unsigned i = 0; i < MAX_RING; i++) {
		struct slot *s = j->slot + i;

		if (is_open(j, s, rsp_prod)) {
			s->state = SLOT_TAKEN;
			redo[n++] = i;
		} else {
			s->state = SLOT_FREE;
		}
	}
	sort_by_age(j, redo, n);
	return (uint32_t)n == j->req_cons - rsp_prod ? n : -1;
}
