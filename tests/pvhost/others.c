/* SPDX-License-Identifier: MIT */
/* KVM and the driver share a machine: who comes second is told so, and what to do. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

GUEST(call, "vmcall");

/* Is it among the last things that the kernel said? */
static bool logged(const char *words)
{
	static char log[1 << 18];
	const int n = klogctl(3, log, sizeof(log) - 1);

	log[n < 0 ? 0 : n] = 0;
	return strstr(log, words);
}

static bool works(void)
{
	struct raw r;
	bool ok;

	if (raw_open(&r))
		return false;
	raw_guest(&r, call);
	ok = raw_run(&r) == PVHOST_EXIT_VMCALL;
	raw_close(&r);
	return ok;
}

int main(void)
{
	const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm, fd;

	if (kvm < 0) {
		printf("skip KVM beside the driver: no /dev/kvm\n");
		return 0;
	}
	check(works(), "the driver works while KVM has no VM", "errno %d", errno);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	check(vm >= 0, "KVM works while no one has the driver open", "errno %d", errno);
	fd = open("/dev/pvhost", O_RDWR);
	check(fd < 0 && errno == EBUSY, "with a VM of KVM's the driver is busy", "%d, errno %d", fd,
	      errno);
	check(logged("stop its VMs, or `modprobe -r kvm_intel`"), "and says what to do", "not so");
	close(vm);
	check(works(), "it works when that is gone", "errno %d", errno);
	fd = open("/dev/pvhost", O_RDWR);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	check(fd >= 0 && vm < 0 && errno == EBUSY, "with the driver open KVM is busy",
	      "%d, %d, errno %d", fd, vm, errno);
	close(fd);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	check(vm >= 0, "and works when that is closed", "errno %d", errno);
	close(vm);
	check_released();
	return finish();
}
