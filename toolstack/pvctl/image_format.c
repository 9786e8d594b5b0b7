/* SPDX-License-Identifier: MIT */
/* What a disk image is by its magic number: to refuse one that is taken for another. */
#include <string.h>

#include "toolstack/pvctl/device.h"

static const struct {
	const char *name;
	unsigned at, len;
	const char *magic;
} formats[] = {
	{"qcow2", 0, 8, "QFI\xfb\0\0\0\2"},
	{"qcow2", 0, 8, "QFI\xfb\0\0\0\3"},
	{"qcow", 0, 8, "QFI\xfb\0\0\0\1"},
	{"qed", 0, 4, "QED"},
	{"vhd", 0, 8, "conectix"},
	{"vhdx", 0, 8, "vhdxfile"},
	{"vmdk", 0, 4, "KDMV"},
	{"vmdk", 0, 21, "# Disk DescriptorFile"},
	{"vdi", 64, 4, "\x7f\x10\xda\xbe"},
};

const char *disk_format(const unsigned char *head, unsigned long n)
{
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (formats[i].at + formats[i].len <= n &&
		    !memcmp(head + formats[i].at, formats[i].magic, formats[i].len))
			return formats[i].name;
	return NULL;
}
