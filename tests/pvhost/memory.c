/* SPDX-License-Identifier: MIT */
/*
 * While a vCPU runs, the process and the kernel change the memory below it. What the guest then
 * reaches is what the process itself would reach, never an old page.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

GUEST(store, "mov %rax, (%rdi); vmcall");

#define HUGE_GPA 0x800000
#define HUGE	 0x200000

static struct raw r;
static struct runner runner;
static volatile uint64_t *count;

/* The guest ends by an EPT violation at `gpa`; make it go on afterwards with runner_start. */
static void violates(const char *name, uint64_t gpa)
{
	const int reason = runner_join(&runner);

	check(reason == PVHOST_EXIT_EPT_VIOLATION && r.run->gpa == gpa, name,
	      "reason %d, address %lx", reason, (long)r.run->gpa);
}

static void goes_on_now(const char *name)
{
	check(goes_on(count), name, "it does not count any more");
}

static void dontneed(void)
{
	bool fresh = true, shared = true;
	uint64_t before;

	for (int i = 0; i < 20; i++) {
		while (*count < 1000000)
			usleep(1000);
		before = *count;
		madvise((void *)count, 4096, MADV_DONTNEED);
		fresh &= *count < before;
		shared &= goes_on(count);
	}
	check(fresh, "after MADV_DONTNEED the guest has no old page", "old contents");
	check(shared, "and the process sees the new one", "they do not see the same page");
}

static void forked(void)
{
	pid_t pid = fork();
	uint64_t mine;
	int status;

	if (!pid) {
		mine = *count;
		for (int i = 0; i < 20; i++) {
			usleep(1000);
			if (*count != mine)
				_exit(1);
		}
		_exit(0);
	}
	goes_on_now("the guest goes on after fork");
	waitpid(pid, &status, 0);
	check(!status, "and does not write into the child's copy", "status %x", status);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	goes_on_now("the guest goes on after its child died");
}

static void protect(void)
{
	mprotect((void *)count, 4096, PROT_READ);
	violates("mprotect ends the guest's writing", RAW_COUNT);
	mprotect((void *)count, 4096, PROT_READ | PROT_WRITE);
	runner_start(&runner, &r);
	goes_on_now("and allows it again");
	mprotect((void *)count, 4096, PROT_NONE);
	violates("PROT_NONE ends it too", RAW_COUNT);
	mprotect((void *)count, 4096, PROT_READ | PROT_WRITE);
	runner_start(&runner, &r);
}

static void unmap(void)
{
	munmap((void *)count, 4096);
	violates("munmap takes the page from the guest", RAW_COUNT);
	if (mmap((void *)count, 4096, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		_exit(1);
	runner_start(&runner, &r);
	goes_on_now("and mmap gives it another");
}

static void move(void)
{
	volatile uint64_t *other = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t before;

	if (mremap((void *)count, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, other) == MAP_FAILED)
		_exit(1);
	before = *other;
	violates("mremap takes the page from the guest", RAW_COUNT);
	usleep(5000);
	check(*other == before && before, "which does not write to it any more", "%lu, then %lu",
	      (long)before, (long)*other);
	mremap((void *)other, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, count);
	runner_start(&runner, &r);
	check(goes_on(count) && *count >= before, "and finds it again when it comes back",
	      "%lu, was %lu", (long)*count, (long)before);
}

static void file(void)
{
	const int fd = memfd_create("memory", 0);

	if (ftruncate(fd, 4096) || mmap((void *)count, 4096, PROT_READ | PROT_WRITE,
					MAP_FIXED | MAP_SHARED, fd, 0) == MAP_FAILED)
		_exit(1);
	goes_on_now("a file mapped over the page is what the guest sees");
	if (ftruncate(fd, 0))
		_exit(1);
	violates("truncating it takes the page from the guest", RAW_COUNT);
	if (ftruncate(fd, 4096))
		_exit(1);
	runner_start(&runner, &r);
	goes_on_now("and growing it gives a new one");
	close(fd);
	mmap((void *)count, 4096, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS,
	     -1, 0);
}

static bool set(const char *path, const char *value)
{
	const int fd = open(path, O_WRONLY);
	const bool ok = fd >= 0 && write(fd, value, strlen(value)) > 0;

	close(fd);
	return ok;
}

static long get(const char *path)
{
	FILE *f = fopen(path, "r");
	long value = -1;

	if (f && fscanf(f, "%ld", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	return value;
}

static void compaction(void)
{
	uint64_t last = *count;
	bool back = false;

	if (!set("/proc/sys/vm/compact_memory", "1")) {
		printf("skip compaction: not in this kernel\n");
		return;
	}
	for (int i = 0; i < 10; i++) {
		set("/proc/sys/vm/compact_memory", "1");
		back |= *count < last;
		last = *count;
	}
	check(!back && goes_on(count), "compaction loses none of the guest's writes",
	      "it stands still or went back");
}

/* The other vCPU's code beside that of the one that counts. */
static void store_by(struct raw *second)
{
	memcpy(r.mem + RAW_CODE + 0x1000, store, store_end - store);
	second->run->rip = RAW_CODE + 0x1000;
	second->run->rflags = 0x202;
}

/* Two equal pages become one; a write by the guest must part them again. */
static void ksm(void)
{
	uint8_t *a = r.mem + RAW_COUNT + 0x10000, *b = a + 0x10000;
	struct raw second = r;

	memset(a, 0x5a, 0x10000);
	memset(b, 0x5a, 0x10000);
	second.vcpu = raw_vcpu(&r, &second.run);
	store_by(&second);
	second.run->rax = 0x5a5a5a5a5a5a5a5a;
	second.run->rdi = a - r.mem;
	raw_run(&second); /* EPT has it, writable */
	if (madvise(a, 0x20000, MADV_MERGEABLE) ||
	    !set("/sys/kernel/mm/ksm/sleep_millisecs", "1") ||
	    !set("/sys/kernel/mm/ksm/run", "1")) {
		printf("skip KSM: not in this kernel\n");
		return;
	}
	for (int ms = 0; ms < 60000 && get("/sys/kernel/mm/ksm/pages_sharing") < 31; ms++)
		usleep(1000);
	printf("# KSM: %ld pages sharing\n", get("/sys/kernel/mm/ksm/pages_sharing"));
	store_by(&second);
	second.run->rax = 1;
	check(raw_run(&second) == PVHOST_EXIT_VMCALL && *(uint64_t *)a == 1,
	      "a guest writes to a page that KSM merged", "%lx", *(long *)a);
	check(b[0] == 0x5a && a[4096] == 0x5a, "and to no other that looked like it", "%x, %x",
	      b[0], a[4096]);
	set("/sys/kernel/mm/ksm/run", "2");
	check(*(uint64_t *)a == 1 && b[0] == 0x5a, "nor after KSM parted them all", "%x", b[0]);
	goes_on_now("the other vCPU went on all the time");
	munmap(second.run, 4096);
	close(second.vcpu);
}

static bool huge_at(const void *address)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, end, kib = 0;
	bool here = false;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)address && (uintptr_t)address < end;
		if (here && sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kib >= 2048;
}

static void huge(void)
{
	uint8_t *two =
		mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *mem = (uint8_t *)(((uintptr_t)two + HUGE - 1) & ~(HUGE - 1ul));
	const struct pvhost_region region = {.gpa = HUGE_GPA, .hva = (uintptr_t)mem, .size = HUGE};

	/* Linux leaves them off on machines of less than 512 MiB. */
	set("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	madvise(mem, HUGE, MADV_HUGEPAGE);
	mem[0] = 1;
	check(!ioctl(r.vm, PVHOST_ADD_REGION, &region), "a region of 2 MiB", "errno %d", errno);
	if (!huge_at(mem)) {
		printf("skip splitting a large page: there is none\n");
		return;
	}
	runner_stop(&runner);
	r.run->rip += 3;
	r.run->rdi = HUGE_GPA + 0x3000;
	*(uint32_t *)(r.mem + RAW_FLAG) = 0;
	runner_start(&runner, &r);
	count = (uint64_t *)(mem + 0x3000);
	goes_on_now("a guest writes to a large page");
	madvise(mem + 0x5000, 0x1000, MADV_DONTNEED);
	munmap(mem + 0x1ff000, 0x1000);
	goes_on_now("and to the rest of it when pages of it go");
	munmap(mem, 0x4000);
	violates("but not to those", HUGE_GPA + 0x3000);
	check(!ioctl(r.vm, PVHOST_DEL_REGION, &region), "the region goes", "errno %d", errno);
	munmap(mem + 0x4000, HUGE - 0x5000);
}

/* A region that goes while a vCPU uses it, and comes back. */
static void region(void)
{
	const struct pvhost_region all = {.hva = (uintptr_t)r.mem, .size = RAW_SIZE};

	count = (uint64_t *)(r.mem + RAW_COUNT);
	runner_count(&runner, &r);
	check(!ioctl(r.vm, PVHOST_DEL_REGION, &all), "deleting a region in use", "errno %d", errno);
	check(runner_join(&runner) == PVHOST_EXIT_EPT_VIOLATION, "ends the guest's use of it",
	      "reason %d", runner.result);
	check(!ioctl(r.vm, PVHOST_ADD_REGION, &all), "and it can be added again", "errno %d",
	      errno);
	runner_start(&runner, &r);
	goes_on_now("the guest goes on");
}

int main(void)
{
	if (raw_open(&r)) {
		printf("not ok /dev/pvhost: %s\n", strerror(errno));
		return 1;
	}
	count = (uint64_t *)(r.mem + RAW_COUNT);
	runner_count(&runner, &r);
	dontneed();
	forked();
	protect();
	unmap();
	move();
	file();
	compaction();
	ksm();
	huge();
	region();
	check(runner_stop(&runner) == PVHOST_EXIT_VMCALL, "it ended as it should", "reason %d",
	      runner.result);
	raw_close(&r);
	check_released();
	return finish();
}
