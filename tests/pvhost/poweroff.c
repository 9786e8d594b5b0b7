/* SPDX-License-Identifier: MIT */
/*
 * The machine is switched off while a vCPU runs: the last program of its boot. It says itself what
 * the lab's init would have said afterwards; the run fails if the machine then stays on.
 */
#include <errno.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

int main(void)
{
	static char log[1 << 18];
	struct runner runner;
	struct raw r;
	int n;

	if (raw_open(&r)) {
		printf("not ok /dev/pvhost: %s\n", strerror(errno));
		return 1;
	}
	runner_count(&runner, &r);
	check(goes_on((uint64_t *)(r.mem + RAW_COUNT)),
	      "the machine is switched off while a vCPU runs", "it does not run");
	printf("@lab exit 0\n@lab end .\n");
	n = klogctl(3, log, sizeof(log));
	fwrite(log, n > 0 ? n : 0, 1, stdout);
	printf("\n@lab off .\n");
	fflush(stdout);
	tcdrain(1);
	reboot(RB_POWER_OFF);
	return 1;
}
