// SPDX-License-Identifier: GPL-2.0-only
/* Medians and spreads. */
#include "util/stats.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double stats_percentile(double *v, size_t n, double p)
{
	size_t at;

	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), compare);
	at = (size_t)(p * n);
	return v[at < n ? at : n - 1];
}

double stats_median(double *v, size_t n)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), compare);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double stats_spread(double *v, size_t n)
{
	double median = stats_median(v, n);

	if (n < 2 || median == 0)
		return 0;
	return (stats_percentile(v, n, 0.75) - stats_percentile(v, n, 0.25)) / 2 / median;
}
