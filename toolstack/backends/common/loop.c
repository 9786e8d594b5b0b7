/* SPDX-License-Identifier: MIT */
/*
 * The event loop. As long as there is work, nobody is asked for events; when there is none, the
 * rings are watched for some µs more before the process sleeps, since waking it costs far more
 * (78 µs across CPUs, DESIGN section 8). How long adapts: to nothing for a device that is idle or
 * slow, and it is always nothing if the guest's vCPUs need all of the host's CPUs.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <xenstore.h>

#include "toolstack/backends/common/backend.h"

#define POLL_MIN_NS 10000
#define POLL_MAX_NS 50000
#define MAX_READY   16
#define ROUNDS	    64 /* of work between two looks at the descriptors */

uint64_t dev_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

int dev_watch_fd(struct dev *d, struct dev_fd *f, uint32_t epoll_events)
{
	struct epoll_event ev = {.events = epoll_events, .data.ptr = f};

	if (!epoll_ctl(d->epfd, EPOLL_CTL_MOD, f->fd, &ev))
		return 0;
	return errno == ENOENT ? epoll_ctl(d->epfd, EPOLL_CTL_ADD, f->fd, &ev) : -1;
}

void dev_unwatch_fd(struct dev *d, struct dev_fd *f)
{
	epoll_ctl(d->epfd, EPOLL_CTL_DEL, f->fd, NULL);
}

/* How many vCPUs the domain has: a directory of xenstore has one entry for each. */
static uint32_t nr_vcpus(struct dev *d)
{
	char path[48];
	unsigned n = 1;

	snprintf(path, sizeof(path), "/local/domain/%u/cpu", d->domid);
	if (d->xs)
		free(xs_directory(d->xs, XBT_NULL, path, &n));
	return n ? n : 1;
}

int loop_open(struct dev *d)
{
	d->epfd = epoll_create1(EPOLL_CLOEXEC);
	return d->epfd < 0 ? -1 : 0;
}

void loop_measure(struct dev *d)
{
	cpu_set_t cpus;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && (int)nr_vcpus(d) < CPU_COUNT(&cpus))
		d->poll_max = POLL_MAX_NS;
}

static void look_at_fds(struct dev *d, int timeout)
{
	struct epoll_event ev[MAX_READY];
	int n = epoll_wait(d->epfd, ev, MAX_READY, timeout);

	for (int i = 0; i < n; i++) {
		struct dev_fd *f = ev[i].data.ptr;

		f->ready(d, f, ev[i].events);
	}
}

static bool work(struct dev *d)
{
	return d->connected && !d->failed && d->be->work(d);
}

/* Is there work within d->poll_ns? */
static bool poll_for_work(struct dev *d)
{
	const uint64_t start = d->poll_ns ? dev_now() : 0;

	while (d->poll_ns && dev_now() - start < d->poll_ns) {
		if (work(d))
			return true;
		for (int i = 0; i < 16; i++)
			__builtin_ia32_pause();
	}
	return false;
}

/* A short sleep should have been a poll; a long one shows that polling was in vain. */
static void adapt(struct dev *d, uint64_t slept)
{
	if (slept > d->poll_max)
		d->poll_ns /= 2;
	else
		d->poll_ns = d->poll_ns < POLL_MIN_NS ? POLL_MIN_NS : d->poll_ns * 2;
	if (d->poll_ns < POLL_MIN_NS / 2)
		d->poll_ns = 0;
	if (d->poll_ns > d->poll_max)
		d->poll_ns = d->poll_max;
}

static void sleep_until_event(struct dev *d)
{
	uint64_t start;

	ring_unmask(d);
	if (d->connected && !d->failed && d->be->arm(d))
		return;
	start = dev_now();
	look_at_fds(d, -1);
	adapt(d, dev_now() - start);
}

void loop_run(struct dev *d)
{
	while (!d->gone) {
		int rounds = 0;

		while (rounds < ROUNDS && (work(d) || poll_for_work(d)))
			rounds++;
		if (d->failed && d->connected)
			store_step(d);
		if (rounds)
			look_at_fds(d, 0);
		else
			sleep_until_event(d);
	}
}
