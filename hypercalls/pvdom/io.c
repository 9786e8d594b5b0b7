/* SPDX-License-Identifier: MIT */
/* The I/O thread's epoll set: the broker's requests, and events from other domains. */
#include <sys/epoll.h>
#include <unistd.h>

#include "hypercalls/monitor/trace.h"
#include "hypercalls/pvdom/pvdom.h"

#define CTL ~0U

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

int io_init(struct domain *d)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd < 0 ? -errno : io_watch(d, d->ctl_fd, CTL);
}

void io_loop(struct domain *d)
{
	struct epoll_event ev[16];

	for (;;) {
		int n = epoll_wait(epoll_fd, ev, 16, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.u32 != CTL)
				evtchn_rx(d, ev[i].data.u32);
			else if (!control_serve(d)) {
				trace_set(d, 0, -1);
				_exit(0);
			}
		}
	}
}
