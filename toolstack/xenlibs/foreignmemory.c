/* SPDX-License-Identifier: MIT */
/*
 * libxenforeignmemory: a domain's memory is its memfd, and a frame number a page offset in it. So
 * a map is one mmap per run of consecutive frames, and callers may munmap it themselves.
 *
 * Runs that are mapped to write to are held by the broker, if the guest could make page tables of
 * them meanwhile (PVD_HOLD): until xenforeignmemory_unmap; after a munmap, until the handle closes.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/memory.h>
#include <xenforeignmemory.h>

#include "hypercalls/pvdom/proto.h"
#include "toolstack/xenlibs/xenlib.h"

struct held {
	struct held *next;
	char *addr;
	size_t len;
	uint64_t id; /* the broker's */
};

struct xenforeignmemory_handle {
	struct lib_conn conn;
	pthread_mutex_t lock; /* of all below, and of the way to the broker */
	struct held *held;
};

struct ram {
	int fd;
	uint64_t frames;
	bool has_run;
};

struct xenforeignmemory_resource_handle {
	void *addr;
	size_t len;
};

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned flags)
{
	xenforeignmemory_handle *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	if (!lib_conn_open(&f->conn))
		return f;
	free(f);
	return NULL;
}

int xenforeignmemory_close(xenforeignmemory_handle *f)
{
	struct held *h;

	if (!f)
		return 0;
	lib_conn_close(&f->conn); /* the broker drops what it holds for us */
	while ((h = f->held)) {
		f->held = h->next;
		free(h);
	}
	free(f);
	return 0;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *f, domid_t domid)
{
	return lib_restrict(f->conn.sock, domid);
}

static int ram_open(xenforeignmemory_handle *f, uint32_t dom, struct ram *r)
{
	uint64_t out[2];
	int fds[PVD_MAX_FDS];
	long rc = pvd_call(f->conn.sock, PVD_DOMAIN_RAM, (uint64_t[6]){dom}, NULL, 0, -1, NULL, 0,
			   out, fds);

	if (rc < 0 || fds[0] < 0)
		return lib_ret(rc < 0 ? rc : -EIO);
	*r = (struct ram){fds[0], out[0], out[1]};
	return 0;
}

/*
 * To write to `n` frames from mfn on, mapped at addr: how many of them may be, from the first on;
 * -errno if none.
 */
static long hold(xenforeignmemory_handle *f, uint32_t dom, char *addr, uint64_t mfn, size_t n)
{
	struct held *h = malloc(sizeof(*h));
	uint64_t out[2];
	long may;

	if (!h)
		return -ENOMEM;
	may = pvd_call(f->conn.sock, PVD_HOLD, (uint64_t[6]){dom, mfn, n}, NULL, 0, -1, NULL, 0,
		       out, NULL);
	if (may <= 0) {
		free(h);
		return may ? may : -EINVAL;
	}
	h->addr = addr;
	h->len = may * PAGE_SIZE;
	h->id = out[0];
	h->next = f->held;
	f->held = h;
	return may;
}

static int unmap(xenforeignmemory_handle *f, char *addr, size_t len)
{
	struct held **pp = &f->held, *h;

	if (munmap(addr, len))
		return -1;
	while ((h = *pp)) {
		if (h->addr < addr || h->addr + h->len > addr + len) {
			pp = &h->next;
			continue;
		}
		*pp = h->next;
		pvd_call(f->conn.sock, PVD_DROP, (uint64_t[6]){h->id}, NULL, 0, -1, NULL, 0, NULL,
			 NULL);
		free(h);
	}
	return 0;
}

static int mappable(uint64_t mfn, uint64_t frames)
{
	return mfn < frames &&
	       (mfn >= PVDOM_MFN_RAM ||
		(mfn >= PVDOM_MFN_SHARED_INFO && mfn < PVDOM_MFN_GRANT + PVDOM_GRANT_FRAMES));
}

/* Frames that follow each other: how many of them are mapped, from the first on; -errno if none. */
static long map_run(xenforeignmemory_handle *f, uint32_t dom, const struct ram *r, char *addr,
		    int prot, uint64_t mfn, long n)
{
	if (!mappable(mfn, r->frames))
		return -EINVAL;
	if (r->has_run && prot & PROT_WRITE && mfn >= PVDOM_MFN_RAM)
		n = hold(f, dom, addr, mfn, n);
	if (n > 0 && mmap(addr, n * PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, r->fd,
			  mfn * PAGE_SIZE) == MAP_FAILED)
		return -errno;
	return n;
}

/* Map what can be mapped; a page that cannot stays without access. Returns how many failed. */
static long map_runs(xenforeignmemory_handle *f, uint32_t dom, const struct ram *r, char *base,
		     int prot, size_t pages, const xen_pfn_t *arr, int *err)
{
	long failed = 0, done;

	for (size_t i = 0, n; i < pages; i += n) {
		for (n = 1; i + n < pages && arr[i + n] == arr[i] + n &&
			    mappable(arr[i], r->frames) && mappable(arr[i + n], r->frames);
		     n++)
			;
		done = map_run(f, dom, r, base + i * PAGE_SIZE, prot, arr[i], n);
		n = done > 0 ? done : 1;
		for (size_t k = 0; err && k < n; k++)
			err[i + k] = done > 0 ? 0 : done;
		if (done <= 0) {
			failed++;
			errno = -done;
		}
	}
	return failed;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *f, uint32_t dom, void *addr, int prot,
			    int flags, size_t pages, const xen_pfn_t arr[], int err[])
{
	struct ram r;
	char *base;
	int saved;

	if (!pages || pages > SIZE_MAX / PAGE_SIZE) {
		errno = EINVAL;
		return NULL;
	}
	pthread_mutex_lock(&f->lock);
	if (ram_open(f, dom, &r)) {
		pthread_mutex_unlock(&f->lock);
		return NULL;
	}
	base = mmap(addr, pages * PAGE_SIZE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			    (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)),
		    -1, 0);
	if (base == MAP_FAILED) {
		base = NULL;
	} else if (map_runs(f, dom, &r, base, prot, pages, arr, err) && !err) {
		saved = errno;
		unmap(f, base, pages * PAGE_SIZE);
		errno = saved;
		base = NULL;
	}
	saved = errno;
	close(r.fd);
	pthread_mutex_unlock(&f->lock);
	errno = saved;
	return base;
}

void *xenforeignmemory_map(xenforeignmemory_handle *f, uint32_t dom, int prot, size_t pages,
			   const xen_pfn_t arr[], int err[])
{
	return xenforeignmemory_map2(f, dom, NULL, prot, 0, pages, arr, err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *f, void *addr, size_t pages)
{
	int rc;

	pthread_mutex_lock(&f->lock);
	rc = unmap(f, addr, pages * PAGE_SIZE);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

/* The grant table's frames are the only resource a PV domain has here. */
static int grant_table(unsigned type, unsigned id, unsigned long frame, unsigned long n)
{
	if (type == XENMEM_resource_grant_table && id == XENMEM_resource_grant_table_id_shared &&
	    n && frame < PVDOM_GRANT_FRAMES && n <= PVDOM_GRANT_FRAMES - frame)
		return 0;
	errno = type == XENMEM_resource_grant_table ? EINVAL : EOPNOTSUPP;
	return -1;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *f,
								domid_t domid, unsigned type,
								unsigned id, unsigned long frame,
								unsigned long nr, void **paddr,
								int prot, int flags)
{
	xenforeignmemory_resource_handle *r;
	xen_pfn_t arr[PVDOM_GRANT_FRAMES];

	if (grant_table(type, id, frame, nr))
		return NULL;
	r = malloc(sizeof(*r));
	if (!r)
		return NULL;
	for (unsigned long i = 0; i < nr; i++)
		arr[i] = PVDOM_MFN_GRANT + frame + i;
	r->len = nr * PAGE_SIZE;
	r->addr = xenforeignmemory_map2(f, domid, *paddr, prot, flags, nr, arr, NULL);
	if (!r->addr) {
		free(r);
		return NULL;
	}
	*paddr = r->addr;
	return r;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *f, xenforeignmemory_resource_handle *r)
{
	int rc = r ? munmap(r->addr, r->len) : 0;

	free(r);
	return rc;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *f, domid_t domid, unsigned type,
				   unsigned id, size_t *size)
{
	if (grant_table(type, id, 0, 1))
		return -1;
	*size = PVDOM_GRANT_FRAMES * PAGE_SIZE;
	return 0;
}
