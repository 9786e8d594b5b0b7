/* SPDX-License-Identifier: MIT */
/* What the four libraries share besides conn.c. */
#ifndef PAVANE_XENLIB_H
#define PAVANE_XENLIB_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <xen/xen.h>

#include "toolstack/pvd/client.h"

#define PAGE_SIZE 4096UL

/*
 * libxentoolcore's list of open handles, for xentoolcore_restrict_all. libxen-dev ships no header
 * for it; this is its binary interface.
 */
struct toolcore_handle {
	int (*restrict_handle)(struct toolcore_handle *h, domid_t domid);
	struct {
		void *next, *prev;
	} entry;
};
void xentoolcore__register_active_handle(struct toolcore_handle *h);
void xentoolcore__deregister_active_handle(struct toolcore_handle *h);

/* The libraries' convention: -1 and errno. */
static inline long lib_ret(long rc)
{
	if (rc >= 0)
		return rc;
	errno = -rc;
	return -1;
}

/* A handle's way to the broker, and its place in that list. */
struct lib_conn {
	struct toolcore_handle toolcore; /* first */
	int sock;
};

/* This connection serves domid only from now on. */
static inline int lib_restrict(int sock, domid_t domid)
{
	return lib_ret(pvd_call(sock, PVD_RESTRICT, (uint64_t[6]){domid}, NULL, 0, -1, NULL, 0,
				NULL, NULL));
}

static inline int lib_conn_restrict(struct toolcore_handle *t, domid_t domid)
{
	return lib_restrict(((struct lib_conn *)t)->sock, domid);
}

/* 0, or -1 and errno. In the list before it is open: xentoolcore_restrict_all misses none. */
static inline int lib_conn_open(struct lib_conn *c)
{
	c->toolcore.restrict_handle = lib_conn_restrict;
	xentoolcore__register_active_handle(&c->toolcore);
	c->sock = pvd_connect();
	if (c->sock >= 0)
		return 0;
	xentoolcore__deregister_active_handle(&c->toolcore);
	return -1;
}

static inline void lib_conn_close(struct lib_conn *c)
{
	xentoolcore__deregister_active_handle(&c->toolcore);
	close(c->sock);
}

#endif
