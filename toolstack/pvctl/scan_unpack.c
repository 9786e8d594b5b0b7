/* SPDX-License-Identifier: MIT */
/*
 * The ELF file in a bzImage, by the loader that will unpack it when a domain is made of it:
 * libxenguest, with the compressions that it was built with (Debian's: gzip, xz, lzma, zstd, lz4).
 */
#include "toolstack/pvctl/scan.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>
#include <xenguest.h>

static void no_message(xentoollog_logger *l, xentoollog_level level, int errnoval,
		       const char *context, const char *format, va_list al)
{
}

static void no_progress(xentoollog_logger *l, const char *context, const char *doing, int percent,
			unsigned long done, unsigned long total)
{
}

static void no_destroy(xentoollog_logger *l)
{
}

uint8_t *scan_unpack(const uint8_t *file, size_t size, size_t *out_size, const char **why)
{
	static xentoollog_logger silent = {no_message, no_progress, no_destroy};
	xc_interface *xc = xc_interface_open(&silent, &silent, XC_OPENFLAG_DUMMY);
	struct xc_dom_image *dom = xc ? xc_dom_allocate(xc, NULL, NULL) : NULL;
	uint8_t *out = NULL;

	*why = "libxenguest cannot unpack its payload";
	if (dom && !xc_dom_kernel_mem(dom, file, size)) {
		/* It fails for a kernel without Xen's notes, after it has unpacked it. */
		(void)xc_dom_parse_image(dom);
		if (dom->kernel_blob && dom->kernel_size > SELFMAG &&
		    !memcmp(dom->kernel_blob, ELFMAG, SELFMAG) &&
		    (out = malloc(dom->kernel_size))) {
			*out_size = dom->kernel_size;
			memcpy(out, dom->kernel_blob, dom->kernel_size);
		}
	}
	if (dom)
		xc_dom_release(dom);
	if (xc)
		xc_interface_close(xc);
	return out;
}
