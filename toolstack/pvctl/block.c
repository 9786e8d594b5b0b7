/* SPDX-License-Identifier: MIT */
/* block-attach, block-detach, block-list, block-resize, cd-insert, cd-eject. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/pvctl/devcmd.h"

/* The disk that the word names: its number, and as the config calls it. Dies if there is none. */
static uint32_t the_disk(uint32_t domid, const char *word, char **vdev)
{
	uint32_t devid;

	if (!vdev_number(word, &devid))
		die("'%s' is no virtual disk: give its name (xvda) or its number (51712)", word);
	if (!device_exists(domid, "vbd", devid))
		die("domain %u has no disk %s; `pvctl block-list %u` shows which it has", domid,
		    word, domid);
	*vdev = back_read(domid, "vbd", devid, "dev");
	if (!*vdev)
		die("the store does not answer: %s", strerror(errno));
	return devid;
}

static void forget_disk(uint32_t domid, const char *vdev)
{
	char word[64];

	snprintf(word, sizeof(word), "vdev=%.50s", vdev);
	forget(domid, "vbd", word);
}

static int attach_line(uint32_t domid, const char *line)
{
	struct device d;
	char *spec;
	int rc;

	if (disk_parse(line, &d, &spec))
		return -1;
	rc = attach(domid, &d);
	if (!rc)
		remember(domid, "vbd", spec);
	device_free(&d);
	free(spec);
	return rc;
}

int cmd_block_attach(int argc, char **argv)
{
	struct args a = args_parse(
		argc, argv, 2, 32, "",
		"block-attach DOMAIN SPEC\nGive a running domain a disk. SPEC is "
		"FILE,FORMAT,VDEV,ACCESS or key=value,...\nas in xl-disk-configuration(5); it is "
		"kept for a reboot.\n\n"
		"Examples:\n  pvctl block-attach demo data.img,raw,xvdb,rw\n"
		"  pvctl block-attach demo format=qcow2,vdev=xvdc,target=old.qcow2");
	const uint32_t domid = guest_to_change(a.at[0]);
	char *line = joined(a.at + 1, a.n - 1);
	const int rc = attach_line(domid, line);

	free(line);
	return rc ? 1 : 0;
}

int cmd_block_detach(int argc, char **argv)
{
	struct args a = args_parse(
		argc, argv, 2, 2, "--force",
		"block-detach DOMAIN VDEV [--force]\nTake a disk away from a running domain: it is "
		"asked to let go first.\n--force does not wait for that. VDEV is a name (xvdb) or a "
		"number (51728).\n\nExample: pvctl block-detach demo xvdb");
	const uint32_t domid = guest_to_change(a.at[0]);
	char *vdev;
	const uint32_t devid = the_disk(domid, a.at[1], &vdev);

	if (device_remove(domid, "vbd", devid, a.force))
		return 1;
	forget_disk(domid, vdev);
	free(vdev);
	return 0;
}

struct row {
	char *dev, *params, *mode, *type, *kind, *state, *back;
	long port, ring;
};

static char *either(char *s, const char *otherwise)
{
	return s ? s : strdup(otherwise);
}

static struct row row_of(uint32_t domid, uint32_t devid)
{
	struct row r = {
		.dev = either(back_read(domid, "vbd", devid, "dev"), "?"),
		.params = either(back_read(domid, "vbd", devid, "params"), ""),
		.mode = either(back_read(domid, "vbd", devid, "mode"), "?"),
		.type = either(back_read(domid, "vbd", devid, "type"), "?"),
		.kind = either(back_read(domid, "vbd", devid, "device-type"), "disk"),
		.state = either(back_read(domid, "vbd", devid, "state"), "0"),
		.port = front_number(domid, "vbd", devid, "event-channel"),
		.ring = front_number(domid, "vbd", devid, "ring-ref"),
	};
	const char *folder = strcmp(r.type, "qdisk") ? "vbd" : "qdisk";

	if (asprintf(&r.back, "/local/domain/0/backend/%s/%u/%u", folder, domid, devid) < 0)
		die("out of memory");
	return r;
}

static void row_free(struct row *r)
{
	char *const all[] = {r->dev, r->params, r->mode, r->type, r->kind, r->state, r->back};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]);
}

static void row_json(const struct row *r, uint32_t devid, bool first)
{
	printf("%s\n  {\"devid\": %u, \"vdev\": ", first ? "" : ",", devid);
	json_string(r->dev);
	printf(", \"params\": ");
	json_string(r->params);
	printf(", \"type\": ");
	json_string(r->type);
	printf(", \"access\": \"%s\", \"device_type\": ", *r->mode == 'w' ? "rw" : "ro");
	json_string(r->kind);
	printf(", \"state\": %lu, \"backend\": ", strtoul(r->state, NULL, 10));
	json_string(r->back);
	putchar('}');
}

int cmd_block_list(int argc, char **argv)
{
	struct args a = args_parse(argc, argv, 1, 1, "--json",
				   "block-list DOMAIN [--json]\nIts disks. State 4 is connected, "
				   "2 waits for the guest, 6 is closed.\n\n"
				   "Example: pvctl block-list demo");
	const uint32_t domid = the_guest(a.at[0]);
	uint32_t *devid;
	const unsigned n = device_numbers(domid, "vbd", &devid);

	if (a.json)
		putchar('[');
	else
		printf("%-6s %-3s %-6s %-5s %-6s %-8s %s\n", "Vdev", "BE", "Name", "state",
		       "evt-ch", "ring-ref", "BE-path");
	for (unsigned i = 0; i < n; i++) {
		struct row r = row_of(domid, devid[i]);

		if (a.json)
			row_json(&r, devid[i], !i);
		else
			printf("%-6u %-3d %-6s %-5s %-6ld %-8ld %s\n", devid[i], 0, r.dev, r.state,
			       r.port, r.ring, r.back);
		row_free(&r);
	}
	if (a.json)
		printf("%s]\n", n ? "\n" : "");
	free(devid);
	return 0;
}

/* 512M, 10G, or plain bytes. Dies with a line. */
static off_t size_of(const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long n;
	const char *unit;

	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit)
		end++;
	for (const char *u = units; unit && u <= unit; u++)
		n = n > (1ULL << 52) ? 1ULL << 62 : n << 10;
	if (!isdigit((unsigned char)*text) || errno || *end || n > 1ULL << 53 || n < 512)
		die("size '%s': give it as 512M, 10G or in bytes", text);
	return n;
}

static void set_size(const char *path, const char *text, bool shrink)
{
	const off_t size = size_of(text);
	struct stat st;

	if (stat(path, &st))
		die("disk image %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		die("disk image %s is a block device: resize it itself, then leave SIZE out", path);
	if (size < st.st_size && !shrink)
		die("disk image %s has %lld bytes: what lies behind %lld would be lost; --shrink does "
		    "it all the same",
		    path, (long long)st.st_size, (long long)size);
	if (truncate(path, size))
		die("disk image %s: %s", path, strerror(errno));
}

int cmd_block_resize(int argc, char **argv)
{
	struct args a = args_parse(
		argc, argv, 2, 3, "--shrink",
		"block-resize DOMAIN VDEV [SIZE] [--shrink]\nGive a raw image another size and tell the "
		"guest. Without SIZE it has one already.\n\n"
		"Example: pvctl block-resize demo xvda 2G");
	const uint32_t domid = guest_to_change(a.at[0]);
	char *vdev, *type, *path, *mode;
	const uint32_t devid = the_disk(domid, a.at[1], &vdev);

	mode = back_read(domid, "vbd", devid, "mode");
	type = back_read(domid, "vbd", devid, "type");
	path = back_read(domid, "vbd", devid, "params");
	if (!type || !path || !strcmp(type, "qdisk"))
		die("disk %s is served by QEMU, which keeps its size: detach it, then qemu-img resize",
		    vdev);
	if (!*path)
		die("disk %s is an empty drive", vdev);
	if (a.n == 3 && (!mode || *mode != 'w'))
		die("disk %s is read-only: its image stays as it is; without SIZE the guest is told",
		    vdev);
	if (a.n == 3)
		set_size(path, a.at[2], a.shrink);
	/* the backend looks at the image again whatever the value is */
	if (!back_write(domid, "vbd", devid, "resize", "1"))
		die("the store does not answer: %s", strerror(errno));
	free(vdev);
	free(mode);
	free(type);
	free(path);
	return 0;
}

/* An image that another writes to is refused only when it is opened: the drive is empty then. */
static void empty_drive(uint32_t domid, const char *vdev)
{
	char line[96];

	snprintf(line, sizeof(line), "vdev=%.50s,devtype=cdrom", vdev);
	attach_line(domid, line);
}

/* Another medium is another device under the same name. */
static int change_medium(uint32_t domid, const char *word, const char *file)
{
	char *vdev, *kind, *line, *spec;
	const uint32_t devid = the_disk(domid, word, &vdev);
	struct device d;
	int rc;

	kind = back_read(domid, "vbd", devid, "device-type");
	if (!kind || strcmp(kind, "cdrom"))
		die("disk %s is no CD-ROM drive", vdev);
	if (asprintf(&line, "vdev=%s,access=ro,devtype=cdrom%s%s", vdev, *file ? ",target=" : "",
		     file) < 0)
		die("out of memory");
	if (disk_parse(line, &d, &spec))
		return -1;
	rc = device_remove(domid, "vbd", devid, false);
	if (!rc) {
		forget_disk(domid, vdev);
		rc = attach(domid, &d);
		if (rc)
			empty_drive(domid, vdev);
		else
			remember(domid, "vbd", spec);
	}
	device_free(&d);
	free(spec);
	free(line);
	free(kind);
	free(vdev);
	return rc;
}

int cmd_cd_insert(int argc, char **argv)
{
	struct args a = args_parse(argc, argv, 3, 3, "",
				   "cd-insert DOMAIN VDEV FILE\nPut a raw image (an .iso) into a "
				   "CD-ROM drive of a running domain.\n\n"
				   "Example: pvctl cd-insert demo xvdc debian.iso");

	return change_medium(guest_to_change(a.at[0]), a.at[1], a.at[2]) ? 1 : 0;
}

int cmd_cd_eject(int argc, char **argv)
{
	struct args a = args_parse(argc, argv, 2, 2, "",
				   "cd-eject DOMAIN VDEV\nLeave a CD-ROM drive empty.\n\n"
				   "Example: pvctl cd-eject demo xvdc");

	return change_medium(guest_to_change(a.at[0]), a.at[1], "") ? 1 : 0;
}
