/* SPDX-License-Identifier: MIT */
/*
 * The file that xenstored reads in place of starting from nothing (its live-update entry, -U):
 * which descriptors to serve, and the nodes every Xen host has. Layout: Xen's
 * docs/designs/xenstore-migration, version 1.
 */
#include <string.h>

#include "toolstack/pvd/pvd.h"

enum { REC_END = 0, REC_GLOBAL = 1, REC_CONN = 2, REC_NODE = 5 };

struct dump {
	uint8_t *buf;
	size_t size, len;
};

static void put(struct dump *d, const void *p, size_t n)
{
	if (n <= d->size - d->len)
		memcpy(d->buf + d->len, p, n);
	d->len = n <= d->size - d->len ? d->len + n : d->size;
}

static void record(struct dump *d, uint32_t type, uint32_t len)
{
	uint32_t h[2] = {type, (len + 7) & ~7U}; /* the padding counts */

	put(d, h, sizeof(h));
}

static void pad(struct dump *d)
{
	static const uint8_t zero[8];

	put(d, zero, -d->len & 7);
}

static void node(struct dump *d, const char *path, const char *value)
{
	struct {
		uint32_t conn, transaction;
		uint16_t path_len, value_len, access, nr_perms;
		struct {
			uint8_t access, flags;
			uint16_t domid;
		} perm;
	} n = {.path_len = strlen(path) + 1,
	       .value_len = strlen(value),
	       .nr_perms = 1,
	       .perm = {'n', 0, 0}};

	record(d, REC_NODE, sizeof(n) + n.path_len + n.value_len);
	put(d, &n, sizeof(n));
	put(d, path, n.path_len);
	put(d, value, n.value_len);
	pad(d);
}

size_t store_dump(uint8_t *buf, size_t size, int sock, int evtchn)
{
	static const char *const nodes[][2] = {
		{"@releaseDomain", ""},
		{"@introduceDomain", ""},
		{"/tool", ""},
		{"/tool/xenstored", ""},
		{"/local", ""},
		{"/local/domain", ""},
		{"/local/domain/0", ""},
		{"/local/domain/0/domid", "0"},
		{"/local/domain/0/name", "Domain-0"},
		{"/local/pool", ""},
		{"/local/pool/0", ""},
		{"/local/pool/0/name", "Pool-0"},
		{"/vm", ""},
		{"/libxl", ""},
	};
	/* dom0's ring cannot be mapped: xenstored keeps this connection but ignores it */
	const struct {
		uint32_t id;
		uint16_t type, pad;
		uint16_t domid, target;
		uint32_t evtchn;
		uint16_t in_len, rsp_len;
		uint32_t out_len;
	} conn = {.id = 1, .target = DOMID_INVALID};
	const int32_t fds[2] = {sock, evtchn};
	struct dump d = {buf, size, 0};

	put(&d, "xenstore\0\0\0\1\0\0\0", 16); /* version 1 big endian, then flags: little endian */
	record(&d, REC_GLOBAL, sizeof(fds));
	put(&d, fds, sizeof(fds));
	record(&d, REC_CONN, sizeof(conn));
	put(&d, &conn, sizeof(conn));
	pad(&d);
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		node(&d, nodes[i][0], nodes[i][1]);
	record(&d, REC_END, 0);
	return d.len;
}
