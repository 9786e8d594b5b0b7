/* SPDX-License-Identifier: MIT */
/*
 * pvdom: one domain, one process. Started by pvd (proto.h says how); makes the vCPU threads,
 * closes the sandbox behind itself, then serves the broker.
 */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-driver/providers/process/translate/upper.h"
#include "hypercalls/pvdom/namespaces.h"
#include "hypercalls/pvdom/pvdom.h"
#include "hypercalls/pvdom/version.h"

struct domain *the_domain;
__thread struct vcpu *current;

static sem_t vcpus_ready;

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;

	current = v;
	v->tid = syscall(SYS_gettid);
	if (v->d->provider->vcpu_init(v) || (v->d->upper && v->d->upper->vcpu_init(v))) {
		perror("pvdom: a vCPU thread's signals");
		exit(1);
	}
	sem_post(&vcpus_ready);
	vcpu_park(v);
	v->d->provider->vcpu_run(v);
	return NULL;
}

/* Pages of its own, and 8 bytes into them: providers/vtx/vtx.h says why. */
static struct vcpu *vcpu_alloc(void)
{
	uint8_t *p = mmap(NULL, sizeof(struct vcpu) + 8, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : (struct vcpu *)(p + 8);
}

static int vcpus_start(struct domain *d)
{
	sem_init(&vcpus_ready, 0, 0);
	for (unsigned i = 0; i < d->nr_vcpus; i++) {
		struct vcpu *v = vcpu_alloc();

		if (!v)
			return -ENOMEM;
		v->d = d;
		v->id = i;
		v->kernel_mode = true;
		v->info_mfn = INVALID_MFN;
		v->poll_port = ~0U;
		v->cr0 = 0x80050033; /* PE MP ET NE WP AM PG */
		v->cr4 = 0x2660;     /* PAE MCE OSFXSR OSXMMEXCPT, as Xen shows a PV guest */
		v->debugreg[6] = 0xffff0ff0;
		v->debugreg[7] = 0x400;
		d->vcpu[i] = v;
		if (pthread_create(&v->thread, NULL, vcpu_thread, v))
			return -EAGAIN;
		sem_wait(&vcpus_ready);
	}
	return 0;
}

static int number(const char *s, int max)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (*end || end == s || n < 0 || n > max) {
		fprintf(stderr, "pvdom: '%s' is not a number up to %d\n", s, max);
		exit(2);
	}
	return n;
}

/* `auto`: the best that works here. */
static int provider_choose(struct domain *d, const char *name)
{
	int rc;

	if (!strcmp(name, "translate")) {
		d->provider = &provider_translate;
		return d->provider->domain_init(d);
	}
	if (strcmp(name, "process")) {
		d->provider = &provider_vtx;
		rc = d->provider->domain_init(d);
		if (!rc || strcmp(name, "auto"))
			return rc;
	}
	d->provider = &provider_process;
	rc = d->provider->domain_init(d);
	if (!rc && !provider_translate.domain_init(d))
		d->upper = &provider_translate;
	return rc;
}

/*
 * What of pvd's may be a terminal: nothing is read, and stderr takes words only. Who looks at
 * descriptors of this process finds /dev/null and the log.
 */
static void stdio_narrow(void)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int words = -1;

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	if ((fcntl(STDERR_FILENO, F_GETFL) & O_ACCMODE) == O_RDWR)
		words = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
	if (words >= 0) {
		dup2(words, STDERR_FILENO);
		close(words);
	}
}

static void said(struct domain *d, const char *fmt, ...)
{
	const size_t n = strlen(d->sandbox);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->sandbox + n, sizeof(d->sandbox) - n, fmt, ap);
	va_end(ap);
}

/* The lines behind the filter of system calls, each where the host has it. Before any thread. */
static void alone(struct domain *d)
{
	const bool no_new_privs = !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	const bool bounded = limits_open();
	char spaces[64];
	int landlock;

	namespaces_enter(spaces, sizeof(spaces));
	said(d, "%s", no_new_privs ? ", no_new_privs" : "");
	said(d, "%s", capabilities_drop() ? ", no capabilities" : "");
	if (*spaces)
		said(d, ", namespaces %s", spaces);
	landlock = landlock_enter();
	if (landlock)
		said(d, ", landlock %d", landlock);
	if (bounded)
		said(d, ", memory bounded");
}

/* The filter, of all threads: how many system calls it allows, or -errno. */
static int filter(struct domain *d)
{
	const bool vtx = d->provider == &provider_vtx;
	const int n = sandbox_enter(vtx, d->provider != &provider_translate);
	char behind[sizeof(d->sandbox)];

	memcpy(behind, d->sandbox, sizeof(behind));
	*d->sandbox = 0;
	if (n > 0)
		said(d, "seccomp with %d system calls%s", n, behind);
	else
		said(d, "no seccomp%s", behind);
	if (n < 0)
		fprintf(stderr, "pvdom %u: no seccomp here (error %d): not sandboxed\n", d->id, -n);
	return n;
}

static int fail(const struct domain *d, int rc)
{
	fprintf(stderr, "pvdom %u: start: error %d\n", d->id, -rc);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{"domid", required_argument, 0, 'd'},	{"vcpus", required_argument, 0, 'v'},
		{"ram-fd", required_argument, 0, 'r'},	{"ctl-fd", required_argument, 0, 'c'},
		{"up-fd", required_argument, 0, 'u'},	{"provider", required_argument, 0, 'p'},
		{"tsc-khz", required_argument, 0, 't'}, {0},
	};
	static struct domain d = {
		.ram_fd = -1, .ctl_fd = -1, .up_fd = -1, .shutdown = -1, .pause = 1};
	const char *provider = "auto";
	int opt, rc, khz = 0;

	if (version_asked("pvdom", argc, argv))
		return 0;
	upper_layout(argv);
	while ((opt = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (opt) {
		case 'd': d.id = number(optarg, 0x7fef); break;
		case 'v': d.nr_vcpus = number(optarg, PVDOM_MAX_VCPUS); break;
		case 'r': d.ram_fd = number(optarg, 1 << 20); break;
		case 'c': d.ctl_fd = number(optarg, 1 << 20); break;
		case 'u': d.up_fd = number(optarg, 1 << 20); break;
		case 'p': provider = optarg; break;
		case 't': khz = number(optarg, INT_MAX); break;
		default: return 2;
		}
	}
	if (!d.nr_vcpus || d.ram_fd < 0 || d.ctl_fd < 0 || d.up_fd < 0) {
		fprintf(stderr, "pvdom is started by pvd; see pvctl(1)\n");
		return 2;
	}
	pthread_mutex_init(&d.lock, NULL);
	d.max_ports = MAX_PORTS;
	the_domain = &d;
	time_init(&d, khz);
	if ((rc = provider_choose(&d, provider)))
		return fail(&d, rc);
	stdio_narrow();
	alone(&d);
	if ((rc = io_init(&d)) || (rc = evtchn_init(&d)) || (rc = vcpus_start(&d)))
		return fail(&d, rc);
	limits_measure();
	rc = filter(&d);
	up_call(&d, UP_READY, (uint64_t[4]){rc > 0}, NULL, 0, NULL, 0, NULL);
	io_loop(&d);
}
