/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into xenconsoled when pvd is not root: it refuses to run unless geteuid() is 0, and
 * needs nothing that root could do. It is told what it wants to hear; the kernel is not.
 */
#include <unistd.h>

uid_t geteuid(void)
{
	return 0;
}
