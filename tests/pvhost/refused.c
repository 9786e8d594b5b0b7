/* SPDX-License-Identifier: MIT */
/*
 * On a CPU that cannot do it the module does not load, and the kernel's log says why and what to
 * do: refused MODULE WORDS...
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/pvhost/raw.h"

static char log[1 << 18], words[256];

int main(int argc, char **argv)
{
	int fd, n, ret;

	for (int i = 2; i < argc; i++)
		snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s",
			 i > 2 ? " " : "", argv[i]);
	fd = open(argc > 2 ? argv[1] : "", O_RDONLY);
	if (fd < 0) {
		printf("not ok refused: no module\n");
		return 1;
	}
	ret = syscall(SYS_finit_module, fd, "", 0);
	check(ret && errno == ENODEV, "the module does not load on this CPU", "%d, errno %d", ret,
	      errno);
	n = klogctl(3, log, sizeof(log) - 1);
	log[n < 0 ? 0 : n] = 0;
	check(strstr(log, "pvhost: ") && strstr(log, words), words, "not in the kernel's log");
	check(access("/dev/pvhost", F_OK) && module_users() < 0, "nothing of it stays", "it does");
	return finish();
}
