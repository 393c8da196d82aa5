/* SPDX-License-Identifier: GPL-2.0-only */
/* Sizes that C, assembly and the image header share. */
#ifndef YARD_LAYOUT_H
#define YARD_LAYOUT_H

#define YARD_VCPUS	 8
#define YARD_STACK_SIZE	 0x8000
#define YARD_HEADER_SIZE 256

/* What micro target n returns; odd and different for each. */
#define YARD_MICRO_VALUE(n) (0x10001 + 2 * (n))
/* One micro run ends in seconds whatever the control page says. */
#define YARD_MICRO_MAX (1 << 28)


/* struct flow_context, as parsers.S sees it */
#define FLOW_DIGEST 0
#define FLOW_AT	    8
#define FLOW_END    16
#define FLOW_WRONG  24
/* Indices of the program arrays */
#define FLOW_ETH  0
#define FLOW_VLAN 1
#define FLOW_IPV4 2
#define FLOW_IPV6 3
#define FLOW_TCP  4
#define FLOW_UDP  5
/* As BPF's MAX_TAIL_CALL_CNT (include/linux/bpf.h) */
#define FLOW_MAX_TAILS 33
/* What ends a packet that is not dissected to its end is folded, too. */
#define FLOW_SHORT   0x51
#define FLOW_UNKNOWN 0x52
#define FLOW_MANY    0x53
#define FLOW_FAULT   0x54
#define FLOW_FOLD    0x9e3779b97f4a7c15

#endif
