/* SPDX-License-Identifier: MIT */
/*
 * The parts of libxengnttab that a dom0 without a grant table of its own cannot offer: sharing
 * its pages with guests (libvchan) and dma-bufs. Every call says ENOSYS.
 */
#include <xengnttab.h>

#include "toolstack/xenlibs/xenlib.h"

static int enosys(void)
{
	errno = ENOSYS;
	return -1;
}

static void *enosys_ptr(void)
{
	errno = ENOSYS;
	return NULL;
}

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned flags)
{
	return enosys_ptr();
}

int xengntshr_close(xengntshr_handle *h)
{
	return 0;
}

int xengntshr_fd(xengntshr_handle *h)
{
	return enosys();
}

void *xengntshr_share_pages(xengntshr_handle *h, uint32_t domid, int count, uint32_t *refs,
			    int writable)
{
	return enosys_ptr();
}

void *xengntshr_share_page_notify(xengntshr_handle *h, uint32_t domid, uint32_t *ref, int writable,
				  uint32_t off, evtchn_port_t port)
{
	return enosys_ptr();
}

int xengntshr_unshare(xengntshr_handle *h, void *start, uint32_t count)
{
	return enosys();
}

int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *h, uint32_t domid, uint32_t flags,
				   uint32_t count, const uint32_t *refs, uint32_t *fd)
{
	return enosys();
}

int xengnttab_dmabuf_exp_wait_released(xengnttab_handle *h, uint32_t fd, uint32_t ms)
{
	return enosys();
}

int xengnttab_dmabuf_imp_to_refs(xengnttab_handle *h, uint32_t domid, uint32_t fd, uint32_t count,
				 uint32_t *refs)
{
	return enosys();
}

int xengnttab_dmabuf_imp_release(xengnttab_handle *h, uint32_t fd)
{
	return enosys();
}
