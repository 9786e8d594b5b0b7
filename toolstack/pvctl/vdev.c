/* SPDX-License-Identifier: MIT */
/* From xvda, sdb1, hdc, d2p1 or a number to the number that the store has: xen-vbd-interface(7). */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack/pvctl/device.h"

#define EXTENDED       (1U << 28)
#define EXTENDED_DISKS (1UL << 20)
#define EXTENDED_PARTS 256UL

/* a = 0, z = 25, aa = 26, ...; NULL: there is no letter, or there are too many. */
static const char *letters(const char *s, unsigned long *disk)
{
	unsigned long n = 0;
	const char *p = s;

	for (; *p >= 'a' && *p <= 'z' && p - s < 5; p++)
		n = n * 26 + (*p - 'a' + 1);
	*disk = n - 1;
	return p == s ? NULL : p;
}

/* Digits to the end of the text, if there are any; a zero in front would be another name. */
static bool partition(const char *s, unsigned long *part)
{
	char *end;

	*part = 0;
	if (!*s)
		return true;
	if (!isdigit((unsigned char)*s) || *s == '0')
		return false;
	*part = strtoul(s, &end, 10);
	return !*end;
}

static bool xen_disk(unsigned long disk, unsigned long part, uint32_t *devid)
{
	if (disk >= EXTENDED_DISKS || part >= EXTENDED_PARTS)
		return false;
	*devid = disk < 16 && part < 16 ? XVD_MAJOR << 8 | disk << 4 | part
					: EXTENDED | disk << 8 | part;
	return true;
}

/* d2 or d2p1 */
static bool plain_disk(const char *s, uint32_t *devid)
{
	unsigned long disk, part = 0;
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	disk = strtoul(s, &end, 10);
	if (*end && strcmp(end, "p0") && (*end != 'p' || !end[1] || !partition(end + 1, &part)))
		return false;
	return xen_disk(disk, part, devid);
}

static bool plain_number(const char *s, uint32_t *devid)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(s, &end, 0);
	if (*end || errno || n >= 2UL << 28)
		return false;
	*devid = n;
	return true;
}

bool vdev_number(const char *name, uint32_t *devid)
{
	unsigned long disk, part;
	const char *p;

	if (isdigit((unsigned char)*name))
		return plain_number(name, devid);
	if (*name == 'd' && isdigit((unsigned char)name[1]))
		return plain_disk(name + 1, devid);
	if (!strncmp(name, "xvd", 3))
		return (p = letters(name + 3, &disk)) && partition(p, &part) &&
		       xen_disk(disk, part, devid);
	if (strlen(name) < 3 || !(p = letters(name + 2, &disk)) || !partition(p, &part))
		return false;
	if (!strncmp(name, "sd", 2) && disk < 16 && part < 16) {
		*devid = 8 << 8 | disk << 4 | part;
		return true;
	}
	if (!strncmp(name, "hd", 2) && disk < 4 && part < 64) {
		*devid = (disk < 2 ? 3 : 22) << 8 | (disk & 1) << 6 | part;
		return true;
	}
	return false;
}
