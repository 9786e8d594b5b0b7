/* SPDX-License-Identifier: MIT */
/*
 * A line of disk = [...]: xl-disk-configuration(5), parsed by xl's own library. A raw image gets
 * our block backend, any other format QEMU's.
 */
#include <errno.h>
#include <fcntl.h>
#include <libxlutil.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/pvctl/device.h"
#include "toolstack/pvd/client.h"

static const struct {
	libxl_disk_format id;
	const char *name, *qemu;
} formats[] = {
	{LIBXL_DISK_FORMAT_RAW, "raw", "aio"},	     {LIBXL_DISK_FORMAT_QCOW, "qcow", "qcow"},
	{LIBXL_DISK_FORMAT_QCOW2, "qcow2", "qcow2"}, {LIBXL_DISK_FORMAT_VHD, "vhd", "vpc"},
	{LIBXL_DISK_FORMAT_QED, "qed", "qed"},	     {LIBXL_DISK_FORMAT_EMPTY, "raw", "aio"},
};

static unsigned format_index(libxl_disk_format f)
{
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (formats[i].id == f)
			return i;
	return 0;
}

static unsigned format_by_name(const char *name)
{
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (!strcmp(formats[i].name, name))
			return i;
	return 0;
}

/* What xl's words leave open. */
static const char *hint(const char *report)
{
	if (strstr(report, "value for format"))
		return "; formats: raw, qcow, qcow2, vhd, qed";
	if (strstr(report, "value for access"))
		return "; access: rw, w, ro, r; the order is TARGET,FORMAT,VDEV,ACCESS";
	if (strstr(report, "unknown parameter"))
		return "; there are: target, format, vdev, access, devtype=cdrom, cdrom, "
		       "direct-io-safe, discard, no-discard, backendtype=qdisk";
	if (strstr(report, "no vdev"))
		return "; add what the guest is to call it: vdev=xvda";
	return "";
}

/* The library's parser. Its report is cut down to what went wrong. */
static int parse(const char *line, libxl_device_disk *disk)
{
	char *report = NULL, *say;
	size_t len;
	FILE *f = open_memstream(&report, &len);
	XLU_Config *x = f ? xlu_cfg_init(f, "disk") : NULL;
	int rc;

	if (!x)
		die("out of memory");
	rc = xlu_disk_parse(x, 1, &line, disk);
	xlu_cfg_destroy(x);
	fclose(f);
	if (rc) {
		say = strstr(report, "specification: ");
		say = say ? say + strlen("specification: ") : report;
		say[strcspn(say, "\n")] = 0;
		complain("disk: %s%s", *say ? say : strerror(rc), hint(say));
	}
	free(report);
	return rc ? -1 : 0;
}

/* Does the line itself say raw? The library does not tell it from its default. */
static bool says_raw(const char *line)
{
	char *copy = strdup(line), *save = NULL;
	bool raw = !strncmp(line, "raw:", 4);

	for (char *p = strtok_r(copy, ",", &save); p && !raw; p = strtok_r(NULL, ",", &save)) {
		p += strspn(p, " \t");
		if (!strncmp(p, "target=", 7)) /* the rest is the file's name */
			break;
		raw = !strcmp(p, "raw") || !strcmp(p, "format=raw");
	}
	free(copy);
	return raw;
}

/* As xl a name without a slash in front is one of /dev; but first a file of this folder. */
static int full_path(const char *name, char *path)
{
	char in_dev[PATH_MAX];

	if (realpath(name, path))
		return 0;
	snprintf(in_dev, sizeof(in_dev), "/dev/%s", name);
	if (*name != '/' && realpath(in_dev, path))
		return 0;
	return complain("disk image %s: %s%s", name, strerror(errno),
			errno == ENOENT ? "; make one: truncate -s 1G FILE, or qemu-img create"
					: "");
}

static int check_format(const char *path, int fd, const char *format, bool said_raw)
{
	unsigned char head[DISK_HEAD];
	const ssize_t n = pread(fd, head, sizeof(head), 0);
	const char *is = disk_format(head, n < 0 ? 0 : n);

	if (n < 0)
		return complain("disk image %s: %s", path, strerror(errno));
	if (!strcmp(format, "raw")) {
		if (!is || said_raw)
			return 0;
		if (strcmp(formats[format_by_name(is)].name, is))
			return complain("disk image %s is %s, which is not read here; convert it: "
					"qemu-img convert -O qcow2 %s NEW",
					path, is, path);
		return complain("disk image %s is %s, not raw: add format=%s, or format=raw if the "
				"guest is to see the file as it is",
				path, is, is);
	}
	/* a fixed-size VHD has its magic at the end only */
	if ((!is && strcmp(format, "vhd")) || (is && strcmp(is, format)))
		return complain("disk image %s is not %s but %s: give the right format=", path,
				format, is ? is : "raw");
	return 0;
}

/* *block: it is a block device. */
static int check_image(const char *path, const char *format, bool said_raw, bool write, bool *block)
{
	struct stat st;
	int fd, rc;

	if (stat(path, &st))
		return complain("disk image %s: %s", path, strerror(errno));
	*block = S_ISBLK(st.st_mode);
	if (!*block && !S_ISREG(st.st_mode))
		return complain("disk image %s: neither a file nor a block device", path);
	fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return complain("disk image %s: %s%s", path, strerror(errno),
				write && !access(path, R_OK) ? "; it can be had with access=ro"
							     : "");
	if (!*block && st.st_size < 512)
		rc = complain("disk image %s has %ld bytes; give it a size: truncate -s 1G %s",
			      path, (long)st.st_size, path);
	else
		rc = check_format(path, fd, format, said_raw);
	close(fd);
	return rc;
}

static int refuse_foreign(const libxl_device_disk *k)
{
	if (k->script)
		return complain(
			"disk: script=%s: block scripts are not run here; attach the device "
			"yourself and give its path",
			k->script);
	if (k->backend_domname && strcmp(k->backend_domname, "0") &&
	    strcmp(k->backend_domname, "Domain-0"))
		return complain("disk: backend=%s: backends run in domain 0 only",
				k->backend_domname);
	if (k->backend == LIBXL_DISK_BACKEND_TAP || k->backend == LIBXL_DISK_BACKEND_STANDALONE)
		return complain("disk: backendtype: only phy and qdisk are here; leave it out for "
				"the one that fits");
	if (k->backend == LIBXL_DISK_BACKEND_PHY &&
	    formats[format_index(k->format)].id != LIBXL_DISK_FORMAT_RAW &&
	    k->format != LIBXL_DISK_FORMAT_EMPTY)
		return complain("disk: backendtype=phy serves raw images only; leave it out");
	return 0;
}

static void describe(const libxl_device_disk *k, const char *path, bool block, struct device *d)
{
	const unsigned f = format_index(k->format);
	const bool qemu = strcmp(d->backend, "qdisk") == 0;

	node(&d->back, "removable", "%d", !!k->removable);
	node(&d->back, "bootable", "1");
	node(&d->back, "dev", "%s", k->vdev);
	node(&d->back, "params", "%s%s%s", qemu ? formats[f].qemu : "", qemu ? ":" : "", path);
	node(&d->back, "type", "%s", qemu ? "qdisk" : block ? "phy" : "file");
	node(&d->back, "mode", "%s", k->readwrite ? "w" : "r");
	node(&d->back, "device-type", "%s", k->is_cdrom ? "cdrom" : "disk");
	node(&d->back, "discard-enable", "%d",
	     k->readwrite && libxl_defbool_is_default(k->discard_enable)
		     ? 1
		     : k->readwrite && libxl_defbool_val(k->discard_enable));
	node(&d->back, "direct-io-safe", "%d", k->direct_io_safe);
	node(&d->front, "virtual-device", "%u", d->devid);
	node(&d->front, "device-type", "%s", k->is_cdrom ? "cdrom" : "disk");
}

static char *spec_of(const libxl_device_disk *k, const char *path, bool said_raw)
{
	const unsigned f = format_index(k->format);
	const bool named = said_raw || (formats[f].id != LIBXL_DISK_FORMAT_RAW &&
					formats[f].id != LIBXL_DISK_FORMAT_EMPTY);
	char *s;

	if (asprintf(&s, "%s%s%svdev=%s,access=%s%s%s%s%s%s%s", named ? "format=" : "",
		     named ? formats[f].name : "", named ? "," : "", k->vdev,
		     k->readwrite ? "rw" : "ro", k->is_cdrom ? ",devtype=cdrom" : "",
		     k->direct_io_safe ? ",direct-io-safe" : "",
		     libxl_defbool_is_default(k->discard_enable) ? ""
		     : libxl_defbool_val(k->discard_enable)	 ? ",discard"
								 : ",no-discard",
		     k->backend == LIBXL_DISK_BACKEND_QDISK ? ",backendtype=qdisk" : "",
		     *path ? ",target=" : "", path) < 0)
		die("out of memory");
	return s;
}

static int understand(const char *line, libxl_device_disk *k, struct device *d, char **spec)
{
	const bool said_raw = says_raw(line);
	char path[PATH_MAX] = "";
	bool block = false, qemu;

	if (parse(line, k) || refuse_foreign(k))
		return -1;
	if (!vdev_number(k->vdev, &d->devid))
		return complain(
			"disk: '%s' is no virtual disk's name; they are called xvda, xvdb1, "
			"sda, hda or d0",
			k->vdev);
	if (k->pdev_path && *k->pdev_path &&
	    (full_path(k->pdev_path, path) ||
	     check_image(path, formats[format_index(k->format)].name, said_raw, k->readwrite,
			 &block)))
		return -1;
	if (!*path && !k->is_cdrom)
		return complain("disk %s: no image; only a CD-ROM may be empty", k->vdev);
	qemu = k->backend == LIBXL_DISK_BACKEND_QDISK ||
	       (*path && formats[format_index(k->format)].id != LIBXL_DISK_FORMAT_RAW);
	if (qemu && !k->readwrite)
		return complain(
			"disk %s: Debian's QEMU 7.2 serves no read-only disks; raw images are "
			"served read-only by our own backend: qemu-img convert -O raw",
			k->vdev);
	d->type = "vbd";
	d->backend = qemu ? "qdisk" : "vbd";
	d->program = qemu ? PVD_BACKEND_QEMU : PVD_BACKEND_BLOCK;
	snprintf(d->name, sizeof(d->name), "disk %.50s", k->vdev);
	describe(k, path, block, d);
	*spec = spec_of(k, path, said_raw);
	return 0;
}

int disk_parse(const char *line, struct device *d, char **spec)
{
	libxl_device_disk disk;
	int rc;

	memset(d, 0, sizeof(*d));
	libxl_device_disk_init(&disk);
	rc = understand(line, &disk, d, spec);
	libxl_device_disk_dispose(&disk);
	if (rc)
		device_free(d);
	return rc;
}
