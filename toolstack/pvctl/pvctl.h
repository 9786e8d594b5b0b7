/* SPDX-License-Identifier: MIT */
/* pvctl: one file per subject; the commands' common ground. */
#ifndef PAVANE_PVCTL_H
#define PAVANE_PVCTL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <xenctrl.h>
#include <xenstore.h>

struct text_list {
	char **at;
	unsigned n;
};

/* What the toolstack knows of a domain it was asked to make. Strings are never NULL. */
struct config {
	char name[64], kernel[512], ramdisk[512], cmdline[1024];
	unsigned long memory; /* MiB */
	unsigned long vcpus;
	char on_poweroff[16], on_reboot[16], on_crash[16]; /* destroy, restart, preserve */
	char provider[16];				   /* auto, process, vtx */
	struct text_list disk, vif, vfb, p9;		   /* one text per device */
};

struct domain_row {
	xc_domaininfo_t info;
	char name[64];
};

/* util.c */
extern xc_interface *xch;     /* NULL until connect_broker() */
extern struct xs_handle *xsh; /* NULL when the store does not answer */
extern char rundir[96];
extern char last_error[256]; /* libxenctrl's and libxenguest's own last words */
/* One line on stderr; -1. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and exit status 1. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Start pvd if need be; open xch and, when `store`, xsh. Dies with a line if it cannot. */
void connect_broker(bool store);
void runtime_dir(void);		       /* sets rundir and the environment children need */
char *own_dir(char *buf, size_t size); /* the folder of this program */
/* Number or name to domid; dies when there is none. */
uint32_t find_domain(const char *who);
/* All domains, domain 0 first; the caller frees. */
unsigned domains(struct domain_row **rows);
bool domain_alive(uint32_t domid, xc_domaininfo_t *info);		      /* false: gone */
char *store_read(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* malloc or NULL */
void json_string(const char *s);
void domain_path(char buf[160], uint32_t domid, const char *suffix); /* RUNDIR/domains/ID.suffix */

/* config.c */
void config_default(struct config *c);
void config_free(struct config *c);
void list_add(struct text_list *l, const char *text);
void list_remove(struct text_list *l, unsigned i);
void config_read(struct config *c, const char *path); /* xl.cfg syntax; dies with a line */
bool config_save(const struct config *c, uint32_t domid);
bool config_load(struct config *c, uint32_t domid);
/* What the config says for an end with this SHUTDOWN_ reason. */
bool config_action(uint32_t domid, unsigned reason, char action[16]);

/*
 * build.c: a paused domain from a config, or a line and -1 with nothing left behind. The config's
 * devices become what they were taken for.
 */
int domain_build(struct config *c, uint32_t *domid);
void name_unnamed(struct config *c);	  /* guest1, or the first number that is not taken */
int domain_check(const struct config *c); /* what can be said before it is built; a line and -1 */
/*
 * The broker need not remove what has been built if this process dies. `attend`: a domain at whose
 * end this process does what its config says, as long as it lives; 0: the broker has it done.
 */
void domain_finished(uint32_t attend);
void domain_remove(uint32_t domid); /* destroy, and take its nodes out of the store */
/* A signal that ends pvctl waits, until the mask is `old` again: the domain is whole, or gone. */
void signals_hold(sigset_t *old);

/*
 * console.c: until the domain ends or ^]. The exit status of pvctl. One process has the console;
 * others read along.
 *
 * `created`: the domain is this pvctl's own. Then the status is 0 only if the guest ended by itself
 * and well, and a domain whose console cannot be had is removed.
 */
int console_attach(uint32_t domid, bool unpause, bool created);
int console_read_only(uint32_t domid);
int console_print_log(const char *who); /* console_log.c; of a domain that is gone, too */
int domain_wait(uint32_t domid, bool unpause);

/* the commands: argv[0] is the command's name */
int cmd_create(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_vcpu_list(int argc, char **argv);
int cmd_dmesg(int argc, char **argv);
int cmd_domid(int argc, char **argv);
int cmd_domname(int argc, char **argv);
int cmd_uptime(int argc, char **argv);
int cmd_shutdown(int argc, char **argv);
int cmd_reboot(int argc, char **argv);
int cmd_destroy(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_unpause(int argc, char **argv);
int cmd_reap(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_scan(int argc, char **argv);
int cmd_gdb(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_block_attach(int argc, char **argv);
int cmd_block_detach(int argc, char **argv);
int cmd_block_list(int argc, char **argv);
int cmd_block_resize(int argc, char **argv);
int cmd_cd_insert(int argc, char **argv);
int cmd_cd_eject(int argc, char **argv);
int cmd_network_attach(int argc, char **argv);
int cmd_network_detach(int argc, char **argv);
int cmd_network_list(int argc, char **argv);

#endif
