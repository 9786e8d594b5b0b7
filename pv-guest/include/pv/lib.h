/* SPDX-License-Identifier: MIT */
/* The C library this guest has: strings, printf, and the console both worlds offer. */
#ifndef PV_LIB_H
#define PV_LIB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
/* Cut `line` at its spaces, in place, into at most `max` words; returns how many. */
int split_words(char *line, char **words, int max);
char *strstr(const char *s, const char *word);
/* Always terminates, returns what would have been needed. */
size_t strlcpy(char *dst, const char *src, size_t size);
unsigned long strtoul(const char *s, char **end, int base);
/* What an error number, positive, says. */
const char *error_words(long number);

/* POSIX cksum(1): begin with 0, add, and end with the length of it all. */
uint32_t cksum_add(uint32_t crc, const void *data, size_t n);
uint32_t cksum_end(uint32_t crc, uint64_t length);

/* %d %i %u %x %c %s %p %%, with 0, -, width, .precision, l, ll and z. */
int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
int snprintf(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void panic(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/*
 * Console: the ring named by start_info, or console_io for the initial domain. Output waits for
 * room in the ring; it works from the first line of arch_main() on, with events masked as well.
 */
void console_init(void);
void console_write(const char *s, size_t n);
/* Up to n bytes that are there now; 0 if none. */
size_t console_read(char *buf, size_t n);
/* Waits until everything written was taken by the other end. */
void console_flush(void);
/* The console's event channel, 0 for the initial domain. */
unsigned int console_port(void);

#endif
