/* SPDX-License-Identifier: MIT */
/*
 *   bench-linux [-k] [-t MS] [-c SOURCE] [ROW...]
 * Lines on its output: `bench init`; for each row `bench NAME VALUE ns`, the least of many short
 * runs in MS, and `bench result NAME HEX`; `bench clock NS`, twice, so that the host can compare
 * our clock with its own; `bench end`. As init it powers the machine off then. Runs are shorter
 * than the turns that a scheduler gives: on a busy host some are of one piece, which a long one
 * never is. -k: the lines go to the kernel's log. Debian's cloud kernel cannot be an initial
 * domain, and has no console there but for printk's earliest messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/linux/bench.h"

#define LOG_LEVEL "<0>" /* which `quiet` lets through */
#define RUN_NS	  1000000

static const struct row gcc_rows[] = {{"gcc", gcc_run, NULL}, {0}};
static const struct row *const all_rows[] = {system_rows, compute_rows, memory_rows, gcc_rows};
static uint64_t total_ns = 300000000;
static int out = 1;

uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* One write a line: nothing of the kernel's gets into it. */
__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	char line[160];
	va_list ap;
	int n = out == 1 ? 0 : sprintf(line, "%s", LOG_LEVEL);

	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	va_end(ap);
	if (write(out, line, n) != n)
		_exit(1);
}

void die(const char *what)
{
	say("bench failed %s: %s\n", what, strerror(errno));
	_exit(1);
}

static uint64_t least(row_fn run, uint64_t n, unsigned runs, uint64_t ns)
{
	uint64_t best = UINT64_MAX, spent = 0, t;

	for (unsigned i = 0; i < runs || spent < ns; i++) {
		t = run(n);
		best = t < best ? t : best;
		spent += t;
	}
	return best;
}

/* Of so many that one run takes as long as it should, and at least of one: the least time. */
static double least_of_one(row_fn run)
{
	uint64_t n = 1, t, more;

	while ((t = least(run, n, 3, 0)) < RUN_NS / 4)
		n *= t < RUN_NS / 64 ? 8 : 2;
	if (t < RUN_NS) {
		n = n * RUN_NS / t + 1;
		t = least(run, n, 1, total_ns);
	} else if (3 * t < total_ns) {
		more = least(run, n, 1, total_ns - 3 * t);
		t = more < t ? more : t;
	}
	return (double)t / n;
}

static void measure(const struct row *row)
{
	say("bench %s %.2f ns\n", row->name, least_of_one(row->run));
	if (row->result)
		say("bench result %s %016" PRIx64 "\n", row->name, row->result());
}

static bool wanted(const char *name, char **names)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/* Two processes that take turns do it on one processor, as in a guest that has one. */
static void one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* /dev/null, $PATH and where to write to, for gcc. */
static void make_ready(void)
{
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	setenv("PATH", "/bin", 1);
	if (chdir("/tmp"))
		die("/tmp");
}

static void to_kernel_log(void)
{
	out = open("/dev/kmsg", O_WRONLY);
	if (out < 0)
		_exit(1);
}

int main(int argc, char **argv)
{
	const bool init = getpid() == 1;
	int opt;

	if (init)
		make_ready();
	else
		one_cpu();
	while ((opt = getopt(argc, argv, "c:kt:")) != -1) {
		switch (opt) {
		case 'c': gcc_source = optarg; break;
		case 'k': to_kernel_log(); break;
		case 't': total_ns = strtoull(optarg, NULL, 10) * 1000000; break;
		default: return 2;
		}
	}
	say("bench init\n");
	say("bench clock %" PRIu64 "\n", now());
	for (unsigned i = 0; i < sizeof(all_rows) / sizeof(*all_rows); i++)
		for (const struct row *r = all_rows[i]; r->name; r++)
			if (wanted(r->name, argv + optind))
				measure(r);
	say("bench clock %" PRIu64 "\n", now());
	say("bench end\n");
	if (init)
		reboot(RB_POWER_OFF);
	return 0;
}
