/* SPDX-License-Identifier: MIT */
/* One round trip to a domain's process, which belongs to its guest: nothing it says is a size. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "toolstack/pvd/pvd.h"

/* A list of domains has last time's numbers to fall back on. */
#define INFO_TIMEOUT_MS 500

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {fd, events, 0};
	int n;

	do {
		int64_t left = deadline - now_ms();

		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? 0 : -EIO;
}

static long send_req(struct dom *d, const struct pvdom_req *q, const void *out, const int *fds,
		     int64_t deadline)
{
	union fd_room control;
	struct iovec iov[2] = {{(void *)q, sizeof(*q)}, {(void *)out, q->len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	if (fds)
		fds_attach(&m, &control, fds, 2);
	while (sendmsg(d->ctl_fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || wait_for(d->ctl_fd, POLLOUT, deadline))
			return -EIO;
	}
	return 0;
}

/* One answer. Descriptors are not asked for, so the kernel drops any it sends. */
static long recv_rsp(struct dom *d, struct pvdom_rsp *rsp, void *in, uint32_t *in_len,
		     int64_t deadline)
{
	struct iovec iov[2] = {{rsp, sizeof(*rsp)}, {in, in_len ? *in_len : 0}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	do {
		if (wait_for(d->ctl_fd, POLLIN, deadline))
			return -ETIMEDOUT;
		n = recvmsg(d->ctl_fd, &m, MSG_DONTWAIT);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < (ssize_t)sizeof(*rsp))
		return -EIO;
	n -= sizeof(*rsp);
	if (in_len)
		*in_len = (uint32_t)n < rsp->len ? (uint32_t)n : rsp->len;
	return 0;
}

/*
 * What ends something of a domain's, whose answer nobody needs. There may be thousands of them (the
 * channels and mappings of a partner that is destroyed), so one that owes answers is only told.
 */
static bool news(uint32_t op)
{
	return op == CTL_RETURN || op == CTL_DROP || op == CTL_EVTCHN_DISCONNECT;
}

static long call_locked(struct dom *d, uint32_t op, const uint64_t arg[4], const void *out,
			uint32_t out_len, const int *fds, void *in, uint32_t *in_len)
{
	struct pvdom_req q = {.op = op, .len = out_len};
	const int timeout = op == CTL_INFO ? INFO_TIMEOUT_MS : PVDOM_TIMEOUT_MS;
	const int64_t deadline = now_ms() + timeout;
	struct pvdom_rsp rsp;
	long rc;

	if (__atomic_load_n(&d->dead, __ATOMIC_ACQUIRE) || d->ctl_fd < 0)
		return -EIO;
	if (out_len > PVDOM_MAX_PAYLOAD)
		return -E2BIG;
	memcpy(q.arg, arg, sizeof(q.arg));
	/* answers come in order: those that were given up must be taken first */
	while (d->stale) {
		rc = recv_rsp(d, &rsp, NULL, NULL, news(op) ? 0 : deadline);
		if (rc == -ETIMEDOUT && news(op)) {
			rc = send_req(d, &q, out, fds, 0);
			d->stale += !rc;
			return rc;
		}
		if (rc)
			return -EIO;
		d->stale--;
	}
	rc = send_req(d, &q, out, fds, deadline);
	if (rc)
		return rc;
	rc = recv_rsp(d, &rsp, in, in_len, deadline);
	if (rc == -ETIMEDOUT) {
		d->stale++;
		log_line("d%u: no answer to request %u within %d ms", d->id, op, timeout);
		return -EIO;
	}
	if (rc)
		return rc;
	return rsp.ret < -4095 ? -EIO : rsp.ret;
}

long ctl_call(struct dom *d, uint32_t op, const uint64_t arg[4], const void *out, uint32_t out_len,
	      const int *fds, void *in, uint32_t *in_len)
{
	long rc;

	pthread_mutex_lock(&d->ctl_lock);
	rc = call_locked(d, op, arg, out, out_len, fds, in, in_len);
	pthread_mutex_unlock(&d->ctl_lock);
	return rc;
}

long ctl(struct dom *d, uint32_t op, uint64_t a0, uint64_t a1)
{
	return ctl_call(d, op, (uint64_t[4]){a0, a1}, NULL, 0, NULL, NULL, NULL);
}

/* What a terminal would act on is not shown to one. */
static void plain(char *text, size_t size)
{
	text[size - 1] = 0;
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* A list of domains must not wait for one that is stuck: ask only who answered last time. */
void ctl_info(struct dom *d, struct pvdom_info *info)
{
	struct pvdom_info i = {0};
	uint32_t len = sizeof(i);
	bool fresh = false;

	if (!pthread_mutex_trylock(&d->ctl_lock)) { /* else somebody asks it right now */
		if (!d->stale || !wait_for(d->ctl_fd, POLLIN, 0))
			fresh = !call_locked(d, CTL_INFO, (uint64_t[4]){0}, NULL, 0, NULL, &i,
					     &len) &&
				len == sizeof(i);
		pthread_mutex_unlock(&d->ctl_lock);
	}
	pthread_mutex_lock(&state_lock);
	if (fresh) {
		plain(i.provider, sizeof(i.provider));
		plain(i.sandbox, sizeof(i.sandbox));
		plain(i.provider_why, sizeof(i.provider_why));
		d->info = i;
	}
	*info = d->info;
	pthread_mutex_unlock(&state_lock);
}
