/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers as people read them. NAN ("the document does not say") is "-" everywhere. Pure. */
#ifndef HOTRAIL_SHOW_NUMBER_H
#define HOTRAIL_SHOW_NUMBER_H

#include "show/text.h"

struct text number_count(double n);		     /* 9999, 12.3 k, 2.16 M */
struct text number_fixed(double n, unsigned digits); /* 28.00 */
struct text
number_percent(double fraction);      /* 0.9912 -> "99.1 %"; only 0 and 1 look like 0 and 100 */
struct text number_seconds(double s); /* 420 ms, 12.3 s, 4 m 12 s, 3 h 5 m, 2 d 4 h */
struct text number_micros(double us); /* 42.1 us, 1.20 ms */
struct text number_bytes(double n);   /* 4.0 KiB */
struct text number_ratio(double r);   /* 7.21 x */

#endif
