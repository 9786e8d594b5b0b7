/* SPDX-License-Identifier: MIT */
/*
 * A preloaded library: a pvctl that removes its domain is told to end before the store's nodes go;
 * with REMOVE_KILLED it is killed before the domain does.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <xenctrl.h>
#include <xenstore.h>

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	bool (*real)(struct xs_handle *, xs_transaction_t, const char *) =
		dlsym(RTLD_NEXT, "xs_rm");

	raise(SIGTERM);
	return real(h, t, path);
}

int xc_domain_destroy(xc_interface *xch, uint32_t domid)
{
	int (*real)(xc_interface *, uint32_t) = dlsym(RTLD_NEXT, "xc_domain_destroy");

	return getenv("REMOVE_KILLED") ? raise(SIGKILL) : real(xch, domid);
}
