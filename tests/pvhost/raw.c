/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

unsigned passed, failed;

int raw_open(struct raw *r)
{
	struct pvhost_region region = {.size = RAW_SIZE};
	struct pvhost_state state = {
		.cr0 = 1, .cr3 = 0x1000, .cs = 8, .ss = 16, .tr = 24, .tss_limit = 0x67};
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
	r->vcpu = ioctl(r->vm, PVHOST_CREATE_VCPU, 0);
	if (r->vcpu < 0)
		return -1;
	r->run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->vcpu, 0);
	if (r->run == MAP_FAILED)
		return -1;
	/* The first GiB of addresses one to one, in 2 MiB pages: what lies above faults in EPT. */
	table = (uint64_t *)(r->mem + 0x1000);
	table[0] = 0x2000 | 7;
	table = (uint64_t *)(r->mem + 0x2000);
	table[0] = 0x3000 | 7;
	table = (uint64_t *)(r->mem + 0x3000);
	for (uint64_t i = 0; i < 512; i++)
		table[i] = i << 21 | 0x87;
	return ioctl(r->vcpu, PVHOST_SET_STATE, &state);
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

int raw_run(struct raw *r)
{
	int ret;

	do
		ret = ioctl(r->vcpu, PVHOST_RUN, 0);
	while (ret && errno == EINTR);
	return ret ? -errno : (int)r->run->exit_reason;
}

void check(bool ok, const char *name, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %s", ok ? "" : "not ", name);
	if (!ok) {
		printf(": ");
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
	}
	printf("\n");
	fflush(stdout);
	*(ok ? &passed : &failed) += 1;
}

int finish(void)
{
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
