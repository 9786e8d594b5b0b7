/* SPDX-License-Identifier: MIT */
/* The one place that knows the version: compiled anew when scripts/version says another. */
#include <stdio.h>
#include <string.h>

#include "hypercalls/pvdom/version.h"

bool version_asked(const char *program, int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--version"))
		return false;
	printf("%s (Pavane) " PAVANE_VERSION "\n", program);
	return true;
}
