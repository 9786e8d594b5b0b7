/* SPDX-License-Identifier: MIT */
/*
 * One writer per image, where QEMU is among those who use it: its Xen backend locks nothing, and
 * two of them on one qcow2 ruin its tables. The store says which devices there are. (pvblk locks
 * the image itself, against programs that are no backends as well.)
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "toolstack/pvctl/device.h"

struct use {
	uint32_t domid;
	const char *kind, *devid; /* which device: the backend's folder, and its number */
	char *path;
	bool writes;
	dev_t dev;
	ino_t inode;
};

/* False: it has no medium, or no file is there any more. */
static bool use_of(struct use *u)
{
	char *params = store_read("/local/domain/0/backend/%s/%u/%s/params", u->kind, u->domid,
				  u->devid),
	     *mode = store_read("/local/domain/0/backend/%s/%u/%s/mode", u->kind, u->domid,
				u->devid);
	const char *path = params ? params : "";
	struct stat st;
	bool found;

	if (!strcmp(u->kind, "qdisk") && strchr(path, ':'))
		path = strchr(path, ':') + 1; /* FORMAT:PATH */
	found = *path && !stat(path, &st);
	u->path = strdup(path);
	u->writes = mode && *mode == 'w';
	if (found) {
		u->dev = st.st_dev;
		u->inode = st.st_ino;
	}
	free(params);
	free(mode);
	return found && u->path;
}

static bool collide(const struct use *a, const struct use *b)
{
	const bool same = a->domid == b->domid && !strcmp(a->kind, b->kind) &&
			  !strcmp(a->devid, b->devid);
	const bool locked = strcmp(a->kind, "qdisk") && strcmp(b->kind, "qdisk");

	return !same && !locked && a->dev == b->dev && a->inode == b->inode &&
	       (a->writes || b->writes);
}

/* Does one of that domain's disks collide with it? */
static bool domain_uses(const struct use *mine, const char *kind, uint32_t domid)
{
	char path[80], **devid;
	bool found = false;
	unsigned n = 0;

	snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u", kind, domid);
	devid = xs_directory(xsh, XBT_NULL, path, &n);
	for (unsigned i = 0; i < n && !found; i++) {
		struct use u = {.domid = domid, .kind = kind, .devid = devid[i]};

		found = use_of(&u) && collide(mine, &u);
		free(u.path);
	}
	free(devid);
	return found;
}

/* The number of the domain that uses it, or -1. */
static int64_t user_of(const struct use *mine, const char *kind)
{
	char path[80], **domids;
	xc_domaininfo_t info;
	int64_t found = -1;
	unsigned n = 0;

	snprintf(path, sizeof(path), "/local/domain/0/backend/%s", kind);
	domids = xs_directory(xsh, XBT_NULL, path, &n);
	for (unsigned i = 0; i < n && found < 0; i++) {
		const uint32_t domid = strtoul(domids[i], NULL, 10);

		if (domain_alive(domid, &info) && domain_uses(mine, kind, domid))
			found = domid;
	}
	free(domids);
	return found;
}

int image_only_ours(uint32_t domid, const struct device *d)
{
	static const char *const kinds[] = {"qdisk", "vbd"};
	char number[12];
	struct use mine = {.domid = domid, .kind = d->backend, .devid = number};
	int rc = 0;

	if (strcmp(d->type, "vbd"))
		return 0;
	snprintf(number, sizeof(number), "%u", d->devid);
	if (use_of(&mine))
		for (unsigned i = 0; i < 2 && !rc; i++) {
			const int64_t other = user_of(&mine, kinds[i]);

			if (other >= 0)
				rc = complain(
					"%s: %s: in use by domain %u; an image has one writer, or "
					"only readers",
					d->name, mine.path, (unsigned)other);
		}
	free(mine.path);
	return rc;
}
