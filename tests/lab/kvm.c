// SPDX-License-Identifier: MIT
#include "tests/lab/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

const char *kvm_guest_open(struct kvm_guest *g, const void *code, size_t size)
{
	struct kvm_sregs sregs;
	struct kvm_userspace_memory_region region = {.memory_size = KVM_GUEST_MEMORY};
	int run_size;

	g->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (g->kvm < 0)
		return "/dev/kvm";
	g->vm = ioctl(g->kvm, KVM_CREATE_VM, 0);
	if (g->vm < 0)
		return "KVM_CREATE_VM";
	g->memory = mmap(NULL, KVM_GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	if (g->memory == MAP_FAILED)
		return "mmap";
	memcpy(g->memory + KVM_GUEST_CODE, code, size);
	region.userspace_addr = (uintptr_t)g->memory;
	if (ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return "KVM_SET_USER_MEMORY_REGION";
	g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
	if (g->vcpu < 0)
		return "KVM_CREATE_VCPU";
	run_size = ioctl(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	g->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	if (g->run == MAP_FAILED)
		return "mmap of the vcpu";
	if (ioctl(g->vcpu, KVM_GET_SREGS, &sregs) < 0)
		return "KVM_GET_SREGS";
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(g->vcpu, KVM_SET_SREGS, &sregs) < 0)
		return "KVM_SET_SREGS";
	return NULL;
}

const char *kvm_guest_start(struct kvm_guest *g, uint64_t rcx)
{
	struct kvm_regs regs = {.rip = KVM_GUEST_CODE, .rflags = 2, .rcx = rcx, .rsp = 0x1000};

	return ioctl(g->vcpu, KVM_SET_REGS, &regs) < 0 ? "KVM_SET_REGS" : NULL;
}

int kvm_guest_run(struct kvm_guest *g)
{
	int rc;

	do
		rc = ioctl(g->vcpu, KVM_RUN, 0);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -1 : (int)g->run->exit_reason;
}
