/* SPDX-License-Identifier: MIT */
/*
 * libxengnttab, grant side: the broker checks and pins a grant, and answers with the frame; the
 * map itself is an mmap of the granter's memfd.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xengnttab.h>

#include "toolstack/xenlibs/xenlib.h"

#define MAX_REFS   1024
#define MAX_COPIES 256

struct map {
	struct map *next;
	char *addr;
	uint32_t count, nr_ids;
	uint64_t ids[]; /* the broker's, one per run of refs of one domain */
};

struct xengntdev_handle {
	struct lib_conn conn;
	pthread_mutex_t lock;
	struct map *maps;
};

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags)
{
	xengnttab_handle *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	if (!lib_conn_open(&h->conn))
		return h;
	free(h);
	return NULL;
}

int xengnttab_close(xengnttab_handle *h)
{
	struct map *m;

	if (!h)
		return 0;
	while ((m = h->maps)) {
		h->maps = m->next;
		munmap(m->addr, m->count * PAGE_SIZE);
		free(m);
	}
	lib_conn_close(&h->conn); /* the broker lets go of every grant */
	free(h);
	return 0;
}

int xengnttab_fd(xengnttab_handle *h)
{
	return h->conn.sock;
}

int xengnttab_set_max_grants(xengnttab_handle *h, uint32_t nr_grants)
{
	return 0;
}

static void release(xengnttab_handle *h, struct map *m)
{
	for (uint32_t i = 0; i < m->nr_ids; i++)
		pvd_call(h->conn.sock, PVD_GRANT_UNMAP, (uint64_t[6]){m->ids[i]}, NULL, 0, -1, NULL,
			 0, NULL, NULL);
	munmap(m->addr, m->count * PAGE_SIZE);
	free(m);
}

/* One run: refs of one domain. */
static long map_run(xengnttab_handle *h, char *addr, uint32_t domid, const uint32_t *refs,
		    uint32_t n, int prot, uint64_t off, uint64_t port)
{
	uint64_t arg[6] = {domid, !!(prot & PROT_WRITE), off, port}, mfn[MAX_REFS];
	int fds[PVD_MAX_FDS];
	long id = pvd_call(h->conn.sock, PVD_GRANT_MAP, arg, refs, n * sizeof(*refs), -1, mfn,
			   n * sizeof(*mfn), NULL, fds);

	if (id < 0 || fds[0] < 0)
		return id < 0 ? id : -EIO;
	for (uint32_t i = 0, k; i < n; i += k) {
		for (k = 1; i + k < n && mfn[i + k] == mfn[i] + k; k++)
			;
		if (mmap(addr + i * PAGE_SIZE, k * PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, fds[0],
			 mfn[i] * PAGE_SIZE) == MAP_FAILED) {
			long rc = -errno;

			pvd_call(h->conn.sock, PVD_GRANT_UNMAP, (uint64_t[6]){id}, NULL, 0, -1,
				 NULL, 0, NULL, NULL);
			close(fds[0]);
			return rc;
		}
	}
	close(fds[0]);
	return id;
}

/* step: 1 if each ref has its own domain, 0 if one domain serves all. */
static void *map(xengnttab_handle *h, uint32_t count, const uint32_t *domids, int step,
		 const uint32_t *refs, int prot, uint64_t off, uint64_t port)
{
	struct map *m;

	if (!count || count > (1U << 20)) {
		errno = EINVAL;
		return NULL;
	}
	m = calloc(1, sizeof(*m) + count * sizeof(m->ids[0]));
	if (!m)
		return NULL;
	m->count = count;
	m->addr = mmap(NULL, count * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->addr == MAP_FAILED) {
		free(m);
		return NULL;
	}
	pthread_mutex_lock(&h->lock);
	for (uint32_t i = 0, n; i < count; i += n) {
		long id;

		for (n = 1;
		     i + n < count && n < MAX_REFS && domids[(i + n) * step] == domids[i * step];
		     n++)
			;
		id = map_run(h, m->addr + i * PAGE_SIZE, domids[i * step], refs + i, n, prot, off,
			     port);
		if (id < 0) {
			release(h, m);
			pthread_mutex_unlock(&h->lock);
			errno = -id;
			return NULL;
		}
		m->ids[m->nr_ids++] = id;
	}
	m->next = h->maps;
	h->maps = m;
	pthread_mutex_unlock(&h->lock);
	return m->addr;
}

void *xengnttab_map_grant_ref(xengnttab_handle *h, uint32_t domid, uint32_t ref, int prot)
{
	return map(h, 1, &domid, 0, &ref, prot, PVD_NO_NOTIFY, PVD_NO_NOTIFY);
}

void *xengnttab_map_grant_refs(xengnttab_handle *h, uint32_t count, uint32_t *domids,
			       uint32_t *refs, int prot)
{
	return map(h, count, domids, 1, refs, prot, PVD_NO_NOTIFY, PVD_NO_NOTIFY);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *h, uint32_t count, uint32_t domid,
				      uint32_t *refs, int prot)
{
	return map(h, count, &domid, 0, refs, prot, PVD_NO_NOTIFY, PVD_NO_NOTIFY);
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *h, uint32_t domid, uint32_t ref, int prot,
				     uint32_t off, evtchn_port_t port)
{
	return map(h, 1, &domid, 0, &ref, prot, off == ~0U ? PVD_NO_NOTIFY : off,
		   port == ~0U ? PVD_NO_NOTIFY : port);
}

int xengnttab_unmap(xengnttab_handle *h, void *start, uint32_t count)
{
	struct map **pp, *m;

	pthread_mutex_lock(&h->lock);
	for (pp = &h->maps; (m = *pp) && (m->addr != start || m->count != count); pp = &m->next)
		;
	if (m) {
		*pp = m->next;
		release(h, m);
	}
	pthread_mutex_unlock(&h->lock);
	return m ? 0 : lib_ret(-EINVAL);
}

/* As many copies as one message to the broker, and its answer, have room for. */
struct batch {
	uint32_t n, in, out; /* segments; bytes to the broker and back, without the heads */
	struct pvd_copy copies[MAX_COPIES];
	xengnttab_grant_copy_segment_t *segs[MAX_COPIES];
	char data[PVD_MAX_PAYLOAD];
};

static bool batch_full(const struct batch *b)
{
	const uint32_t n = b->n + 1;

	return n > MAX_COPIES || n * sizeof(b->copies[0]) + b->in + PAGE_SIZE > PVD_MAX_PAYLOAD ||
	       n * sizeof(int16_t) + b->out + PAGE_SIZE > PVD_MAX_PAYLOAD;
}

static void batch_add(struct batch *b, xengnttab_grant_copy_segment_t *s)
{
	const bool src = s->flags & GNTCOPY_source_gref, dst = s->flags & GNTCOPY_dest_gref;
	struct pvd_copy *c = b->copies + b->n;

	*c = (struct pvd_copy){.len = s->len, .src_is_ref = src, .dst_is_ref = dst};
	if (src) {
		c->src_ref = s->source.foreign.ref;
		c->src_dom = s->source.foreign.domid;
		c->src_off = s->source.foreign.offset;
	} else {
		b->in += s->len;
	}
	if (dst) {
		c->dst_ref = s->dest.foreign.ref;
		c->dst_dom = s->dest.foreign.domid;
		c->dst_off = s->dest.foreign.offset;
	} else {
		b->out += s->len;
	}
	b->segs[b->n++] = s;
}

/* The round trip. 0, or a negative errno: no status was set. */
static long batch_run(xengnttab_handle *h, struct batch *b)
{
	const uint32_t head = b->n * sizeof(b->copies[0]);
	uint32_t at = head, back = b->n * sizeof(int16_t);
	int16_t status;
	long rc;

	memcpy(b->data, b->copies, head);
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->copies[i].src_is_ref)
			continue;
		memcpy(b->data + at, b->segs[i]->source.virt, b->segs[i]->len);
		at += b->segs[i]->len;
	}
	rc = pvd_call(h->conn.sock, PVD_GRANT_COPY, (uint64_t[6]){b->n}, b->data, at, -1, b->data,
		      back + b->out, NULL, NULL);
	for (uint32_t i = 0; rc >= 0 && i < b->n; i++) {
		memcpy(&status, b->data + i * sizeof(status), sizeof(status));
		b->segs[i]->status = status;
		if (b->copies[i].dst_is_ref)
			continue;
		if (!status)
			memcpy(b->segs[i]->dest.virt, b->data + back, b->segs[i]->len);
		back += b->segs[i]->len;
	}
	b->n = b->in = b->out = 0;
	return rc;
}

int xengnttab_grant_copy(xengnttab_handle *h, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
	struct batch *b = malloc(sizeof(*b));
	long rc = 0;

	if (!b)
		return lib_ret(-ENOMEM);
	b->n = b->in = b->out = 0;
	pthread_mutex_lock(&h->lock);
	for (uint32_t i = 0; i < count && rc >= 0; i++) {
		if (segs[i].len > PAGE_SIZE ||
		    !(segs[i].flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref))) {
			segs[i].status = GNTST_bad_copy_arg;
			continue;
		}
		if (batch_full(b))
			rc = batch_run(h, b);
		batch_add(b, segs + i);
	}
	if (rc >= 0 && b->n)
		rc = batch_run(h, b);
	pthread_mutex_unlock(&h->lock);
	free(b);
	return rc < 0 ? lib_ret(rc) : 0;
}
