/* SPDX-License-Identifier: MIT */
/* The machine sleeps while vCPUs run; VMX is off meanwhile, and they go on when it wakes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

GUEST(call, "vmcall");

static bool has_sleep(void)
{
	char states[64] = "";
	const int fd = open("/sys/power/mem_sleep", O_RDONLY);
	const ssize_t n = fd < 0 ? 0 : read(fd, states, sizeof(states) - 1);

	close(fd);
	return n > 0 && strstr(states, "deep");
}

static int sleep_now(void)
{
	const int deep = open("/sys/power/mem_sleep", O_WRONLY);
	const int fd = open("/sys/power/state", O_WRONLY);
	const int ret = write(deep, "deep", 4) == 4 && write(fd, "mem", 3) == 3 ? 0 : -errno;

	close(deep);
	close(fd);
	return ret;
}

int main(void)
{
	struct runner runner;
	struct raw r, other;
	int ret;

	if (!has_sleep()) {
		printf("skip suspend to RAM: not on this machine\n");
		return 0;
	}
	if (raw_open(&r)) {
		printf("not ok /dev/pvhost: %s\n", strerror(errno));
		return 1;
	}
	runner_count(&runner, &r);
	ret = sleep_now();
	check(!ret, "the machine sleeps while a vCPU runs", "%d", ret);
	check(goes_on((uint64_t *)(r.mem + RAW_COUNT)), "and that goes on when it wakes",
	      "it stands still");
	check(runner_stop(&runner) == PVHOST_EXIT_VMCALL, "to its end", "reason %d", runner.result);
	check(!raw_open(&other), "a VM opened afterwards", "errno %d", errno);
	raw_guest(&other, call);
	ret = raw_run(&other);
	check(ret == PVHOST_EXIT_VMCALL, "runs", "%d", ret);
	raw_close(&other);
	raw_close(&r);
	check_released();
	return finish();
}
