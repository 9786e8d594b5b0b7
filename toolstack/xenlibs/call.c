/* SPDX-License-Identifier: MIT */
/*
 * libxencall: hypercalls by way of the broker. All buffers come from one arena per process, a
 * sealed memfd that the broker maps too.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <unistd.h>
#include <xencall.h>

#include "toolstack/xenlibs/xenlib.h"

#define ARENA_PAGES (PVD_ARENA_SIZE / PAGE_SIZE)

struct xencall_handle {
	struct lib_conn conn;
	pid_t pid; /* a child after fork must not share the parent's arena */
	pthread_mutex_t lock;
};

/* runs[n] = length of the allocation that begins at page n; used = pages in use */
static struct {
	pthread_mutex_t lock;
	pid_t pid;
	int fd;
	char *base;
	uint16_t runs[ARENA_PAGES];
	bool used[ARENA_PAGES];
	unsigned hint;
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static int arena_get(void) /* lock held */
{
	int fd;
	char *p;

	if (arena.base && arena.pid == getpid())
		return 0;
	fd = memfd_create("xencall", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, PVD_ARENA_SIZE) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto fail;
	p = mmap(NULL, PVD_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		goto fail;
	/* the parent's arena, if this is a child, stays mapped: its pointers may still be read */
	if (arena.fd >= 0)
		close(arena.fd);
	arena.fd = fd;
	arena.base = p;
	arena.pid = getpid();
	arena.hint = 0;
	memset(arena.runs, 0, sizeof(arena.runs));
	memset(arena.used, 0, sizeof(arena.used));
	return 0;
fail:
	close(fd);
	return -1;
}

static void *arena_alloc(size_t pages)
{
	void *p = NULL;

	if (!pages || pages > ARENA_PAGES) {
		errno = ENOMEM;
		return NULL;
	}
	pthread_mutex_lock(&arena.lock);
	if (arena_get())
		goto out;
	for (int pass = 0; pass < 2 && !p; pass++) {
		size_t run = 0;

		for (size_t i = pass ? 0 : arena.hint; i < ARENA_PAGES; i++) {
			run = arena.used[i] ? 0 : run + 1;
			if (run < pages)
				continue;
			i -= pages - 1;
			memset(arena.used + i, 1, pages);
			arena.runs[i] = pages;
			arena.hint = i + pages;
			p = arena.base + i * PAGE_SIZE;
			break;
		}
	}
	if (!p)
		errno = ENOMEM;
out:
	pthread_mutex_unlock(&arena.lock);
	return p;
}

static void arena_free(void *p)
{
	size_t i;

	if (!p)
		return;
	i = ((char *)p - arena.base) / PAGE_SIZE;
	pthread_mutex_lock(&arena.lock);
	/* not ours: a buffer of the parent's, freed by a child */
	if ((char *)p >= arena.base && i < ARENA_PAGES && arena.pid == getpid()) {
		memset(arena.used + i, 0, arena.runs[i]);
		if (arena.runs[i] > 64)
			madvise(p, arena.runs[i] * PAGE_SIZE, MADV_REMOVE);
		arena.runs[i] = 0;
		if (arena.hint > i)
			arena.hint = i; /* pages that both ends have touched */
	}
	pthread_mutex_unlock(&arena.lock);
}

static int attach(xencall_handle *x)
{
	int rc;

	pthread_mutex_lock(&arena.lock);
	rc = arena_get();
	pthread_mutex_unlock(&arena.lock);
	if (rc)
		return -1;
	rc = pvd_call(x->conn.sock, PVD_ARENA,
		      (uint64_t[6]){(uintptr_t)arena.base, PVD_ARENA_SIZE, PVD_PROTO}, NULL, 0,
		      arena.fd, NULL, 0, NULL, NULL);
	if (rc < 0)
		return lib_ret(rc);
	x->pid = getpid();
	return 0;
}

/*
 * A backend's connection is about one domain, and hypercalls are refused there one by one: a
 * program that only opens this handle, as QEMU does, is to start all the same.
 */
static bool refused(xencall_handle *x)
{
	if (errno != EPERM)
		return false;
	x->pid = getpid();
	return true;
}

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned flags)
{
	xencall_handle *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	pthread_mutex_init(&x->lock, NULL);
	if (!lib_conn_open(&x->conn)) {
		if (!attach(x) || refused(x))
			return x;
		lib_conn_close(&x->conn);
	}
	free(x);
	return NULL;
}

int xencall_close(xencall_handle *x)
{
	if (!x)
		return 0;
	lib_conn_close(&x->conn);
	free(x);
	return 0;
}

int xencall_fd(xencall_handle *x)
{
	return x->conn.sock;
}

static long call(xencall_handle *x, unsigned op, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		 uint64_t a5)
{
	long rc = -EIO;

	pthread_mutex_lock(&x->lock);
	if (x->pid != getpid()) {
		close(x->conn.sock);
		x->conn.sock = pvd_connect();
	}
	if (x->pid == getpid() || !attach(x))
		rc = pvd_call(x->conn.sock, PVD_HYPERCALL, (uint64_t[6]){op, a1, a2, a3, a4, a5},
			      NULL, 0, -1, NULL, 0, NULL, NULL);
	pthread_mutex_unlock(&x->lock);
	return lib_ret(rc);
}

int xencall0(xencall_handle *x, unsigned int op)
{
	return call(x, op, 0, 0, 0, 0, 0);
}

int xencall1(xencall_handle *x, unsigned int op, uint64_t a1)
{
	return call(x, op, a1, 0, 0, 0, 0);
}

int xencall2(xencall_handle *x, unsigned int op, uint64_t a1, uint64_t a2)
{
	return call(x, op, a1, a2, 0, 0, 0);
}

long xencall2L(xencall_handle *x, unsigned int op, uint64_t a1, uint64_t a2)
{
	return call(x, op, a1, a2, 0, 0, 0);
}

int xencall3(xencall_handle *x, unsigned int op, uint64_t a1, uint64_t a2, uint64_t a3)
{
	return call(x, op, a1, a2, a3, 0, 0);
}

int xencall4(xencall_handle *x, unsigned int op, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
	return call(x, op, a1, a2, a3, a4, 0);
}

int xencall5(xencall_handle *x, unsigned int op, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
	     uint64_t a5)
{
	return call(x, op, a1, a2, a3, a4, a5);
}

void *xencall_alloc_buffer_pages(xencall_handle *x, size_t nr_pages)
{
	void *p = arena_alloc(nr_pages);

	if (p)
		memset(p, 0, nr_pages * PAGE_SIZE);
	return p;
}

void xencall_free_buffer_pages(xencall_handle *x, void *p, size_t nr_pages)
{
	arena_free(p);
}

void *xencall_alloc_buffer(xencall_handle *x, size_t size)
{
	void *p = arena_alloc((size + PAGE_SIZE - 1) / PAGE_SIZE);

	if (p)
		memset(p, 0, size);
	return p;
}

void xencall_free_buffer(xencall_handle *x, void *p)
{
	arena_free(p);
}

int xencall_buffers_never_fault(xencall_handle *x)
{
	return 1;
}
