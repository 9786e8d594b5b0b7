/* SPDX-License-Identifier: MIT */
/*
 * lab-bench linux | kvm | pavane: prints a line "bench SIDE ROW INSTRUCTIONS EXITS" for each row;
 * tests/bench/lab/run makes tables of them.
 */
#include <stdio.h>
#include <string.h>

#include "tests/bench/lab/bench.h"

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "linux")) {
		bench_linux();
	} else if (argc == 2 && !strcmp(argv[1], "kvm")) {
		bench_kvm();
	} else if (argc == 2 && !strcmp(argv[1], "pavane")) {
		bench_exits();
		bench_inside();
	} else {
		fprintf(stderr, "usage: lab-bench linux | kvm | pavane\n");
		return 2;
	}
	return 0;
}
