/* SPDX-License-Identifier: MIT */
/* Making a domain: libxenguest builds it, libxenstore introduces it. */
#include "toolstack/pvctl/pvctl.h"
#include "toolstack/pvd/client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xencall.h>
#include <xenguest.h>

#include "toolstack/pvctl/device.h"
#include "toolstack/pvctl/image.h"

/* Opening a fifo would wait for a writer. */
static int check_file(const char *what, const char *path, struct stat *st)
{
	if (stat(path, st) || access(path, R_OK))
		return complain("%s %s: %s", what, path, strerror(errno));
	if (!S_ISREG(st->st_mode))
		return complain("%s %s: not a file; give a regular one", what, path);
	return 0;
}

/* What a newcomer gets wrong, told before libxenguest would in its own words. */
static int check_kernel(const char *path)
{
	unsigned char head[IMAGE_HEAD];
	const char *problem;
	struct stat st;
	int fd;
	ssize_t n;

	if (check_file("kernel", path, &st))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, head, sizeof(head));
	if (n < 0)
		complain("kernel %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -1;
	problem = image_problem(head, n, st.st_size);
	return problem ? complain("kernel %s: %s", path, problem) : 0;
}

int domain_check(const struct config *c)
{
	xc_physinfo_t phys = {0};
	unsigned long host_mib;
	struct stat st;

	if (!*c->name)
		return complain("the domain needs a name: --name NAME, or name = in the file");
	if (c->name[strspn(c->name, "0123456789")] == 0)
		return complain("name '%s': a name of digits alone would be taken for a number",
				c->name);
	for (const char *p = c->name; *p; p++)
		if (strchr("/'\"", *p) || (unsigned char)*p <= ' ' || *p == 0x7f)
			return complain(
				"the name: no blanks, quotes, slashes or control characters");
	if (!*c->kernel)
		return complain("no kernel: --kernel FILE, or kernel = in the file");
	if (strcmp(c->provider, "auto") && strcmp(c->provider, "process") &&
	    strcmp(c->provider, "translate") && strcmp(c->provider, "vtx"))
		return complain("provider = \"%s\": auto, process, translate or vtx", c->provider);
	if (c->vcpus < 1 || c->vcpus > 32)
		return complain("vcpus = %lu: from 1 to 32", c->vcpus);
	if (c->memory < 4)
		return complain("memory = %lu: at least 4 (MiB)", c->memory);
	if (xch && !xc_physinfo(xch, &phys)) {
		host_mib = phys.total_pages >> 8;
		if (c->memory > host_mib)
			return complain("memory = %lu: the host has %lu MiB", c->memory, host_mib);
	}
	if (*c->ramdisk && check_file("ramdisk", c->ramdisk, &st))
		return -1;
	return check_kernel(c->kernel);
}

void name_unnamed(struct config *c)
{
	struct domain_row *rows;
	unsigned n = domains(&rows), i = 0;

	for (unsigned k = 1; !*c->name || i < n; k++) {
		snprintf(c->name, sizeof(c->name), "guest%u", k);
		for (i = 0; i < n && strcmp(rows[i].name, c->name); i++)
			;
	}
	free(rows);
}

static int check_name(const struct config *c)
{
	struct domain_row *rows;
	unsigned n = domains(&rows);
	int rc = 0;

	for (unsigned i = 0; i < n; i++)
		if (!strcmp(rows[i].name, c->name))
			rc = complain("a domain named '%s' exists (number %u); take another name",
				      c->name, rows[i].info.domain);
	free(rows);
	return rc;
}

struct ports {
	int store, console;
	unsigned long store_mfn, console_mfn;
};

static int build_image(const struct config *c, uint32_t domid, struct ports *p)
{
	struct xc_dom_image *dom = xc_dom_allocate(xch, c->cmdline, NULL);
	const char *step;

	if (!dom)
		return complain("out of memory");
	dom->container_type = XC_DOM_PV_CONTAINER;
	dom->flags = 0;
	dom->console_evtchn = p->console;
	dom->xenstore_evtchn = p->store;
	dom->max_vcpus = c->vcpus;
#define STEP(name, call)           \
	do {                       \
		step = name;       \
		if (call)          \
			goto fail; \
	} while (0)
	STEP("read the kernel", xc_dom_kernel_file(dom, c->kernel));
	if (*c->ramdisk)
		STEP("read the ramdisk", xc_dom_module_file(dom, c->ramdisk, NULL));
	STEP("reach the broker", xc_dom_boot_xen_init(dom, xch, domid));
	STEP("find a Xen PV kernel in it (64-bit, with Xen ELF notes)", xc_dom_parse_image(dom));
	STEP("lay out its memory", xc_dom_mem_init(dom, c->memory));
	STEP("give it memory", xc_dom_boot_mem_init(dom));
	STEP("load it (is the memory large enough for the image?)", xc_dom_build_image(dom));
	STEP("start it", xc_dom_boot_image(dom));
	STEP("set up its grants", xc_dom_gnttab_init(dom));
#undef STEP
	p->console_mfn = xc_dom_p2m(dom, dom->console_pfn);
	p->store_mfn = xc_dom_p2m(dom, dom->xenstore_pfn);
	xc_dom_release(dom);
	return 0;
fail:
	complain("kernel %s: cannot %s%s%s", c->kernel, step, *last_error ? ": " : "", last_error);
	xc_dom_release(dom);
	return -1;
}

static bool put(xs_transaction_t t, uint32_t domid, const char *node, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static bool put(xs_transaction_t t, uint32_t domid, const char *node, const char *fmt, ...)
{
	/*
	 * Read by the guest, written by the toolstack: so says the first node, and those below have
	 * it from there. But these it may write itself.
	 */
	const bool own = !strcmp(node, "data") || !strcmp(node, "control/shutdown") ||
			 !strcmp(node, "control/sysrq") || !strncmp(node, "control/feature-", 16);
	struct xs_permissions perms[2] = {{own ? domid : 0, XS_PERM_NONE}, {domid, XS_PERM_READ}};
	char path[192], value[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "/local/domain/%u%s%s", domid, *node ? "/" : "", node);
	return xs_write(xsh, t, path, value, strlen(value)) &&
	       ((*node && !own) || xs_set_permissions(xsh, t, path, perms, 2));
}

/* Another pvctl may have taken the name since: asked within the transaction that takes it. */
static bool name_taken(xs_transaction_t t, uint32_t self, const char *name)
{
	unsigned n = 0, len;
	char **ids = xs_directory(xsh, t, "/local/domain", &n);
	bool taken = false;

	for (unsigned i = 0; i < n && !taken; i++) {
		char path[64], *s;
		xc_domaininfo_t info;

		snprintf(path, sizeof(path), "/local/domain/%.8s/name", ids[i]);
		s = xs_read(xsh, t, path, &len);
		taken = s && !strcmp(s, name) && strtoul(ids[i], NULL, 10) != self &&
			domain_alive(strtoul(ids[i], NULL, 10), &info);
		free(s);
	}
	free(ids);
	return taken;
}

static int introduce(const struct config *c, uint32_t domid, const uint8_t *uuid,
		     const struct ports *p)
{
	char id[40] = "", vm[64], start[32];
	xs_transaction_t t;
	bool ok;

	for (int i = 0, n = 0; i < 16; i++)
		n += sprintf(id + n, "%02x%s", uuid[i],
			     i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
	snprintf(vm, sizeof(vm), "/vm/%s", id);
	do {
		char path[128];

		t = xs_transaction_start(xsh);
		if (t != XBT_NULL && name_taken(t, domid, c->name)) {
			xs_transaction_end(xsh, t, true);
			return complain("a domain named '%s' exists; take another name", c->name);
		}
		ok = t != XBT_NULL && put(t, domid, "", "%s", "") &&
		     put(t, domid, "vm", "%s", vm) && put(t, domid, "name", "%s", c->name) &&
		     put(t, domid, "domid", "%u", domid) &&
		     put(t, domid, "memory/target", "%lu", c->memory * 1024) &&
		     put(t, domid, "memory/static-max", "%lu", c->memory * 1024) &&
		     put(t, domid, "store/port", "%d", p->store) &&
		     put(t, domid, "store/ring-ref", "%lu", p->store_mfn) &&
		     put(t, domid, "console/type", "xenconsoled") &&
		     put(t, domid, "console/output", "pty") &&
		     put(t, domid, "console/limit", "1048576") &&
		     put(t, domid, "console/port", "%d", p->console) &&
		     put(t, domid, "console/ring-ref", "%lu", p->console_mfn) &&
		     put(t, domid, "control/shutdown", "%s", "") &&
		     put(t, domid, "control/feature-poweroff", "%s", "") &&
		     put(t, domid, "control/feature-reboot", "%s", "") &&
		     put(t, domid, "control/feature-suspend", "%s", "") &&
		     put(t, domid, "control/sysrq", "%s", "") &&
		     put(t, domid, "control/platform-feature-multiprocessor-suspend", "1") &&
		     put(t, domid, "data", "%s", "");
		for (unsigned i = 0; ok && i < c->vcpus; i++) {
			snprintf(path, sizeof(path), "cpu/%u/availability", i);
			ok = put(t, domid, path, "online");
		}
		snprintf(path, sizeof(path), "%s/name", vm);
		ok = ok && xs_write(xsh, t, path, c->name, strlen(c->name));
		snprintf(path, sizeof(path), "%s/uuid", vm);
		ok = ok && xs_write(xsh, t, path, id, strlen(id));
		snprintf(path, sizeof(path), "%s/start_time", vm); /* as libxl: `xl uptime` */
		snprintf(start, sizeof(start), "%ld.00", (long)time(NULL));
		ok = ok && xs_write(xsh, t, path, start, strlen(start));
		if (!ok) {
			if (t != XBT_NULL)
				xs_transaction_end(xsh, t, true);
			break;
		}
		ok = xs_transaction_end(xsh, t, false);
	} while (!ok && errno == EAGAIN);
	if (!ok || !xs_introduce_domain(xsh, domid, p->store_mfn, p->store))
		return complain("the store does not take the domain: %s", strerror(errno));
	return 0;
}

void domain_finished(uint32_t attend)
{
	pvd_call(xencall_fd(xc_interface_xcall_handle(xch)), PVD_FINISHED, (uint64_t[6]){attend},
		 NULL, 0, -1, NULL, 0, NULL, NULL);
}

static int build(struct config *c, uint32_t *domid)
{
	struct device_list devices;
	struct xen_domctl_createdomain create = {
		.max_vcpus = c->vcpus,
		.max_evtchn_port = 1023,
		.max_grant_frames = -1,
		.max_maptrack_frames = -1,
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
	};
	const bool vtx = !strcmp(c->provider, "vtx");
	struct ports p = {0};
	char path[160];
	int rc;

	if (domain_check(c) || check_name(c))
		return -1;
	if (getrandom(create.handle, sizeof(create.handle), 0) != sizeof(create.handle))
		return complain("no random numbers for a UUID: %s", strerror(errno));
	if (devices_of(c, &devices))
		return -1;
	create.flags = vtx				   ? PVD_CDF_VTX
		       : !strcmp(c->provider, "process")   ? PVD_CDF_PROCESS
		       : !strcmp(c->provider, "translate") ? PVD_CDF_TRANSLATE
							   : 0;
	create.flags |= PVD_CDF_UNFINISHED;
	*domid = 0;
	if (xc_domain_create(xch, domid, &create)) {
		complain(
			vtx ? "no domain on VT-x: %s (is pvhost.ko loaded, and no KVM guest running?)"
			    : "the broker cannot create a domain: %s",
			strerror(errno));
		devices_free(&devices);
		return -1;
	}
	rc = xc_domain_max_vcpus(xch, *domid, c->vcpus) ||
	     xc_domain_setmaxmem(xch, *domid, c->memory * 1024 + 1024);
	p.store = rc ? -1 : xc_evtchn_alloc_unbound(xch, *domid, 0);
	p.console = rc ? -1 : xc_evtchn_alloc_unbound(xch, *domid, 0);
	if (rc || p.store < 0 || p.console < 0)
		rc = complain("the domain cannot be set up: %s", strerror(errno));
	else
		rc = build_image(c, *domid, &p);
	if (!rc)
		rc = introduce(c, *domid, create.handle, &p);
	if (!rc)
		rc = devices_add(*domid, &devices);
	devices_free(&devices);
	domain_path(path, *domid, "exit"); /* of an earlier domain of this number */
	unlink(path);
	if (!rc && !config_save(c, *domid))
		rc = complain("%s/domains: %s", rundir, strerror(errno));
	if (rc)
		domain_remove(*domid);
	domain_finished(0); /* it has a saved config, or is gone */
	return rc ? -1 : 0;
}

void signals_hold(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, old);
}

int domain_build(struct config *c, uint32_t *domid)
{
	sigset_t old;
	int rc;

	signals_hold(&old);
	rc = build(c, domid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

void domain_remove(uint32_t domid)
{
	char *vm = store_read("/local/domain/%u/vm", domid), path[160];
	static const char *const files[] = {"cfg", "cfg.new", "lock", "tty", "change"};
	xc_domaininfo_t info;

	/* whose end another has begun is there until its backends have ended */
	if (xc_domain_destroy(xch, domid) && errno == ESRCH)
		while (domain_alive(domid, &info))
			usleep(5000);
	/* not before: without its config the broker leaves a domain to whoever removes it */
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		domain_path(path, domid, files[i]);
		unlink(path);
	}
	if (!xsh)
		return;
	if (vm && *vm)
		xs_rm(xsh, XBT_NULL, vm);
	free(vm);
	devices_forget();
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	xs_rm(xsh, XBT_NULL, path);
	snprintf(path, sizeof(path), "/local/domain/0/device-model/%u", domid); /* QEMU's own */
	xs_rm(xsh, XBT_NULL, path);
	xs_release_domain(xsh, domid);
}
