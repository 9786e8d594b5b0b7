/* SPDX-License-Identifier: MIT */
/*
 * The program's memory: pages of this process, in its page tables also for ring 3. The host's own
 * protection says the same about reading and writing, so that a system call cannot write for the
 * program where it may not. Only executing is left to our page tables: to the host, the program is
 * data.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sandbox.h"

#define PAGE	   4096ul
#define FIND_START (SANDBOX_START + (SANDBOX_END - SANDBOX_START) / 2) /* below: image, brk */

static bool used[SANDBOX_END / PAGE];

static void mark(uint64_t va, uint64_t size, bool value)
{
	memset(used + va / PAGE, value, size / PAGE);
}

int memory_init(void)
{
	/* Nothing of ours shall ever be here. */
	void *mem = mmap((void *)SANDBOX_START, SANDBOX_END - SANDBOX_START, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	return mem == MAP_FAILED ? -errno : 0;
}

bool memory_inside(uint64_t va, uint64_t size)
{
	return va >= SANDBOX_START && va <= SANDBOX_END && size <= SANDBOX_END - va;
}

static int rights_of(int prot)
{
	/* x86 has no way to write or execute without reading. */
	return prot ? PV_USER | PV_READ | (prot & PROT_WRITE ? PV_WRITE : 0) |
			       (prot & PROT_EXEC ? PV_EXEC : 0)
		    : 0;
}

static bool is_pages(uint64_t va, uint64_t size)
{
	return !((va | size) % PAGE) && size && memory_inside(va, size);
}

int memory_protect(uint64_t va, uint64_t size, int prot)
{
	int ret;

	if (!is_pages(va, size))
		return -EINVAL;
	if (memchr(used + va / PAGE, false, size / PAGE))
		return -ENOMEM;
	if (mprotect((void *)va, size, prot ? PROT_READ | (prot & PROT_WRITE) : PROT_NONE))
		return -errno;
	ret = pv_protect(pv_root_current(), (void *)va, size, rights_of(prot));
	pv_flush_all();
	return ret;
}

/* Fresh pages, all zero. */
int memory_give(uint64_t va, uint64_t size, int prot)
{
	if (!is_pages(va, size))
		return -ENOMEM;
	if (mmap((void *)va, size, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	mark(va, size, true);
	return memory_protect(va, size, prot);
}

int memory_take(uint64_t va, uint64_t size)
{
	int ret;

	if (!is_pages(va, size))
		return -EINVAL;
	ret = memory_give(va, size, PROT_NONE);
	mark(va, size, false);
	return ret;
}

uint64_t memory_find(uint64_t size)
{
	uint64_t start = FIND_START;

	for (uint64_t va = start; va < SANDBOX_END && size <= SANDBOX_END - start; va += PAGE) {
		if (used[va / PAGE])
			start = va + PAGE;
		else if (va + PAGE - start >= size)
			return start;
	}
	return 0;
}

/*
 * By the kernel, page by page: it says how far the memory goes, where we would have to catch a
 * page fault of our own.
 */
size_t memory_copy(void *to, uint64_t from, size_t size)
{
	size_t done = 0, n;

	while (done < size) {
		n = PAGE - (from + done) % PAGE;
		if (n > size - done)
			n = size - done;
		if (!memory_inside(from + done, n) ||
		    process_vm_readv(getpid(), &(struct iovec){(char *)to + done, n}, 1,
				     &(struct iovec){(void *)(from + done), n}, 1, 0) != (ssize_t)n)
			break;
		done += n;
	}
	return done;
}

bool memory_put(uint64_t to, const void *from, size_t size)
{
	return memory_inside(to, size) &&
	       process_vm_writev(getpid(), &(struct iovec){(void *)from, size}, 1,
				 &(struct iovec){(void *)to, size}, 1, 0) == (ssize_t)size;
}
