/* SPDX-License-Identifier: MIT */
/* The domain table: create, size, pause, shut down, destroy. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xen/sched.h>

#include "toolstack/pvd/pvd.h"

pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER; /* ready or dead */
static struct dom *doms;				  /* ascending numbers */
static unsigned nr_doms;
static uint16_t next_id = 1;

static struct dom *find(uint32_t id)
{
	struct dom *d;

	for (d = doms; d && d->id != id; d = d->next)
		;
	return d;
}

struct dom *dom_get_from(uint32_t id)
{
	struct dom *d;

	pthread_mutex_lock(&state_lock);
	for (d = doms; d && (d->id < id || !d->ready); d = d->next)
		;
	if (d)
		d->refs++;
	pthread_mutex_unlock(&state_lock);
	return d;
}

struct dom *dom_get(uint32_t id)
{
	struct dom *d;

	pthread_mutex_lock(&state_lock);
	d = find(id);
	if (d && (!d->ready || d->dying)) /* still being made, or ended */
		d = NULL;
	if (d)
		d->refs++;
	pthread_mutex_unlock(&state_lock);
	return d;
}

void dom_put(struct dom *d)
{
	uint32_t left;

	pthread_mutex_lock(&state_lock);
	left = --d->refs;
	pthread_mutex_unlock(&state_lock);
	if (left)
		return;

	const int fds[] = {d->pidfd, d->ram_fd, d->ctl_fd, d->up_fd};

	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (d->grants)
		munmap(d->grants, PVDOM_GRANT_FRAMES * PAGE_SIZE);
	free(d->grant_count);
	pthread_mutex_destroy(&d->ctl_lock);
	pthread_mutex_destroy(&d->lend_lock);
	pthread_mutex_destroy(&d->pause_lock);
	free(d);
}

unsigned dom_count(void)
{
	unsigned n;

	pthread_mutex_lock(&state_lock);
	n = nr_doms;
	pthread_mutex_unlock(&state_lock);
	return n;
}

/* A number and a place in the table, or -errno. */
static long insert(struct dom *d, uint32_t want)
{
	struct dom **pp;

	pthread_mutex_lock(&state_lock);
	if (nr_doms >= MAX_DOMS) {
		pthread_mutex_unlock(&state_lock);
		return -ENOSPC;
	}
	if (!want || want >= FIRST_RESERVED) {
		while (find(next_id))
			next_id = next_id + 1 < FIRST_RESERVED ? next_id + 1 : 1;
		want = next_id;
		next_id = next_id + 1 < FIRST_RESERVED ? next_id + 1 : 1;
	} else if (find(want)) {
		pthread_mutex_unlock(&state_lock);
		return -EEXIST;
	}
	d->id = want;
	for (pp = &doms; *pp && (*pp)->id < want; pp = &(*pp)->next)
		;
	d->next = *pp;
	*pp = d;
	d->refs++; /* the table's */
	nr_doms++;
	pthread_mutex_unlock(&state_lock);
	return 0;
}

static void withdraw(struct dom *d)
{
	struct dom **pp;

	pthread_mutex_lock(&state_lock);
	for (pp = &doms; *pp != d; pp = &(*pp)->next)
		;
	*pp = d->next;
	nr_doms--;
	pthread_mutex_unlock(&state_lock);
}

static int start_process(struct dom *d)
{
	char path[300], id[12], vcpus[12], ram[12], ctl_s[12], up_s[12], khz[12];
	const char *env = getenv("PAVANE_PVDOM");
	int c[2] = {-1, -1}, u[2] = {-1, -1};
	pthread_t t;

	d->ram_fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (d->ram_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, u)) {
		int err = -errno;

		if (c[0] >= 0) {
			close(c[0]);
			close(c[1]);
		}
		return err;
	}
	d->ctl_fd = c[0];
	d->up_fd = u[0];
	snprintf(path, sizeof(path), "%s/pvdom", bindir);
	snprintf(id, sizeof(id), "%u", d->id);
	snprintf(vcpus, sizeof(vcpus), "%u", d->max_vcpus);
	snprintf(ram, sizeof(ram), "%d", d->ram_fd);
	snprintf(ctl_s, sizeof(ctl_s), "%d", c[1]);
	snprintf(up_s, sizeof(up_s), "%d", u[1]);
	snprintf(khz, sizeof(khz), "%u", tsc_rate);
	const char *const argv[] = {env && *env ? env : path,
				    "--domid",
				    id,
				    "--vcpus",
				    vcpus,
				    "--ram-fd",
				    ram,
				    "--ctl-fd",
				    ctl_s,
				    "--up-fd",
				    up_s,
				    "--provider",
				    d->provider,
				    "--tsc-khz",
				    khz,
				    NULL};
	int keep[] = {d->ram_fd, c[1], u[1]};
	pid_t pid = spawn_apart(argv, keep, 3, &d->pidfd);

	close(c[1]);
	close(u[1]);
	if (pid < 0)
		return pid;
	pthread_mutex_lock(&state_lock);
	d->pid = pid;
	d->refs++; /* the thread's */
	pthread_mutex_unlock(&state_lock);
	if (pthread_create(&t, NULL, up_thread, d)) {
		dom_put(d);
		return -EAGAIN;
	}
	pthread_detach(t);
	return 0;
}

#define START_S 60 /* for its process to come up */

static int wait_ready(struct dom *d)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += START_S;
	pthread_mutex_lock(&state_lock);
	while (!d->ready && !d->dead && !rc)
		rc = pthread_cond_timedwait(&changed, &state_lock, &until);
	rc = d->ready && !d->dead ? 0 : -EIO;
	pthread_mutex_unlock(&state_lock);
	return rc;
}

/* Its process said UP_READY, or its socket closed. */
void dom_ready(struct dom *d, bool ready)
{
	pthread_mutex_lock(&state_lock);
	if (ready)
		d->ready = true;
	else
		__atomic_store_n(&d->dead, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&state_lock);
}

long dom_create(uint32_t *id, uint32_t vcpus, const uint8_t *handle, uint32_t ssidref,
		const char *provider)
{
	struct dom *d;
	long rc;

	if (!vcpus || vcpus > PVDOM_MAX_VCPUS)
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->refs = 1;
	d->pidfd = d->ram_fd = d->ctl_fd = d->up_fd = -1;
	d->max_vcpus = vcpus;
	d->provider = provider;
	d->ssidref = ssidref;
	d->weight = 256;
	d->pauses = 1; /* a domain begins paused by the toolstack */
	memcpy(d->handle, handle, sizeof(d->handle));
	pthread_mutex_init(&d->ctl_lock, NULL);
	pthread_mutex_init(&d->lend_lock, NULL);
	pthread_mutex_init(&d->pause_lock, NULL);
	rc = insert(d, *id);
	if (rc) {
		dom_put(d);
		return rc;
	}
	rc = start_process(d);
	if (!rc)
		rc = wait_ready(d);
	if (rc) {
		log_line("d%u: cannot be created: error %ld", d->id, -rc);
		dom_destroy(d);
	} else {
		*id = d->id;
		log_line("d%u: created, %u vCPUs, pid %d", d->id, vcpus, d->pid);
	}
	dom_put(d);
	return rc;
}

/* The first call sizes and seals the memory for good; later ones stay within it. */
long dom_set_max_mem(struct dom *d, uint64_t pages)
{
	if (!pages || pages > MAX_POPULATE_KB / 4)
		return -EINVAL;
	if (!d->nr_frames) {
		uint64_t frames = PVDOM_MFN_RAM + pages;

		if (ftruncate(d->ram_fd, frames * PAGE_SIZE))
			return errno == EFBIG ? -ENOMEM : -errno;
		if (fcntl(d->ram_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
			return -errno;
		pthread_mutex_lock(&state_lock);
		d->nr_frames = frames;
		grants_init(d);
		pthread_mutex_unlock(&state_lock);
	}
	if (pages > d->nr_frames - PVDOM_MFN_RAM)
		return -ENOMEM;
	long rc = ctl(d, CTL_SET_MAX_MEM, pages, 0);

	if (!rc) {
		pthread_mutex_lock(&state_lock);
		d->max_pages = pages;
		pthread_mutex_unlock(&state_lock);
	}
	return rc;
}

long dom_pause(struct dom *d, bool pause)
{
	bool tell;
	long rc = 0;

	/* the last one told must be the last one counted */
	pthread_mutex_lock(&d->pause_lock);
	pthread_mutex_lock(&state_lock);
	if (!pause && !d->pauses)
		rc = -EINVAL;
	else
		d->pauses += pause ? 1 : -1;
	tell = !rc && d->pauses == (pause ? 1 : 0);
	d->has_run |= tell && !pause;
	pthread_mutex_unlock(&state_lock);
	if (tell)
		rc = ctl(d, pause ? CTL_PAUSE : CTL_UNPAUSE, 0, 0);
	pthread_mutex_unlock(&d->pause_lock);
	return rc;
}

/* False: there is no pvctl beside us. */
static bool run_pvctl(const char *command, uint16_t id)
{
	char pvctl[300], arg[12];
	const char *const argv[] = {pvctl, command, arg, NULL};
	const char *const env[] = {"PAVANE_BY_BROKER=1", NULL};

	snprintf(pvctl, sizeof(pvctl), "%s/pvctl", bindir);
	snprintf(arg, sizeof(arg), "%u", id);
	return !access(pvctl, X_OK) && spawn(argv, env, NULL, 0, NULL) > 0;
}

/* For a client that attends to a domain's end, until it is reaped all the same. */
#define ATTEND_S 2

/* What pvctl left for a domain that ends by itself: destroy or restart it as its cfg says. */
static void reap(uint16_t id)
{
	char cfg[160];

	snprintf(cfg, sizeof(cfg), "%s/domains/%u.cfg", rundir, id);
	if (!access(cfg, F_OK))
		run_pvctl("reap", id);
}

/* The domain goes whatever its cfg says, and its part of the store. */
static void ended(struct dom *d, const char *why)
{
	log_line("d%u: %s", d->id, why);
	if (!run_pvctl("destroy", d->id))
		dom_destroy(d);
}

/* True: it had an end that nobody has seen to yet. */
static bool take_reap(struct dom *d)
{
	const bool due = d->reap_at && !d->dying;

	d->reap_at = 0;
	return due;
}

long dom_attend(uint16_t id, bool attend)
{
	bool due = false;
	struct dom *d;

	pthread_mutex_lock(&state_lock);
	d = find(id);
	if (d) {
		d->attended = attend;
		due = !attend && take_reap(d);
	}
	pthread_mutex_unlock(&state_lock);
	if (due)
		reap(id);
	return d ? 0 : -ESRCH;
}

/* A client that has not done in time what it would: it was stopped, or does not get on. */
void dom_tick(void)
{
	struct dom *d;

	do {
		uint16_t id = 0;

		pthread_mutex_lock(&state_lock);
		for (d = doms; d && !(d->reap_at && uptime() >= d->reap_at); d = d->next)
			;
		if (d && take_reap(d))
			id = d->id;
		pthread_mutex_unlock(&state_lock);
		if (id)
			reap(id);
	} while (d);
}

void dom_abandoned(uint16_t id)
{
	struct dom *d = dom_get(id);

	if (!d)
		return;
	ended(d, "who was making it has gone");
	dom_put(d);
}

void dom_shutdown(struct dom *d, unsigned reason, const char *why)
{
	bool first, attended;

	pthread_mutex_lock(&state_lock);
	first = !d->shutdown && !d->dying;
	attended = d->attended;
	if (first) {
		d->reap_at = attended ? uptime() + ATTEND_S : 0;
		d->shutdown = true;
		d->reason = reason;
		snprintf(d->why, sizeof(d->why), "%s", why ? why : "");
	}
	pthread_mutex_unlock(&state_lock);
	if (!first)
		return;
	log_line("d%u: shutdown, reason %u%s%s", d->id, reason, why && *why ? ": " : "",
		 why ? why : "");
	virq_raise(VIRQ_DOM_EXC);
	if (!attended)
		reap(d->id);
}

void dom_died(pid_t pid, int status)
{
	bool dying = false;
	struct dom *d;
	char why[64];

	pthread_mutex_lock(&state_lock);
	/* Of one that ended before, and was not destroyed, the number may be another's by now. */
	for (d = doms; d && (d->reaped || d->pid != pid); d = d->next)
		;
	if (d) {
		d->refs++;
		d->reaped = true;
		dying = d->dying;
		__atomic_store_n(&d->dead, true, __ATOMIC_RELEASE);
		pthread_cond_broadcast(&changed);
	}
	pthread_mutex_unlock(&state_lock);
	if (!d)
		return;
	if (dying) {
		dom_put(d);
		return;
	}
	if (d->ready && WIFEXITED(status) && !WEXITSTATUS(status)) {
		ended(d, "its process was told to end");
		dom_put(d);
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "its process was killed by signal %d", WTERMSIG(status));
	else
		snprintf(why, sizeof(why), "its process exited with status %d",
			 WEXITSTATUS(status));
	if (d->ready)
		dom_shutdown(d, SHUTDOWN_crash, why);
	dom_put(d);
}

long dom_destroy(struct dom *d)
{
	pthread_mutex_lock(&state_lock);
	if (d->dying) {
		pthread_mutex_unlock(&state_lock);
		return -ESRCH;
	}
	d->dying = true;
	pthread_mutex_unlock(&state_lock);
	if (d->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, d->pidfd, SIGKILL, NULL, 0);
	/* whoever waits for an answer of it waits no longer */
	if (d->ctl_fd >= 0)
		shutdown(d->ctl_fd, SHUT_RDWR);
	if (d->up_fd >= 0)
		shutdown(d->up_fd, SHUT_RDWR);
	backends_of_domain(d->id);
	ports_of_domain(d->id);
	grants_of_domain(d);
	withdraw(d);
	log_line("d%u: destroyed", d->id);
	virq_raise(VIRQ_DOM_EXC);
	store_domain_gone();
	dom_put(d); /* the table's */
	return 0;
}

void dom_kill_all(void)
{
	pthread_mutex_lock(&state_lock);
	for (struct dom *d = doms; d; d = d->next)
		if (d->pidfd >= 0)
			syscall(SYS_pidfd_send_signal, d->pidfd, SIGKILL, NULL, 0);
	pthread_mutex_unlock(&state_lock);
}
