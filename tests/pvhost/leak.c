/* SPDX-License-Identifier: MIT */
/* VMs come and go by the hundred; the kernel's memory does not. */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

#define ROUNDS 100

GUEST(sweep, "mov $0x200000, %rdi; 1: mov %rdi, (%rdi); add $4096, %rdi;"
	     "cmp $0x400000, %rdi; jb 1b; vmcall");

static long meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			sscanf(line + strlen(name) + 1, "%ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

/* Objects of one of the kernel's caches that are in use. */
static long objects(const char *cache)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[256], name[64];
	long active = -1, n;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", name, &n) == 2 && !strcmp(name, cache))
			active = n;
	if (f)
		fclose(f);
	return active;
}

/* A process whose guest fills 2 MiB of EPT; it ends with everything open. */
static void process(void)
{
	struct raw r;
	pid_t pid = fork();

	if (!pid) {
		if (raw_open(&r))
			_exit(1);
		raw_guest(&r, sweep);
		_exit(raw_run(&r) != PVHOST_EXIT_VMCALL);
	}
	waitpid(pid, NULL, 0);
}

/* Descriptors that close, in a process that stays. */
static void closing(const struct raw *r)
{
	struct pvhost_region region = {.gpa = 0x40000000, .hva = (uintptr_t)r->mem, .size = 4096};
	struct raw other;

	if (raw_open(&other))
		_exit(1);
	raw_close(&other);
	ioctl(r->vm, PVHOST_ADD_REGION, &region);
	ioctl(r->vm, PVHOST_DEL_REGION, &region);
}

static void loses_nothing(const char *name, bool processes, const struct raw *r)
{
	long memory = 0, slab = 0, mm = 0;

	for (int i = -ROUNDS / 2; i < ROUNDS; i++) {
		if (!i) {
			memory = meminfo("MemFree");
			slab = meminfo("SUnreclaim");
			mm = objects("mm_struct");
		}
		if (processes)
			process();
		else
			closing(r);
	}
	memory -= meminfo("MemFree");
	slab = meminfo("SUnreclaim") - slab;
	mm = objects("mm_struct") - mm;
	printf("# %s: %ld KiB less free, %ld KiB more in slabs, %ld more mm_structs\n", name,
	       memory, slab, mm);
	/* A page for each round, or a small object, would be more than this. */
	check(memory < ROUNDS * 2 && slab < ROUNDS / 4 && mm < ROUNDS / 4, name, "see above");
}

int main(void)
{
	struct raw r;

	loses_nothing("processes that end", true, NULL);
	if (raw_open(&r))
		return 1;
	loses_nothing("VMs that are closed", false, &r);
	raw_close(&r);
	check_released();
	return finish();
}
