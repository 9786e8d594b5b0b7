/* SPDX-License-Identifier: MIT */
/* A preloaded library: pvctl is killed when it introduces the domain that it has built to the
 * store. */
#include <signal.h>
#include <stdbool.h>
#include <xenstore.h>

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn,
			 unsigned int port)
{
	return raise(SIGKILL);
}
