/* SPDX-License-Identifier: MIT */
/* A CPU goes and comes back while vCPUs run: they go on, and afterwards on the new one as well. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

#define VCPUS 4

GUEST(call, "vmcall");

static struct raw r[VCPUS];
static struct runner runner[VCPUS];

static bool online(bool yes)
{
	const int fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY);
	const bool ok = fd >= 0 && write(fd, yes ? "1" : "0", 1) == 1;

	close(fd);
	return ok;
}

static bool pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* Every vCPU once on this CPU. */
static int runs_on(int cpu)
{
	int ret = 0;

	if (!pin(cpu))
		return -errno;
	for (int i = 0; i < VCPUS; i++) {
		raw_guest(&r[i], call);
		ret = ret ?: raw_run(&r[i]) - PVHOST_EXIT_VMCALL;
	}
	return ret;
}

static void all_go_on(const char *name)
{
	bool ok = true;

	for (int i = 0; i < VCPUS; i++)
		ok &= goes_on((uint64_t *)(r[0].mem + RAW_COUNT + i * 4096));
	check(ok, name, "one stands still");
}

GUEST(count, "1: incq (%rdi); cmpl $0, (%rsi); je 1b; vmcall");

static void start_all(void)
{
	*(uint32_t *)(r[0].mem + RAW_FLAG) = 0;
	for (int i = 0; i < VCPUS; i++) {
		raw_guest(&r[i], count);
		r[i].run->rdi = RAW_COUNT + i * 4096;
		r[i].run->rsi = RAW_FLAG;
		runner_start(&runner[i], &r[i]);
	}
}

static bool stop_all(void)
{
	bool ok = true;

	*(volatile uint32_t *)(r[0].mem + RAW_FLAG) = 1;
	for (int i = 0; i < VCPUS; i++)
		ok &= runner_join(&runner[i]) == PVHOST_EXIT_VMCALL;
	return ok;
}

int main(void)
{
	struct raw other;
	cpu_set_t all;
	int ret;

	if (access("/sys/devices/system/cpu/cpu1/online", W_OK)) {
		printf("skip CPU hotplug: there is one CPU\n");
		return 0;
	}
	sched_getaffinity(0, sizeof(all), &all);
	for (int i = 0; i < VCPUS; i++) {
		r[i] = r[0];
		ret = i ? (r[i].vcpu = raw_vcpu(&r[0], &r[i].run)) : raw_open(&r[0]);
		if (ret < 0) {
			printf("not ok /dev/pvhost: %s\n", strerror(errno));
			return 1;
		}
	}
	start_all();
	all_go_on("four vCPUs run on two CPUs");
	check(online(false), "a CPU goes while they do", "errno %d", errno);
	all_go_on("they go on");
	check(online(true), "the CPU comes back", "errno %d", errno);
	all_go_on("they go on with it");
	check(stop_all(), "and end as they should", "another exit");
	ret = runs_on(1);
	check(!ret, "each runs on the CPU that came back", "%d", ret);
	ret = runs_on(0);
	check(!ret, "and on the other", "%d", ret);
	pin(0);
	check(online(false), "the CPU goes again", "errno %d", errno);
	check(!raw_open(&other), "a VM opened meanwhile", "errno %d", errno);
	check(online(true), "lets the CPU come back", "errno %d", errno);
	check(pin(1), "a thread goes there", "errno %d", errno);
	raw_guest(&other, call);
	ret = raw_run(&other);
	check(ret == PVHOST_EXIT_VMCALL, "and its vCPU runs there", "%d", ret);
	raw_close(&other);
	ret = runs_on(1);
	check(!ret, "as do the older ones", "%d", ret);
	sched_setaffinity(0, sizeof(all), &all);
	return finish();
}
