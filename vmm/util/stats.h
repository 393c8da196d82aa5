/* SPDX-License-Identifier: GPL-2.0-only */
/* Medians and spreads of small arrays. Pure. */
#ifndef HOTRAIL_UTIL_STATS_H
#define HOTRAIL_UTIL_STATS_H

#include <stddef.h>

/* All sort `v` in place. n == 0 gives 0. */
double stats_median(double *v, size_t n);
double stats_percentile(double *v, size_t n, double p); /* p in 0..1, nearest rank */
/* Half of the interquartile range over the median: 0.01 = the middle half lies within about +-1 %.
 */
double stats_spread(double *v, size_t n);

#endif
