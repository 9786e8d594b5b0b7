/* SPDX-License-Identifier: MIT */
/*
 * Paravirtual devices: a frontend here, a backend in another domain, and two directories in
 * xenstore through which they find each other (xen/io/xenbus.h). A driver is a struct of
 * callbacks; xenbus.c watches the directories and calls them, all from its one thread.
 *
 *	backend             frontend               callback
 *	InitWait            Initialising           publish(): make rings, write where they are
 *	                    driver->published
 *	Connected           Connected              start(): read what the backend says; go
 *	Connected again                            start() again: the size changed, say
 *	Closing             Closing, Closed        stop(): nothing more goes into the rings
 *	Closed, or gone                            release(): free the rings
 *	InitWait again      Initialising           stop(), release(), then publish()
 *	the directory goes                         stop(), release(), remove()
 */
#ifndef PV_XENBUS_H
#define PV_XENBUS_H

#include <pv/arch.h>
#include <pv/xenstore.h>
#include <xen/io/xenbus.h>

#define XENBUS_PATH XENSTORE_PATH

struct xenbus_device;

struct xenbus_driver {
	const char *type;      /* "vbd": the directory device/vbd holds the devices */
	XenbusState published; /* what we are behind publish(): Initialised, or Connected */
	long (*probe)(struct xenbus_device *d); /* a new one: make d->data; 0 or -errno */
	long (*publish)(struct xenbus_device *d);
	long (*start)(struct xenbus_device *d);
	void (*stop)(struct xenbus_device *d);
	void (*release)(struct xenbus_device *d);
	void (*remove)(struct xenbus_device *d);
	/* xenbus.c's: */
	bool scanned;
	struct watch watch;
	struct xenbus_driver *next;
};

struct xenbus_device {
	struct xenbus_driver *driver;
	unsigned int id;	/* as xenstore numbers it: 51712 is xvda */
	domid_t backend_id;	/* who may map our pages and bind our ports */
	XenbusState state;	/* ours, as last written */
	char path[XENBUS_PATH]; /* our directory, relative to our domain's */
	char backend[XENBUS_PATH];
	void *data; /* the driver's */
	/* xenbus.c's: */
	bool published, started, worked, present;
	struct watch watch;
	struct xenbus_device *next;
};

/* Starts the thread. Drivers may register before or after; devices may come at any time. */
void xenbus_init(void);
void xenbus_register(struct xenbus_driver *driver);
/* Sleeps until every device that is there works or has failed, at most `patience` ns. */
void xenbus_wait(uint64_t patience);

/* ---- nodes: `name` lies in our directory or in the backend's ---- */

/* The backend's node, terminated; its length or -errno. */
long xenbus_backend_read(struct xenbus_device *d, const char *name, char *buf, size_t size);
/* A number that the backend wrote; `other` if there is none, or what is there is not a number. */
unsigned long xenbus_backend_number(struct xenbus_device *d, const char *name, unsigned long other);
long xenbus_write(struct xenbus_device *d, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
long xenbus_write_number(struct xenbus_device *d, const char *name, unsigned long value);

/* ---- shared memory and a port ---- */

#define SHARED_MAX_PAGES 16

/* Pages of ours at adjoining addresses, granted to the backend for reading and writing. */
struct shared {
	void *va;
	unsigned int pages;
	void *page[SHARED_MAX_PAGES]; /* each where the direct map shows it */
	grant_ref_t ref[SHARED_MAX_PAGES];
};

/* Zeroed pages; at most as many as the first time, when the same struct is used again. */
long shared_create(struct shared *s, domid_t backend, unsigned int pages);
/* A page that the other end still maps stays granted, and is lost: never reuse what others see. */
void shared_destroy(struct shared *s);
/* A port that the device's backend may bind, or -errno; event_close() frees it. */
long xenbus_alloc_port(struct xenbus_device *d);

#endif
