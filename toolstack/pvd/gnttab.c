/* SPDX-License-Identifier: MIT */
/*
 * Grants that cross a domain's border. The granter's table (version 1) is memory that the guest
 * writes at any time: an entry's flags and domid are checked and marked in use by one compare and
 * swap, its frame is read once afterwards and checked against the memfd.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/grant_table.h>

#include "toolstack/pvd/pvd.h"

struct grant_map {
	struct grant_map *next;
	uint64_t id;
	struct dom *d;
	bool write;
	uint64_t notify_off, notify_port;
	uint32_t n;
	struct {
		uint32_t ref;
		uint64_t mfn;
	} page[];
};

void grants_init(struct dom *d) /* state_lock held; the memfd is sealed */
{
	void *p = mmap(NULL, PVDOM_GRANT_FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       d->ram_fd, PVDOM_MFN_GRANT * PAGE_SIZE);

	d->grant_count = calloc(NR_GRANTS, sizeof(*d->grant_count));
	if (p != MAP_FAILED && d->grant_count)
		d->grants = p;
}

/* Mark a grant in use by domain `by`. GNTST_okay and its frame, or the reason why not. */
static int acquire(struct dom *d, uint32_t ref, uint16_t by, bool write, uint64_t *mfn)
{
	uint32_t *word, old, new;
	int rc = GNTST_okay;

	if (ref >= NR_GRANTS)
		return GNTST_bad_gntref;
	pthread_mutex_lock(&state_lock);
	if (!d->grants) {
		rc = GNTST_general_error;
		goto out;
	}
	word = (uint32_t *)&d->grants[ref]; /* flags, then domid */
	old = __atomic_load_n(word, __ATOMIC_ACQUIRE);
	do {
		if ((old & (GTF_type_mask | GTF_sub_page)) != GTF_permit_access ||
		    old >> 16 != by || (write && (old & GTF_readonly)) ||
		    d->grant_count[ref].readers == UINT16_MAX) {
			rc = GNTST_general_error;
			goto out;
		}
		new = old | GTF_reading | (write ? GTF_writing : 0);
	} while (!__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_ACQUIRE));
	*mfn = __atomic_load_n(&d->grants[ref].frame, __ATOMIC_ACQUIRE);
	d->grant_count[ref].readers++;
	d->grant_count[ref].writers += write;
out:
	pthread_mutex_unlock(&state_lock);
	return rc;
}

void grant_release(struct dom *d, uint32_t ref, bool write)
{
	struct grant_count *n = d->grant_count + ref;
	uint16_t clear = 0;

	pthread_mutex_lock(&state_lock);
	n->readers--;
	n->writers -= write;
	if (write && !n->writers)
		clear |= GTF_writing;
	if (!n->readers)
		clear |= GTF_reading;
	__atomic_and_fetch(&d->grants[ref].flags, (uint16_t)~clear, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&state_lock);
}

static bool is_ram(const struct dom *d, uint64_t mfn)
{
	return mfn >= PVDOM_MFN_RAM && mfn < d->nr_frames;
}

int grant_acquire(struct dom *d, uint32_t ref, uint16_t by, bool write, uint64_t *mfn)
{
	int rc = acquire(d, ref, by, write, mfn);

	if (!rc && !is_ram(d, *mfn)) {
		grant_release(d, ref, write);
		rc = GNTST_bad_page;
	}
	return rc;
}

/*
 * The same. A frame that is to be written to is held by the granter's process as well: it is no
 * page table then, and becomes none.
 */
static int take(struct dom *d, uint32_t ref, uint16_t by, bool write, uint64_t *mfn)
{
	int rc = grant_acquire(d, ref, by, write, mfn);

	if (!rc && write && ctl(d, CTL_HOLD, *mfn, 1) != 1) {
		grant_release(d, ref, write);
		rc = GNTST_general_error;
	}
	return rc;
}

static void give_back(struct dom *d, uint32_t ref, bool write, uint64_t mfn)
{
	if (write)
		ctl(d, CTL_DROP, mfn, 1);
	grant_release(d, ref, write);
}

static void count_dom0(struct dom *d, uint32_t ref, int by)
{
	pthread_mutex_lock(&state_lock);
	d->grant_count[ref].dom0 += by;
	pthread_mutex_unlock(&state_lock);
}

bool grant_dom0_maps(struct dom *d, uint64_t mfn)
{
	bool found = false;

	pthread_mutex_lock(&state_lock);
	for (uint32_t i = 0; i < NR_GRANTS && !found; i++)
		found = d->grant_count[i].dom0 && d->grants[i].frame == mfn;
	pthread_mutex_unlock(&state_lock);
	return found;
}

static long to_errno(int gntst)
{
	return gntst == GNTST_bad_domain ? -ESRCH : gntst == GNTST_eagain ? -EAGAIN : -EINVAL;
}

long grant_map(struct client *c, const struct pvd_req *q, const uint32_t *refs, uint64_t *mfns,
	       int *fd)
{
	const uint32_t n = q->len / sizeof(*refs);
	struct grant_map *m;
	uint32_t i;
	int rc = 0;

	if (!n || q->len % sizeof(*refs) || n > PVD_MAX_PAYLOAD / sizeof(*mfns))
		return -EINVAL;
	m = calloc(1, sizeof(*m) + n * sizeof(m->page[0]));
	if (!m)
		return -ENOMEM;
	m->d = dom_get(q->arg[0]);
	if (!m->d) {
		free(m);
		return -ESRCH;
	}
	m->write = q->arg[1];
	m->notify_off = q->arg[2];
	m->notify_port = q->arg[3];
	m->n = n;
	for (i = 0; i < n; i++) {
		rc = take(m->d, refs[i], 0, m->write, mfns + i);
		if (rc)
			break;
		m->page[i].ref = refs[i];
		m->page[i].mfn = mfns[i];
		count_dom0(m->d, refs[i], 1);
		if (page_lent(m->d, mfns[i])) { /* to a guest, right now: not in the memfd */
			rc = GNTST_eagain;
			i++;
			break;
		}
	}
	if (rc) {
		while (i--) {
			count_dom0(m->d, refs[i], -1);
			give_back(m->d, refs[i], m->write, mfns[i]);
		}
		dom_put(m->d);
		free(m);
		return to_errno(rc);
	}
	m->id = c->next_map++ & INT64_MAX;
	m->next = c->maps;
	c->maps = m;
	*fd = m->d->ram_fd;
	return m->id;
}

static void drop(struct grant_map *m)
{
	if (m->notify_off < (uint64_t)m->n * PAGE_SIZE && m->n == 1 && m->write &&
	    pwrite(m->d->ram_fd, "", 1, m->page[0].mfn * PAGE_SIZE + m->notify_off) < 0)
		log_line("d%u: unmap notification failed: %d", m->d->id, errno);
	for (uint32_t i = 0; i < m->n; i++) {
		count_dom0(m->d, m->page[i].ref, -1);
		give_back(m->d, m->page[i].ref, m->write, m->page[i].mfn);
	}
	if (m->notify_port != PVD_NO_NOTIFY)
		port_notify(m->notify_port);
	dom_put(m->d);
	free(m);
}

long grant_unmap(struct client *c, uint64_t id)
{
	struct grant_map **pp, *m;

	for (pp = &c->maps; (m = *pp) && m->id != id; pp = &m->next)
		;
	if (!m)
		return -EINVAL;
	*pp = m->next;
	drop(m);
	return 0;
}

/* Before its ports are closed: the notifications go through them. */
void grants_of_client(struct client *c)
{
	while (c->maps)
		grant_unmap(c, c->maps->id);
}

/* One side of a copy: a grant of d's, or (ref == ~0UL) the frame `mfn` itself. */
struct side {
	struct dom *d;
	uint64_t ref, mfn;
	uint16_t off;
};

static int side_open(struct side *s, uint16_t by, bool write)
{
	if (!s->d)
		return GNTST_bad_domain;
	if (s->ref != ~0UL)
		return take(s->d, s->ref, by, write, &s->mfn);
	return is_ram(s->d, s->mfn) ? GNTST_okay : GNTST_bad_page;
}

static void side_close(struct side *s, bool write)
{
	if (s->ref != ~0UL)
		give_back(s->d, s->ref, write, s->mfn);
}

static int page_io(const struct side *s, char *buf, uint16_t len, bool write)
{
	uint64_t offset;
	int fd = page_open(s->d, s->mfn, &offset);
	ssize_t n;

	if (fd < 0)
		return GNTST_general_error;
	offset += s->off;
	n = write ? pwrite(fd, buf, len, offset) : pread(fd, buf, len, offset);
	close(fd);
	return n == len ? GNTST_okay : GNTST_general_error;
}

/* buf: where the bytes pass through. A NULL side is buf itself. */
static int copy(struct side *src, struct side *dst, uint16_t by, char *buf, uint16_t len)
{
	int rc = GNTST_okay;

	if (len > PAGE_SIZE || (src && src->off + len > (int)PAGE_SIZE) ||
	    (dst && dst->off + len > (int)PAGE_SIZE))
		return GNTST_bad_copy_arg;
	if (src) {
		rc = side_open(src, by, false);
		if (rc)
			return rc;
		rc = page_io(src, buf, len, false);
		side_close(src, false);
	}
	if (dst && !rc) {
		rc = side_open(dst, by, true);
		if (rc)
			return rc;
		rc = page_io(dst, buf, len, true);
		side_close(dst, true);
	}
	return rc;
}

/* data: len bytes the client sent (or room for PAGE_SIZE to answer with). */
int grant_copy_client(const struct pvd_copy *cp, void *data, uint32_t len)
{
	struct side src = {.ref = cp->src_ref, .off = cp->src_off};
	struct side dst = {.ref = cp->dst_ref, .off = cp->dst_off};
	int rc;

	if ((!cp->src_is_ref && len < cp->len) || (!cp->src_is_ref && !cp->dst_is_ref))
		return GNTST_bad_copy_arg;
	if (cp->src_is_ref)
		src.d = dom_get(cp->src_dom);
	if (cp->dst_is_ref)
		dst.d = dom_get(cp->dst_dom);
	rc = copy(cp->src_is_ref ? &src : NULL, cp->dst_is_ref ? &dst : NULL, 0, data, cp->len);
	if (src.d)
		dom_put(src.d);
	if (dst.d)
		dom_put(dst.d);
	return rc;
}

/* A grant may be of any domain; a frame by number only of the caller's own. */
static struct side side_of(struct dom *d, const struct gnttab_copy_ptr *p, bool is_ref)
{
	struct side s = {.ref = ~0UL, .off = p->offset};

	if (is_ref)
		s.ref = p->u.ref;
	else
		s.mfn = p->u.gmfn;
	if (p->domid == DOMID_SELF || p->domid == d->id)
		s.d = dom_get(d->id);
	else if (is_ref)
		s.d = dom_get(p->domid);
	return s;
}

void grant_copy_domain(struct dom *d, struct gnttab_copy *ops, unsigned n)
{
	char buf[PAGE_SIZE];

	for (unsigned i = 0; i < n; i++) {
		struct gnttab_copy *op = ops + i;
		struct side src = side_of(d, &op->source, op->flags & GNTCOPY_source_gref);
		struct side dst = side_of(d, &op->dest, op->flags & GNTCOPY_dest_gref);

		op->status = src.d && dst.d ? copy(&src, &dst, d->id, buf, op->len)
					    : GNTST_bad_domain;
		if (src.d)
			dom_put(src.d);
		if (dst.d)
			dom_put(dst.d);
	}
}
