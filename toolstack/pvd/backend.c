/* SPDX-License-Identifier: MIT */
/*
 * One process per virtual device, started when a toolstack asks for it. It is started again when
 * it ends without having said that its work is done (exit status 0), and gets the same memfd each
 * time: what it keeps there is how a successor goes on where it was. Its connections to us are
 * about its own domain only (backend_domain()). It goes with its domain.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "toolstack/pvd/pvd.h"

#define MAX_BACKENDS 1024  /* of one domain */
#define GRACE_MS     60000 /* for QEMU to write what it holds of an image */

struct backend {
	struct backend *next;
	struct child child;
	uint32_t kind, devid;
	uint16_t domid;
	bool gone;  /* to be forgotten as soon as its process has ended */
	bool again; /* asked for while it runs: the device may be a new one by its number */
	int state_fd;
	char name[40];
};

/* Taken alone, or by the main thread around spawn(): a process is listed before it can ask. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct backend *backends;

static const char *const programs[] = {
	[PVD_BACKEND_BLOCK] = "pvblk",
	[PVD_BACKEND_NET] = "pvnet",
	[PVD_BACKEND_QEMU] = "pvqemu",
};

static void program_path(char *path, size_t size, uint32_t kind)
{
	snprintf(path, size, "%s/%s", bindir, programs[kind]);
}

static struct backend *find(uint16_t domid, uint32_t kind, uint32_t devid)
{
	struct backend *b = backends;

	while (b && (b->gone || b->domid != domid || b->kind != kind || b->devid != devid))
		b = b->next;
	return b;
}

static unsigned count(uint16_t domid)
{
	unsigned n = 0;

	for (struct backend *b = backends; b; b = b->next)
		n += b->domid == domid;
	return n;
}

static struct backend *make(uint16_t domid, uint32_t kind, uint32_t devid)
{
	struct backend *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->state_fd = memfd_create("backend-state", MFD_CLOEXEC);
	if (b->state_fd < 0) {
		free(b);
		return NULL;
	}
	b->domid = domid;
	b->kind = kind;
	b->devid = devid;
	snprintf(b->name, sizeof(b->name), "%s d%u/%u", programs[kind], domid, devid);
	b->child = (struct child){.name = b->name, .pidfd = -1};
	return b;
}

static long add(uint16_t domid, uint32_t kind, uint32_t devid)
{
	struct backend *b;
	long rc = 0;

	pthread_mutex_lock(&lock);
	b = find(domid, kind, devid);
	if (b) {
		b->child.delay = 0; /* somebody waits for it now */
		b->again = b->child.pid;
	} else if (count(domid) >= MAX_BACKENDS) {
		rc = -ENOSPC;
	} else {
		b = make(domid, kind, devid);
		if (b) {
			b->next = backends;
			backends = b;
		} else {
			rc = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

long backend_start(uint32_t domid, uint32_t kind, uint32_t devid)
{
	char path[300];
	struct dom *d;
	bool dying;
	long rc;

	if (!kind || kind >= sizeof(programs) / sizeof(programs[0]))
		return -EINVAL;
	program_path(path, sizeof(path), kind);
	if (access(path, X_OK))
		return -ENOENT;
	d = dom_get(domid);
	if (!d)
		return -ESRCH;
	rc = add(domid, kind, devid);
	pthread_mutex_lock(&state_lock);
	dying = d->dying; /* then nobody else would end it */
	pthread_mutex_unlock(&state_lock);
	dom_put(d);
	if (dying) {
		backends_of_domain(domid);
		rc = -ESRCH;
	}
	main_kick();
	return rc;
}

int backend_domain(pid_t pid)
{
	int domid = -1;

	pthread_mutex_lock(&lock);
	for (struct backend *b = backends; b; b = b->next)
		if (b->child.pid == pid)
			domid = b->domid;
	pthread_mutex_unlock(&lock);
	return domid;
}

static void end(struct backend *b, int signal)
{
	if (b->child.pid)
		syscall(SYS_pidfd_send_signal, b->child.pidfd, signal, NULL, 0);
}

/* How many of a domain's are left; each gets the signal, QEMU another one. */
static unsigned end_all(uint16_t domid, int signal, int signal_qemu)
{
	unsigned left = 0;

	pthread_mutex_lock(&lock);
	for (struct backend *b = backends; b; b = b->next)
		if (b->domid == domid) {
			b->gone = true;
			end(b, b->kind == PVD_BACKEND_QEMU ? signal_qemu : signal);
			left += b->child.pid != 0;
		}
	pthread_mutex_unlock(&lock);
	if (signal)
		main_kick();
	return left;
}

/*
 * Ours answer a request when it is done, so nothing is lost with them. QEMU holds a qcow2's tables
 * and is asked to end, with some time for that. None is left when this returns: the images are
 * whoever's is next. Not for the main thread, which is the one that sees them end.
 */
void backends_of_domain(uint16_t domid)
{
	unsigned left = end_all(domid, SIGKILL, SIGTERM);

	for (int ms = 0; left && ms < GRACE_MS; ms++) {
		usleep(1000);
		left = end_all(domid, 0, 0);
	}
	if (left)
		end_all(domid, SIGKILL, SIGKILL);
}

/* Its work is done; another's, by the same number, begins with nothing. */
static void done(struct backend *b)
{
	b->gone |= !b->again || ftruncate(b->state_fd, 0);
	b->child.delay = 0;
}

bool backend_died(pid_t pid, int status)
{
	struct backend *b;

	pthread_mutex_lock(&lock);
	for (b = backends; b && b->child.pid != pid; b = b->next)
		;
	if (b) {
		child_died(&b->child, status);
		if (WIFEXITED(status) && !WEXITSTATUS(status))
			done(b);
	}
	pthread_mutex_unlock(&lock);
	return b != NULL;
}

static void start(struct backend *b) /* lock held */
{
	char path[300], ld[320], state[12], domid[12], devid[12];
	const char *const argv[] = {path, "--state", state, domid, devid, NULL};
	const char *const env[] = {ld, NULL};

	program_path(path, sizeof(path), b->kind);
	snprintf(ld, sizeof(ld), "LD_LIBRARY_PATH=%s", libdir);
	snprintf(state, sizeof(state), "%d", b->state_fd);
	snprintf(domid, sizeof(domid), "%u", b->domid);
	snprintf(devid, sizeof(devid), "%u", b->devid);
	b->again = false;
	if (child_start(&b->child, argv, env, &b->state_fd, 1))
		b->child.delay = 1;
}

void backend_tick(void)
{
	struct backend **pp, *b;

	pthread_mutex_lock(&lock);
	for (pp = &backends; (b = *pp);) {
		if (b->gone && !b->child.pid) {
			*pp = b->next;
			close(b->state_fd);
			free(b);
			continue;
		}
		if (!b->gone && child_due(&b->child))
			start(b);
		pp = &b->next;
	}
	pthread_mutex_unlock(&lock);
}

/* What is left of QEMU after the main thread's patience is killed by the kernel, with pvd's end. */
void backend_kill_all(void)
{
	pthread_mutex_lock(&lock);
	for (struct backend *b = backends; b; b = b->next)
		end(b, b->kind == PVD_BACKEND_QEMU ? SIGTERM : SIGKILL);
	pthread_mutex_unlock(&lock);
}
