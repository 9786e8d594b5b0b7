/* SPDX-License-Identifier: MIT */
/*
 * libxenforeignmemory: a domain's memory is its memfd, and a frame number a page offset in it. So
 * a map is one mmap per run of consecutive frames, and callers may munmap it themselves.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/memory.h>
#include <xenforeignmemory.h>

#include "hypercalls/pvdom/proto.h"
#include "toolstack/xenlibs/xenlib.h"

struct xenforeignmemory_handle {
	struct lib_conn conn;
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
	if (!lib_conn_open(&f->conn))
		return f;
	free(f);
	return NULL;
}

int xenforeignmemory_close(xenforeignmemory_handle *f)
{
	if (!f)
		return 0;
	lib_conn_close(&f->conn);
	free(f);
	return 0;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *f, domid_t domid)
{
	return lib_restrict(f->conn.sock, domid);
}

/* The memfd, and how many frames it has. */
static int ram(xenforeignmemory_handle *f, uint32_t dom, uint64_t *frames)
{
	uint64_t out[2];
	int fds[PVD_MAX_FDS];
	long rc = pvd_call(f->conn.sock, PVD_DOMAIN_RAM, (uint64_t[6]){dom}, NULL, 0, -1, NULL, 0,
			   out, fds);

	if (rc < 0 || fds[0] < 0)
		return lib_ret(rc < 0 ? rc : -EIO);
	*frames = out[0];
	return fds[0];
}

static int mappable(uint64_t mfn, uint64_t frames)
{
	return mfn < frames &&
	       (mfn >= PVDOM_MFN_RAM ||
		(mfn >= PVDOM_MFN_SHARED_INFO && mfn < PVDOM_MFN_GRANT + PVDOM_GRANT_FRAMES));
}

/* Map what can be mapped; a page that cannot stays without access. Returns how many failed. */
static long map_runs(int fd, uint64_t frames, char *base, int prot, size_t pages,
		     const xen_pfn_t *arr, int *err)
{
	long failed = 0;

	for (size_t i = 0, n; i < pages; i += n) {
		int rc = 0;

		for (n = 1; i + n < pages && arr[i + n] == arr[i] + n && mappable(arr[i], frames) &&
			    mappable(arr[i + n], frames);
		     n++)
			;
		if (!mappable(arr[i], frames))
			rc = -EINVAL;
		else if (mmap(base + i * PAGE_SIZE, n * PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, fd,
			      arr[i] * PAGE_SIZE) == MAP_FAILED)
			rc = -errno;
		for (size_t k = 0; err && k < n; k++)
			err[i + k] = rc;
		if (rc) {
			failed += n;
			errno = -rc;
		}
	}
	return failed;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *f, uint32_t dom, void *addr, int prot,
			    int flags, size_t pages, const xen_pfn_t arr[], int err[])
{
	uint64_t frames = 0;
	char *base;
	int fd, saved;

	if (!pages || pages > SIZE_MAX / PAGE_SIZE) {
		errno = EINVAL;
		return NULL;
	}
	fd = ram(f, dom, &frames);
	if (fd < 0)
		return NULL;
	base = mmap(addr, pages * PAGE_SIZE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			    (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)),
		    -1, 0);
	if (base == MAP_FAILED) {
		base = NULL;
	} else if (map_runs(fd, frames, base, prot, pages, arr, err) && !err) {
		saved = errno;
		munmap(base, pages * PAGE_SIZE);
		errno = saved;
		base = NULL;
	}
	saved = errno;
	close(fd);
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
	return munmap(addr, pages * PAGE_SIZE);
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
