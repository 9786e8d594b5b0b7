/* SPDX-License-Identifier: MIT */
/*
 * lwIP as pv-guest wants it: without its threads and sockets (NO_SYS), for its own thread serves
 * the stack under one lock, and with packet memory from net/heap.c, which the backend sees already.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS			 1
#define SYS_LIGHTWEIGHT_PROT	 0
#define LWIP_NETCONN		 0
#define LWIP_SOCKET		 0
#define LWIP_STATS		 0
#define LWIP_NETIF_LOOPBACK	 0
#define LWIP_HAVE_LOOPIF	 0
#define LWIP_NETIF_HOSTNAME	 1
#define LWIP_NETIF_LINK_CALLBACK 0

/* ---- memory: packets from our heap, the rest from fixed pools ---- */
#define MEM_LIBC_MALLOC	     1
#define mem_clib_malloc	     net_malloc
#define mem_clib_free	     net_free
#define mem_clib_calloc	     net_calloc
#define MEM_ALIGNMENT	     8
#define PBUF_POOL_SIZE	     1 /* nobody takes packets from lwIP's own pool */
#define PBUF_POOL_BUFSIZE    128
#define MEMP_NUM_PBUF	     32
#define MEMP_NUM_TCP_PCB     32
#define MEMP_NUM_TCP_SEG     512
#define MEMP_NUM_UDP_PCB     8
#define MEMP_NUM_ARP_QUEUE   32
#define MEMP_NUM_FRAG_PBUF   32
#define IP_REASS_MAX_PBUFS   64
#define MEMP_NUM_SYS_TIMEOUT (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 4) /* one per interface */

/* ---- protocols ---- */
#define LWIP_RAW	    1 /* ping */
#define LWIP_DHCP	    1
#define DHCP_DOES_ARP_CHECK 0 /* it would cost a second at boot */
#define LWIP_DNS	    1
#define ARP_QUEUEING	    1
#define LWIP_IPV6	    0

/* ---- TCP: as much in flight as a ring holds ---- */
#define TCP_MSS		    1460
#define LWIP_WND_SCALE	    1
#define TCP_RCV_SCALE	    3
#define TCP_WND		    (256 * 1024)
#define TCP_SND_BUF	    (256 * 1024)
#define TCP_SND_QUEUELEN    480
#define TCP_SNDLOWAT	    (32 * 1024)
#define TCP_SNDQUEUELOWAT   240
#define TCP_OVERSIZE	    0
#define TCP_OOSEQ_MAX_PBUFS 128
#define TCP_QUEUE_OOSEQ	    1
/* It counts the buffers of lwIP's own pool, where ours come from the driver. */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1

/* The backend may do these; the driver says which, per interface (and per packet received). */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1

#include <stddef.h>
void *net_malloc(size_t size);
void *net_calloc(size_t n, size_t size);
void net_free(void *p);

#endif
