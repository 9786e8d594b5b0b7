/* SPDX-License-Identifier: MIT */
/* The module cannot go while anything of it is open; it can at once when nothing is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

GUEST(call, "vmcall");

static int unload(void)
{
	return syscall(SYS_delete_module, "pvhost", O_NONBLOCK) ? -errno : 0;
}

static int load(const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const int ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;

	close(fd);
	return ret;
}

static void refused(const char *name)
{
	const int ret = unload();

	check(ret == -EAGAIN || ret == -EBUSY, name, "delete_module: %d", ret);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/lab/ko/pvhost.ko";
	struct runner runner;
	int ret = 0, runs = 0;
	struct raw r;

	if (raw_open(&r)) {
		printf("not ok /dev/pvhost: %s\n", strerror(errno));
		return 1;
	}
	refused("rmmod with a VM open is refused");
	runner_count(&runner, &r);
	refused("rmmod with a vCPU running is refused");
	runner_stop(&runner);
	close(r.vm);
	refused("rmmod with only a vCPU open is refused");
	close(r.vcpu);
	refused("rmmod with only a run page mapped is refused");
	r.run->rax = 1;
	munmap(r.run, 4096);
	ret = unload();
	check(!ret && access("/dev/pvhost", F_OK), "rmmod when all is closed", "%d", ret);
	ret = load(path);
	for (int i = 0; i < 10 && !ret; i++) {
		if (!raw_open(&r)) {
			raw_guest(&r, call);
			runs += raw_run(&r) == PVHOST_EXIT_VMCALL;
			raw_close(&r);
		}
		ret = unload() ?: load(path);
	}
	check(!ret && runs == 10, "loaded, used and unloaded ten times", "%d, %d runs", ret, runs);
	check_released();
	return finish();
}
