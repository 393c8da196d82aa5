// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer entry: control requests as a server gets them, and answers as a client
 * does. Whatever comes in, what goes out must be one line of valid JSON.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "control/message.h"
#include "control/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void check_out(json_t *message)
{
	json_t *back;
	char *line;
	size_t len;

	check(message != NULL);
	line = control_line(message, &len);
	check(line && len > 2 && line[len - 1] == '\n' && !memchr(line, '\n', len - 1));
	back = json_loadb(line, len, 0, NULL);
	check(back && json_equal(back, message));
	json_decref(back);
	free(line);
	json_decref(message);
}

static void serve(const char *line, size_t len)
{
	struct control_request r;
	struct error err;

	err.text[0] = '\0';
	if (control_request_parse(line, len, &r, &err)) {
		check(err.text[0] && err.exit_code != HOTRAIL_EXIT_OK);
		check_out(control_refusal(&err, false, r.id));
	} else {
		check(json_is_object(r.arguments) && strlen(r.command) <= CONTROL_MAX_NAME);
		check_out(control_return(json_incref(r.arguments), r.id));
	}
	control_request_clear(&r);
}

static void receive(const char *line, size_t len)
{
	json_t *message = json_loadb(line, len, JSON_DECODE_ANY, NULL), *ret = NULL;
	struct error err;
	int r;

	if (!message)
		return;
	r = control_answer_parse(message, 1, &ret, &err);
	check(r <= 0 && !r == !!ret);
	json_decref(ret);
	json_decref(message);
}

/* The same bytes in pieces must give the same lines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_buffer b = {0};
	size_t at, piece, len;
	char *line;

	for (at = 0; at < size; at += piece) {
		piece = 1 + data[at] % 61;
		piece = piece < size - at ? piece : size - at;
		if (wire_append(&b, (const char *)data + at, piece, CONTROL_MAX_LINE))
			break;
		while ((line = wire_take_line(&b, &len))) {
			serve(line, len);
			receive(line, len);
		}
	}
	wire_free(&b);
	serve((const char *)data, size);
	return 0;
}
