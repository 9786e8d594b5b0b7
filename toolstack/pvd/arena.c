/* SPDX-License-Identifier: MIT */
/*
 * A client's arena: the memfd its hypercall buffers live in. The client can change it at any
 * moment, so what is read is copied once and then believed; it cannot shrink (sealed), so a
 * checked access cannot fault.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "toolstack/pvd/pvd.h"

int arena_attach(struct client *c, uint64_t base, uint64_t size, int fd)
{
	struct stat st;
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	void *p;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st))
		return -EINVAL;
	if (!size || size % PAGE_SIZE || size > PVD_ARENA_SIZE || (uint64_t)st.st_size < size ||
	    base + size < base)
		return -EINVAL;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	arena_detach(c);
	c->arena = p;
	c->arena_base = base;
	c->arena_size = size;
	return 0;
}

void arena_detach(struct client *c)
{
	if (c->arena)
		munmap(c->arena, c->arena_size);
	c->arena = NULL;
	c->arena_size = 0;
}

void *arena_ptr(struct client *c, uint64_t ptr, uint64_t len)
{
	uint64_t off = ptr - c->arena_base;

	if (!c->arena || ptr < c->arena_base || off > c->arena_size || len > c->arena_size - off)
		return NULL;
	return c->arena + off;
}

long copy_in(struct client *c, void *to, uint64_t ptr, uint64_t len)
{
	void *p = arena_ptr(c, ptr, len);

	if (!p)
		return -EFAULT;
	memcpy(to, p, len);
	return 0;
}

long copy_out(struct client *c, uint64_t ptr, const void *from, uint64_t len)
{
	void *p = arena_ptr(c, ptr, len);

	if (!p)
		return -EFAULT;
	memcpy(p, from, len);
	return 0;
}
