// SPDX-License-Identifier: GPL-2.0-only
/* Forgiving access to result documents. */
#include "show/doc.h"

#include <math.h>
#include <string.h>

const json_t *doc_get(const json_t *doc, const char *path)
{
	char key[64];

	while (doc && *path) {
		size_t n = strcspn(path, ".");

		if (n >= sizeof(key))
			return NULL;
		memcpy(key, path, n);
		key[n] = 0;
		doc = json_object_get(doc, key);
		path += n + (path[n] == '.');
	}
	return json_is_null(doc) ? NULL : doc;
}

double doc_number(const json_t *doc, const char *path)
{
	const json_t *v = doc_get(doc, path);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

double doc_amount(const json_t *doc, const char *path)
{
	double v = doc_number(doc, path);

	return v > 0 ? v : 0;
}

const char *doc_string(const json_t *doc, const char *path)
{
	return json_string_value(doc_get(doc, path));
}

bool doc_true(const json_t *doc, const char *path)
{
	return json_is_true(doc_get(doc, path));
}

size_t doc_length(const json_t *doc, const char *path)
{
	return json_array_size(doc_get(doc, path));
}

const json_t *doc_item(const json_t *doc, const char *path, size_t i)
{
	return json_array_get(doc_get(doc, path), i);
}
