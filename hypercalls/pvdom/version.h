/* SPDX-License-Identifier: MIT */
/* version.c: `--version` of every program. */
#ifndef PAVANE_VERSION_H
#define PAVANE_VERSION_H

#include <stdbool.h>

/* Is --version the first argument? Then the program's name and scripts/version's words are out. */
bool version_asked(const char *program, int argc, char **argv);

#endif
