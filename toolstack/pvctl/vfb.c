/* SPDX-License-Identifier: MIT */
/*
 * Lines of vfb = [...] and p9 = [...], xl.cfg(5): a frame buffer with keyboard and mouse, which
 * QEMU shows by VNC, and folders of the host, which QEMU serves by 9P.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/pvctl/device.h"
#include "toolstack/pvd/client.h"

#define MAX_TAG 31 /* xen/io/9pfs.h does not say; Linux takes so many */

/* vnclisten=ADDRESS[:DISPLAY], vncdisplay=DISPLAY. -1 and a line. */
static int listen_at(const struct key *keys, char *address, size_t size, unsigned long *display)
{
	const char *at = key_value(keys, "vnclisten"), *number = key_value(keys, "vncdisplay");
	char *colon, *end;

	if (at && strlen(at) >= size)
		return complain("vfb: vnclisten=%s is too long", at);
	strcpy(address, at && *at ? at : "127.0.0.1");
	colon = strrchr(address, ':');
	if (colon && number)
		return complain("vfb: a display number in vnclisten=, or vncdisplay=; not both");
	if (colon) {
		*colon = 0;
		number = colon + 1;
	}
	if (strpbrk(address, " ,:/"))
		return complain("vfb: vnclisten=%s: give an IP address, such as 127.0.0.1", at);
	if (!number)
		return 0;
	*display = strtoul(number, &end, 10);
	if (!isdigit((unsigned char)*number) || *end || *display > 65535 - 5900)
		return complain("vfb: VNC display %s: a number from 0; its TCP port is 5900 more",
				number);
	return 0;
}

static void input_device(struct device *d, unsigned index)
{
	memset(d, 0, sizeof(*d));
	d->type = d->backend = "vkbd";
	d->devid = index;
	d->program = PVD_BACKEND_QEMU;
	snprintf(d->name, sizeof(d->name), "vkbd %u", index);
}

static int understand_vfb(const struct key *keys, unsigned index, struct device d[2])
{
	const char *password = key_value(keys, "vncpasswd"), *keymap = key_value(keys, "keymap");
	const int vnc = key_bool("vfb", keys, "vnc", true),
		  sdl = key_bool("vfb", keys, "sdl", false),
		  search = key_bool("vfb", keys, "vncunused", !key_value(keys, "vncdisplay"));
	unsigned long display = 0;
	char address[64];

	if (vnc < 0 || sdl < 0 || search < 0 || listen_at(keys, address, sizeof(address), &display))
		return -1;
	if (index)
		return complain("vfb: one frame buffer per guest");
	if (sdl || !vnc)
		return complain("vfb: VNC is the only display here: leave sdl= and vnc= out");
	if (password && *password)
		return complain(
			"vfb: vncpasswd=: Debian's QEMU for Xen is built without passwords; let "
			"it listen on 127.0.0.1 and come by ssh -L");
	for (const char *p = keymap; p && *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '-')
			return complain("vfb: keymap=%s: a name such as en-us", keymap);
	d->type = d->backend = "vfb";
	d->devid = index;
	d->program = PVD_BACKEND_QEMU;
	snprintf(d->name, sizeof(d->name), "vfb %u", index);
	node(&d->back, "vnc", "1");
	node(&d->back, "vnclisten", "%s", address);
	node(&d->back, "vncdisplay", "%lu", display);
	node(&d->back, "vncunused", "%d", search);
	node(&d->back, "sdl", "0");
	node(&d->back, "opengl", "0");
	node(&d->back, "feature-resize", "1");
	if (keymap && *keymap)
		node(&d->back, "keymap", "%s", keymap);
	input_device(&d[1], index);
	return 0;
}

int vfb_parse(const char *line, unsigned index, struct device d[2], char **spec)
{
	struct key keys[] = {{.name = "vnc"},
			     {.name = "vnclisten"},
			     {.name = "vncdisplay"},
			     {.name = "vncunused"},
			     {.name = "vncpasswd"},
			     {.name = "keymap"},
			     {.name = "sdl"},
			     {.name = "opengl"},
			     {.name = "display"},
			     {.name = "xauthority"},
			     {0}};
	char *text;
	int rc;

	memset(d, 0, 2 * sizeof(*d));
	rc = keys_parse("vfb", line, keys, &text);
	if (!rc)
		rc = understand_vfb(keys, index, d);
	free(text);
	if (rc) {
		device_free(&d[0]);
		return -1;
	}
	*spec = strdup(line);
	return *spec ? 0 : complain("out of memory");
}

static int understand_p9(const struct key *keys, unsigned index, struct device *d, char **spec)
{
	const char *tag = key_value(keys, "tag"), *path = key_value(keys, "path"),
		   *model = key_value(keys, "security_model"),
		   *backend = key_value(keys, "backend");
	char full[PATH_MAX];
	struct stat st;

	if (!tag || !*tag || strlen(tag) > MAX_TAG || strpbrk(tag, " /"))
		return complain("p9: tag=NAME is what the guest mounts: 1 to %d characters",
				MAX_TAG);
	if (!path || !*path)
		return complain("p9: path=FOLDER is what is shared");
	if (model && strcmp(model, "none"))
		return complain("p9: security_model=%s: only none is there", model);
	if (backend && strcmp(backend, "0") && strcmp(backend, "Domain-0"))
		return complain("p9: backend=%s: backends run in domain 0 only", backend);
	if (!realpath(path, full) || stat(full, &st) || access(full, R_OK | X_OK))
		return complain("p9: path=%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return complain("p9: path=%s is no folder", path);
	d->type = d->backend = "9pfs";
	d->devid = index;
	d->program = PVD_BACKEND_QEMU;
	snprintf(d->name, sizeof(d->name), "p9 %.40s", tag);
	node(&d->back, "path", "%s", full);
	node(&d->back, "security_model", "none");
	node(&d->front, "tag", "%s", tag);
	if (asprintf(spec, "tag=%s,security_model=none,path=%s", tag, full) < 0)
		return complain("out of memory");
	return 0;
}

int p9_parse(const char *line, unsigned index, struct device *d, char **spec)
{
	struct key keys[] = {{.name = "tag"},
			     {.name = "path"},
			     {.name = "security_model"},
			     {.name = "backend"},
			     {0}};
	char *text;
	int rc;

	memset(d, 0, sizeof(*d));
	rc = keys_parse("p9", line, keys, &text);
	if (!rc)
		rc = understand_p9(keys, index, d, spec);
	free(text);
	if (rc)
		device_free(d);
	return rc;
}
