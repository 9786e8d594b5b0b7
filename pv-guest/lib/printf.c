/* SPDX-License-Identifier: MIT */
/* printf: one pass, no floating point, no allocation. */
#include <pv/lib.h>

struct out {
	char *buf;
	size_t size, len;
};

struct spec {
	bool left, zero;
	int width, precision;
	int longs;
};

static void put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void pad(struct out *o, char c, int n)
{
	while (n-- > 0)
		put(o, c);
}

static void put_string(struct out *o, const struct spec *sp, const char *s)
{
	int n;

	if (!s)
		s = "(null)";
	n = (int)strnlen(s, sp->precision >= 0 ? (size_t)sp->precision : SIZE_MAX);
	if (!sp->left)
		pad(o, ' ', sp->width - n);
	for (int i = 0; i < n; i++)
		put(o, s[i]);
	if (sp->left)
		pad(o, ' ', sp->width - n);
}

static void put_number(struct out *o, const struct spec *sp, unsigned long v, unsigned int base,
		       const char *prefix)
{
	char digits[24];
	int n = 0, plen = (int)strlen(prefix), zeros;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	zeros = sp->precision > n ? sp->precision - n : 0;
	if (sp->zero && !sp->left && sp->precision < 0 && sp->width > n + plen)
		zeros = sp->width - n - plen;
	if (!sp->left)
		pad(o, ' ', sp->width - n - zeros - plen);
	while (*prefix)
		put(o, *prefix++);
	pad(o, '0', zeros);
	for (int i = n; i > 0; i--)
		put(o, digits[i - 1]);
	if (sp->left)
		pad(o, ' ', sp->width - n - zeros - plen);
}

static const char *parse_spec(const char *f, struct spec *sp, va_list *ap)
{
	*sp = (struct spec){.precision = -1};
	for (;; f++) {
		if (*f == '-')
			sp->left = true;
		else if (*f == '0')
			sp->zero = true;
		else
			break;
	}
	if (*f == '*') {
		sp->width = va_arg(*ap, int);
		f++;
	}
	for (; *f >= '0' && *f <= '9'; f++)
		sp->width = sp->width * 10 + *f - '0';
	if (*f == '.') {
		sp->precision = 0;
		f++;
		if (*f == '*') {
			sp->precision = va_arg(*ap, int);
			f++;
		}
		for (; *f >= '0' && *f <= '9'; f++)
			sp->precision = sp->precision * 10 + *f - '0';
	}
	for (; *f == 'l' || *f == 'z'; f++)
		sp->longs++;
	return f;
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	struct out o = {.buf = buf, .size = size};
	va_list ap;

	va_copy(ap, args);
	for (const char *f = fmt; *f; f++) {
		char one[2] = {0, 0};
		struct spec sp;
		long v;

		if (*f != '%') {
			put(&o, *f);
			continue;
		}
		f = parse_spec(f + 1, &sp, &ap);
		switch (*f) {
		case 'd':
		case 'i':
			v = sp.longs ? va_arg(ap, long) : va_arg(ap, int);
			put_number(&o, &sp, v < 0 ? -(unsigned long)v : (unsigned long)v, 10,
				   v < 0 ? "-" : "");
			break;
		case 'u':
		case 'x':
			put_number(&o, &sp,
				   sp.longs ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int),
				   *f == 'x' ? 16 : 10, "");
			break;
		case 'p': put_number(&o, &sp, (unsigned long)va_arg(ap, void *), 16, "0x"); break;
		case 'c':
			one[0] = (char)va_arg(ap, int);
			put_string(&o, &sp, one);
			break;
		case 's': put_string(&o, &sp, va_arg(ap, const char *)); break;
		case 0: f--; break;
		default: put(&o, *f);
		}
	}
	va_end(ap);
	if (size)
		buf[o.len < size ? o.len : size - 1] = 0;
	return (int)o.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

int printf(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	console_write(line, strlen(line));
	return n;
}
