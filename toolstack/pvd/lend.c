/* SPDX-License-Identifier: MIT */
/*
 * One domain maps another's grant: the granted page moves into a memfd of its own (the granter's
 * pvdom moves it, CTL_LEND), which the mapper gets, read-only where the grant says so. It moves
 * back with the last mapping. A page that domain 0 has mapped stays where it is: -EAGAIN.
 *
 * lend_lock orders all of it; it is held while a granter is asked, so it is taken by the threads
 * that serve `up` sockets and by whoever ends a domain, never with state_lock held.
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
	struct dom *granter;
	uint64_t mfn;
	int fd;
	uint32_t users;
};

struct mapping {
	struct mapping *next;
	uint64_t id;
	uint16_t mapper;
	struct lent *page;
	uint32_t ref;
	bool write;
};

static pthread_mutex_t lend_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lent *pages;
static struct mapping *mappings;
static uint64_t next_id;

static struct lent *find(const struct dom *d, uint64_t mfn)
{
	struct lent *p = pages;

	while (p && (p->granter != d || p->mfn != mfn))
		p = p->next;
	return p;
}

bool page_lent(struct dom *d, uint64_t mfn)
{
	bool lent;

	pthread_mutex_lock(&lend_lock);
	lent = find(d, mfn);
	pthread_mutex_unlock(&lend_lock);
	return lent;
}

int page_open(struct dom *d, uint64_t mfn, uint64_t *offset)
{
	struct lent *p;
	int fd;

	pthread_mutex_lock(&lend_lock);
	p = find(d, mfn);
	*offset = p ? 0 : mfn * PAGE_SIZE;
	fd = fcntl(p ? p->fd : d->ram_fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&lend_lock);
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

static long lend(struct dom *d, uint64_t mfn, struct lent **out)
{
	const uint64_t arg[4] = {mfn};
	struct lent *p = calloc(1, sizeof(*p));
	long rc = -ENOMEM;

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
	p->next = pages;
	pages = p;
	*out = p;
	return 0;
}

static void unlend(struct lent *p)
{
	struct lent **pp = &pages;

	if (p->users)
		return;
	ctl(p->granter, CTL_RETURN, p->mfn, 0);
	while (*pp != p)
		pp = &(*pp)->next;
	*pp = p->next;
	close(p->fd);
	dom_put(p->granter);
	free(p);
}

/* The mapper's own descriptor: one that cannot write where the grant does not let it. */
static int descriptor(const struct lent *p, bool write)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
	return open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
}

static long map_locked(struct dom *d, struct dom *granter, uint32_t ref, bool write, int fds[2])
{
	struct mapping *m = calloc(1, sizeof(*m));
	struct lent *p = NULL;
	uint64_t mfn;
	long rc = 0;

	if (!m)
		return -ENOMEM;
	if (grant_acquire(granter, ref, d->id, write, &mfn)) {
		free(m);
		return -EINVAL;
	}
	p = find(granter, mfn);
	if (!p)
		rc = grant_dom0_maps(granter, mfn) ? -EAGAIN : lend(granter, mfn, &p);
	if (!rc) {
		fds[0] = descriptor(p, write);
		fds[1] = fds[0] < 0 ? -1 : fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
		rc = fds[1] < 0 ? -EMFILE : 0;
	}
	if (rc) {
		if (p)
			unlend(p);
		grant_release(granter, ref, write);
		free(m);
		return rc;
	}
	p->users++;
	*m = (struct mapping){mappings, next_id++ & INT64_MAX, d->id, p, ref, write};
	mappings = m;
	return m->id;
}

long domain_grant_map(struct dom *d, uint32_t domid, uint32_t ref, uint32_t flags, int fds[2])
{
	struct dom *granter = domid == d->id ? NULL : dom_get(domid);
	long rc;

	if (!granter)
		return -ESRCH;
	pthread_mutex_lock(&lend_lock);
	rc = map_locked(d, granter, ref, !(flags & GNTMAP_readonly), fds);
	pthread_mutex_unlock(&lend_lock);
	dom_put(granter);
	return rc;
}

static void drop(struct mapping **pp)
{
	struct mapping *m = *pp;

	*pp = m->next;
	grant_release(m->page->granter, m->ref, m->write);
	m->page->users--;
	unlend(m->page);
	free(m);
}

long domain_grant_unmap(struct dom *d, uint64_t id)
{
	struct mapping **pp;
	long rc = -EINVAL;

	pthread_mutex_lock(&lend_lock);
	for (pp = &mappings; *pp; pp = &(*pp)->next)
		if ((*pp)->id == id && (*pp)->mapper == d->id) {
			drop(pp);
			rc = 0;
			break;
		}
	pthread_mutex_unlock(&lend_lock);
	return rc;
}

void grants_of_domain(uint16_t domid)
{
	struct mapping **pp = &mappings;

	pthread_mutex_lock(&lend_lock);
	while (*pp)
		if ((*pp)->mapper == domid)
			drop(pp);
		else
			pp = &(*pp)->next;
	pthread_mutex_unlock(&lend_lock);
}
