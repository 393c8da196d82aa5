// SPDX-License-Identifier: GPL-2.0-only
/* Formatting of counts, shares, times and sizes. */
#include "show/number.h"

#include <math.h>
#include <stdio.h>

#define TEXT(...)                                                                                  \
	({                                                                                         \
		struct text t_;                                                                    \
		snprintf(t_.s, sizeof(t_.s), __VA_ARGS__);                                         \
		t_;                                                                                \
	})

/*
 * For |v| < 10 000. Here and below without what <math.h> does not make of built-ins: the C
 * library's mathematics would be mapped into every monitor, 300 KiB of it resident.
 */
static bool is_whole(double v)
{
	return v == (int)v;
}

/* Three significant digits of 1 <= |v| < 1000. */
static struct text three(double v, const char *unit)
{
	double a = fabs(v);

	return TEXT("%.*f%s", a < 9.995 ? 2 : a < 99.95 ? 1 : 0, v, unit);
}

struct text number_count(double n)
{
	static const char *const unit[] = {"", " k", " M", " G", " T", " P", " E"};
	unsigned u = 0;

	if (!isfinite(n))
		return TEXT("-");
	if (fabs(n) < 9999.5)
		return fabs(n) >= 100 || is_whole(n) ? TEXT("%.0f", n) : three(n, "");
	for (; fabs(n) >= 999.5 && u + 1 < sizeof(unit) / sizeof(unit[0]); u++)
		n /= 1000;
	return fabs(n) < 1e6 ? three(n, unit[u]) : TEXT("%.2e%s", n, unit[u]);
}

struct text number_fixed(double n, unsigned digits)
{
	if (!isfinite(n))
		return TEXT("-");
	return fabs(n) < 1e7 ? TEXT("%.*f", (int)digits, n) : number_count(n);
}

struct text number_percent(double fraction)
{
	double p = fraction * 100, a = fabs(p);

	if (!isfinite(p))
		return TEXT("-");
	if (a >= 1e5)
		return TEXT("%.200s %%", number_count(p).s);
	if (p == 0 || p == 100)
		return TEXT("%.0f %%", p);
	if (a < 0.01)
		return TEXT("%s0.01 %%", p < 0 ? ">-" : "<");
	if (p < 100 && p >= 99.95)
		return p >= 99.995 ? TEXT(">99.99 %%") : TEXT("%.2f %%", p);
	return TEXT("%.*f %%", a < 0.995 ? 2 : 1, p);
}

struct text number_seconds(double s)
{
	unsigned whole;

	if (!isfinite(s) || s < 0)
		return TEXT("-");
	if (s == 0)
		return TEXT("0 s");
	if (s < 0.9995)
		return number_micros(s * 1e6);
	if (s < 59.95)
		return TEXT("%.*f s", s < 9.995 ? 2 : 1, s);
	if (s >= 1e9)
		return TEXT("%.200s s", number_count(s).s);
	whole = (unsigned)s;
	if (whole < 3600)
		return TEXT("%u m %u s", whole / 60, whole % 60);
	if (whole < 86400)
		return TEXT("%u h %u m", whole / 3600, whole / 60 % 60);
	return TEXT("%u d %u h", whole / 86400, whole / 3600 % 24);
}

struct text number_micros(double us)
{
	if (!isfinite(us))
		return TEXT("-");
	if (us == 0)
		return TEXT("0 us");
	if (fabs(us) < 0.9995)
		return three(us * 1e3, " ns");
	if (fabs(us) < 999.5)
		return three(us, " us");
	return fabs(us) < 999500 ? three(us / 1e3, " ms") : number_seconds(us / 1e6);
}

struct text number_bytes(double n)
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	unsigned u = 0;

	if (!isfinite(n) || n < 0)
		return TEXT("-");
	for (; n >= 1023.5 && u + 1 < sizeof(unit) / sizeof(unit[0]); u++)
		n /= 1024;
	if (n >= 1e6)
		return TEXT("%.2e %s", n, unit[u]);
	return TEXT("%.*f %s", u && n < 99.95 && !is_whole(n) ? 1 : 0, n, unit[u]);
}

struct text number_ratio(double r)
{
	if (!isfinite(r))
		return TEXT("-");
	return fabs(r) < 1e7 ? three(r, " x") : TEXT("%.200s x", number_count(r).s);
}
