/* SPDX-License-Identifier: MIT */
/* For the tests of the broker: two domains whose processes say what the test wants. */
#ifndef PAVANE_FAKE_PVDOMS_H
#define PAVANE_FAKE_PVDOMS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>

#include "toolstack/pvd/pvd.h"

#define FRAMES (PVDOM_MFN_RAM + 4)

/* In place of domain.c: two domains, whose "pvdom" is whatever answers on the other end. */
pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dom doms[2];
static int pvdom_fd[2];

struct dom *dom_get(uint32_t id)
{
	if (id < 1 || id > 2)
		return NULL;
	doms[id - 1].refs++;
	return doms + id - 1;
}

void dom_put(struct dom *d)
{
	d->refs--;
}

/* The next answer the pvdom of domain `id` gives, queued before it is asked. */
static inline void will_answer(unsigned id, int64_t ret)
{
	struct pvdom_rsp r = {.ret = ret};

	assert_int_equal(send(pvdom_fd[id - 1], &r, sizeof(r), 0), sizeof(r));
}

/* The request it got; its descriptors in fds. */
static inline struct pvdom_req got(unsigned id, int fds[2])
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct pvdom_req q = {0};
	struct iovec iov = {&q, sizeof(q)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.buf,
			   .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c;

	assert_int_equal(recvmsg(pvdom_fd[id - 1], &m, MSG_DONTWAIT), sizeof(q));
	c = CMSG_FIRSTHDR(&m);
	if (c && fds)
		memcpy(fds, CMSG_DATA(c), 2 * sizeof(int));
	return q;
}

static inline bool silent(unsigned id)
{
	char b;

	return recv(pvdom_fd[id - 1], &b, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static inline int setup(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct dom *d = doms + i;
		int s[2];

		memset(d, 0, sizeof(*d));
		d->id = i + 1;
		d->refs = 1;
		d->nr_frames = FRAMES;
		pthread_mutex_init(&d->ctl_lock, NULL);
		pthread_mutex_init(&d->lend_lock, NULL);
		d->ram_fd = memfd_create("ram", MFD_ALLOW_SEALING);
		if (ftruncate(d->ram_fd, FRAMES * PAGE_SIZE) ||
		    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s))
			return -1;
		d->ctl_fd = s[0];
		pvdom_fd[i] = s[1];
		grants_init(d);
	}
	return 0;
}

static inline int teardown(void **state)
{
	for (int i = 0; i < 2; i++) {
		munmap(doms[i].grants, PVDOM_GRANT_FRAMES * PAGE_SIZE);
		free(doms[i].grant_count);
		close(doms[i].ram_fd);
		close(doms[i].ctl_fd);
		close(pvdom_fd[i]);
	}
	return 0;
}

/* An entry of a grant table. */
static inline void entry(struct dom *d, unsigned ref, uint16_t flags, uint16_t domid,
			 uint32_t frame)
{
	d->grants[ref] = (struct grant_entry_v1){flags, domid, frame};
}

#endif
