/* SPDX-License-Identifier: MIT */
/* Port forwards: "PROTO:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT", separated by spaces. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "toolstack/backends/net/net.h"

/* Decimal, 1 to 65535, the whole word; a leading 0 might mean octal to somebody. */
static bool port(const char *s, uint16_t *out)
{
	unsigned v = 0, n;

	for (n = 0; s[n] >= '0' && s[n] <= '9' && n < 5; n++)
		v = v * 10 + s[n] - '0';
	*out = v;
	return n && !s[n] && s[0] != '0' && v < 65536;
}

/* "ADDR:PORT"; an empty address leaves *addr as it is. */
static const char *endpoint(char *s, uint32_t *addr, uint16_t *p, const char *side)
{
	static char why[64];
	char *colon = strchr(s, ':');

	snprintf(why, sizeof(why), "%s: ", side);
	if (!colon)
		return strcat(why, "no ADDRESS:PORT");
	*colon = 0;
	if (*s && inet_pton(AF_INET, s, addr) != 1)
		return strcat(why, "not an IPv4 address");
	if (!port(colon + 1, p))
		return strcat(why, "the port is not 1 to 65535");
	return NULL;
}

/* NULL, or what is wrong with it. */
static const char *parse_one(char *s, struct hostfwd *f)
{
	char *dash;
	const char *why;

	*f = (struct hostfwd){.host_addr = htonl(INADDR_LOOPBACK)};
	if (strncmp(s, "tcp:", 4) && strncmp(s, "udp:", 4))
		return "begins with neither tcp: nor udp:";
	f->udp = s[0] == 'u';
	s += 4;
	dash = strchr(s, '-');
	if (!dash)
		return "no '-' between host and guest";
	*dash = 0;
	why = endpoint(s, &f->host_addr, &f->host_port, "host");
	return why ? why : endpoint(dash + 1, &f->guest_addr, &f->guest_port, "guest");
}

int hostfwd_parse(const char *list, struct hostfwd *out, unsigned max, char *why, size_t size)
{
	unsigned n = 0;

	for (;;) {
		char word[128];
		size_t len;
		const char *problem;

		list += strspn(list, " ");
		len = strcspn(list, " ");
		if (!len)
			return n;
		if (n == max || len >= sizeof(word)) {
			snprintf(why, size, "hostfwd: %s",
				 n == max ? "too many" : "an entry is too long");
			return -1;
		}
		memcpy(word, list, len);
		word[len] = 0;
		problem = parse_one(word, out + n);
		if (problem) {
			snprintf(why, size, "hostfwd '%.*s': %s", (int)len, list, problem);
			return -1;
		}
		list += len;
		n++;
	}
}
