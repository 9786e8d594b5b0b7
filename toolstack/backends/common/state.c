/* SPDX-License-Identifier: MIT */
/*
 * The memory that outlives a crash: a memfd that pvd keeps (--state FD) and gives to the next
 * process for the same device. A short head of ours, the rest is the backend's.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/backends/common/backend.h"

#define STATE_MAGIC 0x31307473766b6270UL

struct state_head {
	uint64_t magic, size, instance;
	uint32_t connected;
	uint32_t reserved[9]; /* the backend's part begins at a cache line */
};

/* Empty, or of another program's making: begin anew. */
static int begin(struct dev *d, const struct stat *st, size_t size)
{
	if (st->st_size == (off_t)size && d->head->magic == STATE_MAGIC && d->head->size == size) {
		d->successor = true;
		return 0;
	}
	memset(d->head, 0, size);
	d->head->size = size;
	d->head->magic = STATE_MAGIC;
	return 0;
}

int state_open(struct dev *d, int fd)
{
	const size_t size = sizeof(*d->head) + d->be->state_size;
	struct stat st;
	void *p;

	if (fd < 0)
		fd = memfd_create("state", MFD_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || (st.st_size != (off_t)size && ftruncate(fd, size))) {
		dev_log(d, "state: %s", strerror(errno));
		return -1;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		dev_log(d, "state: %s", strerror(errno));
		return -1;
	}
	d->state_fd = fd;
	d->head = p;
	d->saved = d->head + 1;
	return begin(d, &st, size);
}

void state_connected(struct dev *d, bool connected)
{
	__atomic_store_n(&d->head->connected, connected, __ATOMIC_RELEASE);
}

void state_begin(struct dev *d, uint64_t instance)
{
	state_connected(d, false);
	memset(d->saved, 0, d->be->state_size);
	d->head->instance = instance;
}

uint64_t state_instance(const struct dev *d)
{
	return d->head->instance;
}

bool state_was_connected(const struct dev *d)
{
	return d->head->connected;
}
