/* SPDX-License-Identifier: MIT */
/*
 * A domain's virtual devices. A line of the config (disk, vif, vfb, p9) becomes a struct device:
 * what the store holds of it on both sides, and which process serves it. wire.c puts it there.
 */
#ifndef PAVANE_PVCTL_DEVICE_H
#define PAVANE_PVCTL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "toolstack/pvctl/pvctl.h"

#define MAX_NODES 24
#define XVD_MAJOR 202

struct nodes {
	struct {
		const char *key;
		char *value;
	} at[MAX_NODES];
	unsigned n;
};

struct device {
	const char *type;	  /* the frontend's folder: vbd, vif, vfb, vkbd, 9pfs */
	const char *backend;	  /* the backend's folder: vbd, qdisk, vif, ... */
	uint32_t devid;		  /* the number of both */
	int program;		  /* enum pvd_backend: the process that serves it */
	char name[64];		  /* as a person calls it: "disk xvda" */
	struct nodes front, back; /* beyond those that every device has */
};

/* device.c */
void node(struct nodes *to, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const char *node_value(const struct nodes *in, const char *key); /* NULL: it has none */
void device_free(struct device *d);

struct device_list {
	struct device *at;
	unsigned n;
};

/*
 * The devices of a config, checked; its lines become what they were taken for (full paths, a MAC
 * of their own), so that the saved config makes the same devices again. A line and -1.
 */
int devices_of(struct config *c, struct device_list *out);
void devices_free(struct device_list *l);
void devices_print(const struct config *c, const struct device_list *l); /* JSON */

/* disk.c, vif.c, vfb.c: one line of the config. `spec` gets what it was taken for. -1 and a line.
 */
int disk_parse(const char *line, struct device *d, char **spec);
int vif_parse(const char *line, unsigned index, struct device *d, char **spec);
int vfb_parse(const char *line, unsigned index, struct device d[2], char **spec); /* and vkbd */
int p9_parse(const char *line, unsigned index, struct device *d, char **spec);

/* keys.c: key=value,... as in vif, vfb and p9. */
struct key {
	const char *name, *value; /* value NULL: not given */
	bool many; /* may be given again: the values, with blanks between them; one such per table
		    */
};

/* Fill `keys` (ends with a NULL name) from the line, cut up in *text, to be freed. -1 and a line.
 */
int keys_parse(const char *what, const char *line, struct key *keys, char **text);
const char *key_value(const struct key *keys, const char *name);
/* 0, 1, yes, no, true, false; `unset` where the key was not given. -1 and a line. */
int key_bool(const char *what, const struct key *keys, const char *name, bool unset);

/* vdev.c: names of virtual disks, xen-vbd-interface(7). */
bool vdev_number(const char *name, uint32_t *devid);

/* image_format.c: what a disk image is by its first bytes; NULL: nothing known, so raw. */
#define DISK_HEAD 128
const char *disk_format(const unsigned char *head, unsigned long n);

/* image_use.c: of a disk that is in the store. -1 and a line if that image has another user. */
int image_only_ours(uint32_t domid, const struct device *d);

/* wire.c */
/* Put it into the store and start its backend, or a line and -1. */
int device_add(uint32_t domid, const struct device *d);
/* Until its backend is ready for the frontend. A line and -1. */
int device_wait(uint32_t domid, const struct device *d);
/* All of a new domain's. */
int devices_add(uint32_t domid, const struct device_list *l);
/* Ask for an orderly end, and remove it; `force`: remove it whatever the guest does. */
int device_remove(uint32_t domid, const char *type, uint32_t devid, bool force);
/* The backends' nodes of all domains that are no more. */
void devices_forget(void);
bool device_exists(uint32_t domid, const char *type, uint32_t devid);
/* A node of a device that is in the store, front or back; malloc or NULL. */
char *front_read(uint32_t domid, const char *type, uint32_t devid, const char *key);
char *back_read(uint32_t domid, const char *type, uint32_t devid, const char *key);
bool back_write(uint32_t domid, const char *type, uint32_t devid, const char *key,
		const char *value);
/* The numbers of a domain's devices of a type, ascending; the caller frees. */
unsigned device_numbers(uint32_t domid, const char *type, uint32_t **devid);

#endif
