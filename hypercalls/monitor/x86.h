/* SPDX-License-Identifier: MIT */
/* The CPU's numbers (Intel SDM): no suffixes, for assembly reads them too. */
#ifndef PAVANE_X86_H
#define PAVANE_X86_H

/* Exceptions: vol. 3, table 6-1. */
#define VECTOR_DE  0
#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_BP  3
#define VECTOR_OF  4
#define VECTOR_BR  5
#define VECTOR_UD  6
#define VECTOR_NM  7
#define VECTOR_NP  11
#define VECTOR_SS  12
#define VECTOR_GP  13
#define VECTOR_PF  14
#define VECTOR_MF  16
#define VECTOR_AC  17

#define HAS_ERROR 0x27d00 /* a bit for each that pushes an error code: 8, 10-14, 17 */

/* A page fault's error code: vol. 3, 4.7. */
#define PF_PRESENT 1
#define PF_WRITE   2
#define PF_USER	   4
#define PF_FETCH   16

/* RFLAGS: vol. 1, 3.4.3. */
#define FLAG_CF	  0x000001
#define FLAG_PF	  0x000004
#define FLAG_AF	  0x000010
#define FLAG_ZF	  0x000040
#define FLAG_SF	  0x000080
#define FLAG_TF	  0x000100
#define FLAG_IF	  0x000200
#define FLAG_DF	  0x000400
#define FLAG_OF	  0x000800
#define FLAG_IOPL 0x003000
#define FLAG_NT	  0x004000
#define FLAG_RF	  0x010000
#define FLAG_VM	  0x020000
#define FLAG_AC	  0x040000
#define FLAG_ID	  0x200000

#define FLAG_ONE    0x2	     /* always set */
#define FLAGS_THERE 0x3f7fd5 /* all others that there are */
#define FLAGS_ARITH 0x8d5    /* OF SF ZF AF PF CF */

/* Control registers: vol. 3, 2.5. */
#define CR0_TS	     0x00008
#define CR0_AM	     0x40000
#define CR4_TSD	     0x00004
#define CR4_DE	     0x00008
#define CR4_FSGSBASE 0x10000
#define CR4_OSXSAVE  0x40000

#endif
