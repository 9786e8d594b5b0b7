/* SPDX-License-Identifier: MIT */
/*
 * One domain maps another's grant: the granted page moves into a memfd of its own (the granter's
 * pvdom moves it, CTL_LEND), which the mapper gets, read-only where the grant says so. It moves
 * back with the last mapping. A page that domain 0 has mapped stays where it is: -EAGAIN.
 *
 * A granter's lend_lock orders what happens to its pages; it is held while that granter is asked,
 * so one that does not answer delays the use of its own grants and of no other's. It is taken
 * without state_lock, and never two of them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/grant_table.h>

#include "toolstack/pvd/pvd.h"

struct lent {
	struct lent *next;
	struct dom *granter; /* a reference */
	uint64_t mfn;
	int fd;
	uint32_t users;
};

struct mapping {
	struct mapping *next;
	uint64_t id;
	struct lent *page;
	uint32_t ref;
	bool write;
};

static struct lent *find(const struct dom *d, uint64_t mfn) /* d->lend_lock held */
{
	struct lent *p = d->lent;

	while (p && p->mfn != mfn)
		p = p->next;
	return p;
}

bool page_lent(struct dom *d, uint64_t mfn)
{
	bool lent;

	pthread_mutex_lock(&d->lend_lock);
	lent = find(d, mfn);
	pthread_mutex_unlock(&d->lend_lock);
	return lent;
}

int page_open(struct dom *d, uint64_t mfn, uint64_t *offset)
{
	struct lent *p;
	int fd;

	pthread_mutex_lock(&d->lend_lock);
	p = find(d, mfn);
	*offset = p ? 0 : mfn * PAGE_SIZE;
	fd = fcntl(p ? p->fd : d->ram_fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&d->lend_lock);
	return fd;
}

static int one_page(void)
{
	int fd = memfd_create("grant", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (!ftruncate(fd, PAGE_SIZE) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	close(fd);
	return -1;
}

static long lend(struct dom *d, uint64_t mfn, struct lent **out) /* d->lend_lock held */
{
	const uint64_t arg[4] = {mfn};
	struct lent *p;
	long rc = -ENOMEM;

	if (d->nr_lent >= PVDOM_MAX_LENT)
		return -ENOSPC;
	p = calloc(1, sizeof(*p));
	if (!p)
		return rc;
	p->fd = one_page();
	if (p->fd >= 0)
		rc = ctl_call(d, CTL_LEND, arg, NULL, 0, (int[2]){p->fd, p->fd}, NULL, NULL);
	if (rc < 0) {
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return rc;
	}
	pthread_mutex_lock(&state_lock);
	d->refs++;
	pthread_mutex_unlock(&state_lock);
	p->granter = d;
	p->mfn = mfn;
	p->next = d->lent;
	d->lent = p;
	d->nr_lent++;
	*out = p;
	return 0;
}

static long page_use(struct dom *granter, uint64_t mfn, struct lent **out)
{
	struct lent *p;
	long rc = 0;

	pthread_mutex_lock(&granter->lend_lock);
	p = find(granter, mfn);
	if (!p)
		rc = grant_dom0_maps(granter, mfn) ? -EAGAIN : lend(granter, mfn, &p);
	if (!rc) {
		p->users++;
		*out = p;
	}
	pthread_mutex_unlock(&granter->lend_lock);
	return rc;
}

/* One user less; the page moves back with the last. */
static void page_unuse(struct lent *p)
{
	struct dom *granter = p->granter;
	struct lent **pp;
	bool last;

	pthread_mutex_lock(&granter->lend_lock);
	last = !--p->users;
	if (last) {
		ctl(granter, CTL_RETURN, p->mfn, 0);
		for (pp = &granter->lent; *pp != p; pp = &(*pp)->next)
			;
		*pp = p->next;
		granter->nr_lent--;
	}
	pthread_mutex_unlock(&granter->lend_lock);
	if (!last)
		return;
	close(p->fd);
	free(p);
	dom_put(granter);
}

/* The mapper's own descriptor, twice: one that cannot write where the grant does not let it. */
static long descriptors(const struct lent *p, bool write, int fds[2])
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
	fds[0] = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	fds[1] = fds[0] < 0 ? -1 : fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	return fds[1] < 0 ? -EMFILE : 0;
}

/* Its id. Not for a domain that is being destroyed: nobody would undo it. */
static long mapping_add(struct dom *d, struct mapping *m)
{
	static uint64_t next_id;
	long rc = -ESRCH;

	pthread_mutex_lock(&state_lock);
	if (!d->dying && d->nr_mappings >= PVDOM_MAX_MAPPINGS) {
		rc = -ENOSPC;
	} else if (!d->dying) {
		rc = m->id = next_id++ & INT64_MAX;
		m->next = d->mappings;
		d->mappings = m;
		d->nr_mappings++;
	}
	pthread_mutex_unlock(&state_lock);
	return rc;
}

/* The one with this id, or NULL for any; no longer listed. */
static struct mapping *mapping_take(struct dom *d, const uint64_t *id)
{
	struct mapping **pp, *m;

	pthread_mutex_lock(&state_lock);
	for (pp = &d->mappings; (m = *pp) && id && m->id != *id; pp = &m->next)
		;
	if (m) {
		*pp = m->next;
		d->nr_mappings--;
	}
	pthread_mutex_unlock(&state_lock);
	return m;
}

static void mapping_end(struct mapping *m)
{
	grant_release(m->page->granter, m->ref, m->write);
	page_unuse(m->page);
	free(m);
}

static long map(struct dom *d, struct dom *granter, uint32_t ref, bool write, int fds[2])
{
	struct mapping *m = calloc(1, sizeof(*m));
	uint64_t mfn;
	long rc;

	if (!m)
		return -ENOMEM;
	if (grant_acquire(granter, ref, d->id, write, &mfn)) {
		free(m);
		return -EINVAL;
	}
	rc = page_use(granter, mfn, &m->page);
	if (rc) {
		grant_release(granter, ref, write);
		free(m);
		return rc;
	}
	m->ref = ref;
	m->write = write;
	rc = descriptors(m->page, write, fds);
	if (!rc)
		rc = mapping_add(d, m);
	if (rc < 0)
		mapping_end(m);
	return rc;
}

long domain_grant_map(struct dom *d, uint32_t domid, uint32_t ref, uint32_t flags, int fds[2])
{
	struct dom *granter = domid == d->id ? NULL : dom_get(domid);
	long rc;

	if (!granter)
		return -ESRCH;
	rc = map(d, granter, ref, !(flags & GNTMAP_readonly), fds);
	dom_put(granter);
	return rc;
}

long domain_grant_unmap(struct dom *d, uint64_t id)
{
	struct mapping *m = mapping_take(d, &id);

	if (!m)
		return -EINVAL;
	mapping_end(m);
	return 0;
}

void grants_of_domain(struct dom *d)
{
	struct mapping *m;

	while ((m = mapping_take(d, NULL)))
		mapping_end(m);
}
