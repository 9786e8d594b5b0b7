/* SPDX-License-Identifier: MIT */
/* What a domain's process asks. It may be the guest itself that writes these packets. */
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xen/sched.h>

#include "toolstack/pvd/pvd.h"

#define LOG_PER_SECOND 16384

struct packet {
	struct pvdom_req q;
	uint8_t data[PVDOM_MAX_PAYLOAD + 1];
};

static void console(struct dom *d, const uint8_t *text, uint32_t len)
{
	time_t now = time(NULL);

	if (now != d->log_second) {
		d->log_second = now;
		d->log_budget = LOG_PER_SECOND;
	}
	if (len > d->log_budget) {
		if (d->log_budget)
			log_line("d%u: writes too much to the console; some is lost", d->id);
		d->log_budget = 0;
		return;
	}
	d->log_budget -= len;
	log_guest(d->id, (const char *)text, len);
}

static void ended(struct dom *d, unsigned reason, char *why)
{
	for (char *p = why; *p; p++)
		if (*p < 32 || *p > 126)
			*p = ' ';
	dom_shutdown(d, reason & 0xff, why);
}

static long serve(struct dom *d, struct packet *p, uint32_t *out_len, int fds[2])
{
	const struct pvdom_req *q = &p->q;

	switch (q->op) {
	case UP_READY:
		if (d->ready)
			return -EINVAL;
		if (!q->arg[0])
			log_line("d%u: not sandboxed: this host offers no seccomp", d->id);
		dom_ready(d, true);
		return 0;
	case UP_SHUTDOWN:
		p->data[q->len < 120 ? q->len : 120] = 0;
		ended(d, q->arg[0], (char *)p->data);
		return 0;
	case UP_EVTCHN_BIND: return domain_bind(d, q->arg[0], q->arg[1], q->arg[2], fds);
	case UP_EVTCHN_CLOSE: domain_close(d, q->arg[0]); return 0;
	case UP_CONSOLE: console(d, p->data, q->len); return 0;
	case UP_GRANT_COPY:
		if (q->len % sizeof(struct gnttab_copy))
			return -EINVAL;
		grant_copy_domain(d, (void *)p->data, q->len / sizeof(struct gnttab_copy));
		*out_len = q->len;
		return 0;
	case UP_GRANT_MAP: return domain_grant_map(d, q->arg[0], q->arg[1], q->arg[2], fds);
	case UP_GRANT_UNMAP: return domain_grant_unmap(d, q->arg[0]);
	case UP_DEBUG: debug_event(d); return 0;
	default: return -ENOSYS;
	}
}

static int answer(struct dom *d, const struct pvdom_rsp *rsp, const void *data, const int fds[2])
{
	union fd_room control;
	struct iovec iov[2] = {{(void *)rsp, sizeof(*rsp)}, {(void *)data, rsp->len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	if (rsp->ret >= 0 && fds[0] >= 0)
		fds_attach(&m, &control, fds, 2);
	return sendmsg(d->up_fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void *up_thread(void *arg)
{
	struct dom *d = arg;
	struct packet *p = malloc(sizeof(*p));

	while (p) {
		struct iovec iov[2] = {{&p->q, sizeof(p->q)}, {p->data, PVDOM_MAX_PAYLOAD}};
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
		struct pvdom_rsp rsp = {0};
		int fds[2] = {-1, -1}, rc;
		ssize_t n = recvmsg(d->up_fd, &m, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (n < (ssize_t)sizeof(p->q) || p->q.len != n - sizeof(p->q))
			rsp.ret = -EINVAL;
		else
			rsp.ret = serve(d, p, &rsp.len, fds);
		rc = answer(d, &rsp, p->data, fds);
		for (int i = 0; i < 2; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		if (rc)
			break;
	}
	free(p);
	if (!d->ready)
		dom_ready(d, false);
	dom_put(d);
	return NULL;
}
