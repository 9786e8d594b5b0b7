/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out below a guest: pages swapped out come back with what the guest wrote, and the
 * OOM killer ends a process inside like another.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

#define BIG_GPA 0x10000000
#define PAGES	512

/* Add 1 to a word of each page of [rdi, rsi), rcx times round. */
GUEST(rounds, "2: mov %rdi, %rdx; 1: incq (%rdx); add $4096, %rdx; cmp %rsi, %rdx; jb 1b;"
	      "dec %rcx; jnz 2b; vmcall");

static struct raw r;
static uint8_t *big;

static bool set(const char *path, const char *value)
{
	const int fd = open(path, O_WRONLY);
	const bool ok = fd >= 0 && write(fd, value, strlen(value)) > 0;

	close(fd);
	return ok;
}

static long vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	char key[64];
	long value, found = -1;

	while (f && fscanf(f, "%63s %ld", key, &value) == 2)
		if (!strcmp(key, name))
			found = value;
	if (f)
		fclose(f);
	return found;
}

static bool swap_on(void)
{
	uint8_t header[4096] = {};
	uint32_t info[3] = {1, 64 * 256 - 1, 0}; /* version, last page, bad pages */
	int fd;

	if (!set("/sys/block/zram0/disksize", "64M"))
		return false;
	memcpy(header + 1024, info, sizeof(info));
	memcpy(header + 4086, "SWAPSPACE2", 10);
	fd = open("/dev/zram0", O_WRONLY);
	if (fd < 0 || write(fd, header, sizeof(header)) != sizeof(header))
		return false;
	fsync(fd);
	close(fd);
	return !swapon("/dev/zram0", 0);
}

static void start(struct runner *runner, unsigned times)
{
	raw_guest(&r, rounds);
	r.run->rdi = BIG_GPA;
	r.run->rsi = BIG_GPA + PAGES * 4096ul;
	r.run->rcx = times;
	runner_start(runner, &r);
}

static void swapping(void)
{
	const long before = vmstat("pswpout");
	struct runner runner;
	unsigned wrong = 0;

	start(&runner, 20);
	for (int i = 0; i < 5; i++) {
		madvise(big, PAGES * 4096ul, MADV_PAGEOUT);
		usleep(2000);
	}
	check(runner_join(&runner) == PVHOST_EXIT_VMCALL, "a guest goes on while it is swapped out",
	      "reason %d", runner.result);
	for (int i = 0; i < PAGES; i++)
		wrong += *(uint64_t *)(big + i * 4096ul) != 20;
	check(vmstat("pswpout") > before, "pages went", "none of them");
	check(!wrong, "and came back as the guest left them", "%u pages have not", wrong);
}

static void out_of_memory(void)
{
	struct runner runner;
	int status = 0;
	pid_t pid;

	pid = fork();
	if (!pid) {
		set("/proc/self/oom_score_adj", "1000");
		if (raw_open(&r))
			_exit(3);
		big = mmap(NULL, PAGES * 4096ul, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ioctl(r.vm, PVHOST_ADD_REGION,
		      &(struct pvhost_region){BIG_GPA, (uintptr_t)big, PAGES * 4096ul, 0});
		start(&runner, -1);
		for (;;)
			memset(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
			       1, 1 << 20);
	}
	waitpid(pid, &status, 0);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	      "the OOM killer ends a process inside", "status %x", status);
}

int main(void)
{
	if (raw_open(&r)) {
		printf("not ok /dev/pvhost: %s\n", strerror(errno));
		return 1;
	}
	big = mmap(NULL, PAGES * 4096ul, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	check(!ioctl(r.vm, PVHOST_ADD_REGION,
		     &(struct pvhost_region){BIG_GPA, (uintptr_t)big, PAGES * 4096ul, 0}),
	      "a region of 2 MiB", "errno %d", errno);
	if (swap_on())
		swapping();
	else
		printf("skip swapping: no zram (errno %d)\n", errno);
	swapoff("/dev/zram0");
	raw_close(&r);
	out_of_memory();
	check_released();
	return finish();
}
