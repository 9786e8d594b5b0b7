/* SPDX-License-Identifier: MIT */
/* The I/O thread's epoll set: the broker's requests, events from other domains, SIGTERM. */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hypercalls/monitor/trace.h"
#include "hypercalls/pvdom/pvdom.h"

#define CTL  ~0U
#define TERM (~0U - 1)

static int epoll_fd = -1;

int io_watch(struct domain *d, int fd, uint32_t port)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = port};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

void io_unwatch(struct domain *d, int fd)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/*
 * Read from a descriptor, for a handler could run on any thread, in guest code; and by default the
 * first process of a PID namespace is sent no such signal. Blocked in all threads to come.
 */
static int watch_term(struct domain *d)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : io_watch(d, fd, TERM);
}

int io_init(struct domain *d)
{
	int rc;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return -errno;
	rc = io_watch(d, d->ctl_fd, CTL);
	return rc ? rc : watch_term(d);
}

static void leave(struct domain *d)
{
	trace_set(d, 0, -1);
	_exit(0);
}

void io_loop(struct domain *d)
{
	struct epoll_event ev[16];

	for (;;) {
		int n = epoll_wait(epoll_fd, ev, 16, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.u32 == TERM)
				leave(d);
			else if (ev[i].data.u32 != CTL)
				evtchn_rx(d, ev[i].data.u32);
			else if (!control_serve(d))
				leave(d);
		}
	}
}
