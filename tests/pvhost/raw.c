/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

int raw_vcpu(const struct raw *r, struct pvhost_run **run)
{
	const struct pvhost_state state = {
		.cr0 = 1, .cr3 = 0x1000, .cs = 8, .ss = 16, .tr = 24, .tss_limit = 0x67};
	const int fd = ioctl(r->vm, PVHOST_CREATE_VCPU, 0);

	if (fd < 0)
		return -1;
	*run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return *run == MAP_FAILED || ioctl(fd, PVHOST_SET_STATE, &state) ? -1 : fd;
}

int raw_open(struct raw *r)
{
	struct pvhost_region region = {.size = RAW_SIZE};
	uint64_t *table;

	r->vm = open("/dev/pvhost", O_RDWR | O_CLOEXEC);
	if (r->vm < 0)
		return -1;
	r->mem = mmap(NULL, RAW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->mem == MAP_FAILED)
		return -1;
	region.hva = (uintptr_t)r->mem;
	if (ioctl(r->vm, PVHOST_ADD_REGION, &region))
		return -1;
	/* The first GiB of addresses one to one, in 2 MiB pages: what lies above faults in EPT. */
	table = (uint64_t *)(r->mem + 0x1000);
	table[0] = 0x2000 | 7;
	table = (uint64_t *)(r->mem + 0x2000);
	table[0] = 0x3000 | 7;
	table = (uint64_t *)(r->mem + 0x3000);
	for (uint64_t i = 0; i < 512; i++)
		table[i] = i << 21 | 0x87;
	r->vcpu = raw_vcpu(r, &r->run);
	return r->vcpu < 0 ? -1 : 0;
}

void raw_close(struct raw *r)
{
	munmap(r->run, 4096);
	close(r->vcpu);
	close(r->vm);
	munmap(r->mem, RAW_SIZE);
}

void raw_code(struct raw *r, const void *code, unsigned size)
{
	memcpy(r->mem + RAW_CODE, code, size);
	r->run->rip = RAW_CODE;
	r->run->rsp = RAW_STACK;
	r->run->rflags = 2;
}

void raw_code_on(struct raw *r, const void *code, unsigned size)
{
	raw_code(r, code, size);
	r->run->rflags |= 0x200;
}

int raw_run(struct raw *r)
{
	int ret;

	do
		ret = ioctl(r->vcpu, PVHOST_RUN, 0);
	while (ret && errno == EINTR);
	return ret ? -errno : (int)r->run->exit_reason;
}

static void *run_thread(void *arg)
{
	struct runner *runner = arg;

	runner->result = raw_run(runner->r);
	return NULL;
}

void runner_start(struct runner *runner, struct raw *r)
{
	runner->r = r;
	if (pthread_create(&runner->thread, NULL, run_thread, runner))
		abort();
}

int runner_join(struct runner *runner)
{
	pthread_join(runner->thread, NULL);
	return runner->result;
}

GUEST(count, "1: incq (%rdi); cmpl $0, (%rsi); je 1b; vmcall; jmp 1b");

void runner_count(struct runner *runner, struct raw *r)
{
	*(uint32_t *)(r->mem + RAW_FLAG) = 0;
	raw_guest(r, count);
	r->run->rdi = RAW_COUNT;
	r->run->rsi = RAW_FLAG;
	runner_start(runner, r);
	goes_on((uint64_t *)(r->mem + RAW_COUNT));
}

int runner_stop(struct runner *runner)
{
	__atomic_store_n((uint32_t *)(runner->r->mem + RAW_FLAG), 1, __ATOMIC_SEQ_CST);
	return runner_join(runner);
}

bool goes_on(const volatile uint64_t *word)
{
	const uint64_t before = *word;

	for (int ms = 0; ms < 60000; ms++) {
		if (*word != before)
			return true;
		usleep(1000);
	}
	return false;
}

int module_users(void)
{
	FILE *f = fopen("/sys/module/pvhost/refcnt", "r");
	int users = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%d", &users) != 1)
		users = -1;
	fclose(f);
	return users;
}

int users_left(void)
{
	int users = module_users();

	/* The last reference to a killed process's memory may go a moment after the process. */
	for (int ms = 0; users > 0 && ms < 60000; ms++) {
		usleep(1000);
		users = module_users();
	}
	return users;
}
