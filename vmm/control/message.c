// SPDX-License-Identifier: GPL-2.0-only
/* The envelope of the control socket as bytes <-> JSON. */
#include "control/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	enum hotrail_exit exit_code;
	const char *name;
	int ret;
} classes[] = {
	{HOTRAIL_EXIT_FAILED, "Failed", -EIO},
	{HOTRAIL_EXIT_USAGE, "Usage", -EINVAL},
	{HOTRAIL_EXIT_BUSY, "Busy", -EBUSY},
	{HOTRAIL_EXIT_UNSUPPORTED, "NotSupported", -ENOTSUP},
	{HOTRAIL_EXIT_REFUSED, "Refused", -EPERM},
	{HOTRAIL_EXIT_ROLLED_BACK, "RolledBack", -ECANCELED},
	{HOTRAIL_EXIT_PERMISSION, "PermissionDenied", -EACCES},
};
#define CLASSES (sizeof(classes) / sizeof(classes[0]))

/* Index of the class with that exit code; anything else is a plain failure. */
static size_t class_of(json_int_t exit_code)
{
	size_t i;

	for (i = 0; i < CLASSES; i++)
		if ((json_int_t)classes[i].exit_code == exit_code)
			return i;
	return 0;
}

/* jansson recurses, once a level: bound it by looking at the brackets outside strings. */
static bool too_deep(const char *line, size_t len)
{
	bool quoted = false;
	unsigned depth = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (quoted) {
			if (line[i] == '\\')
				i++;
			else if (line[i] == '"')
				quoted = false;
		} else if (line[i] == '"') {
			quoted = true;
		} else if (line[i] == '{' || line[i] == '[') {
			if (++depth > CONTROL_MAX_DEPTH)
				return true;
		} else if ((line[i] == '}' || line[i] == ']') && depth) {
			depth--;
		}
	}
	return false;
}

static int check_members(json_t *message, struct error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(
		message, key,
		value) if (strcmp(key, "execute") && strcmp(key, "arguments") &&
			   strcmp(key, "id")) return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
							       "request: unknown member \"%.40s\"",
							       key);
	return 0;
}

static int take_message(json_t *message, struct control_request *out, struct error *err)
{
	json_t *execute, *arguments;
	int ret;

	if (!json_is_object(message))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "request: not a JSON object");
	out->id = json_incref(json_object_get(message, "id"));
	ret = check_members(message, err);
	if (ret)
		return ret;
	execute = json_object_get(message, "execute");
	if (!json_is_string(execute))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "request: \"execute\" must name a command");
	if (json_string_length(execute) > CONTROL_MAX_NAME ||
	    strlen(json_string_value(execute)) != json_string_length(execute))
		return error_set(
			err, HOTRAIL_EXIT_USAGE, -EINVAL,
			"request: the command's name is longer than %d bytes or has a zero in it",
			CONTROL_MAX_NAME);
	arguments = json_object_get(message, "arguments");
	if (arguments && !json_is_object(arguments))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "request: \"arguments\" must be an object");
	out->arguments = arguments ? json_incref(arguments) : json_object();
	if (!out->arguments)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "request: no memory");
	strcpy(out->command, json_string_value(execute));
	return 0;
}

int control_request_parse(const char *line, size_t len, struct control_request *out,
			  struct error *err)
{
	json_error_t why;
	json_t *message;
	int ret;

	memset(out, 0, sizeof(*out));
	if (too_deep(line, len))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "request: nested deeper than %d levels", CONTROL_MAX_DEPTH);
	message = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!message)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "request: not JSON: %.160s",
				 why.text);
	ret = take_message(message, out, err);
	json_decref(message);
	return ret;
}

void control_request_clear(struct control_request *r)
{
	json_decref(r->arguments);
	json_decref(r->id);
	memset(r, 0, sizeof(*r));
}

json_t *control_greeting(void)
{
	return json_pack("{s:{s:s, s:i}}", "hotrail", "version", HOTRAIL_VERSION, "schema",
			 JSON_SCHEMA);
}

/* QMP: the id is echoed when there was one, and left out when not. */
static json_t *with_id(json_t *message, json_t *id)
{
	if (message && id && json_object_set(message, "id", id)) {
		json_decref(message);
		return NULL;
	}
	return message;
}

json_t *control_return(json_t *ret, json_t *id)
{
	return with_id(json_pack("{s:o}", "return", ret ? ret : json_object()), id);
}

json_t *control_refusal(const struct error *err, bool unknown_command, json_t *id)
{
	size_t i = class_of(err->exit_code);
	const char *name = unknown_command ? "CommandNotFound" : classes[i].name;

	return with_id(json_pack("{s:{s:s, s:o, s:i}}", "error", "class", name, "desc",
				 json_text(err->text), "exit", (int)classes[i].exit_code),
		       id);
}

json_t *control_event(const char *name, json_t *data)
{
	return json_pack("{s:s, s:o}", "event", name, "data", data ? data : json_object());
}

json_t *control_request(const char *command, json_t *arguments, uint64_t id)
{
	return json_pack("{s:s, s:o, s:I}", "execute", command, "arguments",
			 arguments ? arguments : json_object(), "id", (json_int_t)id);
}

int control_answer_parse(const json_t *message, uint64_t id, json_t **ret, struct error *err)
{
	json_t *error = json_object_get(message, "error"),
	       *value = json_object_get(message, "return");
	const char *desc = json_string_value(json_object_get(error, "desc"));
	json_t *answer_id = json_object_get(message, "id");
	size_t i;

	if (!json_is_object(message))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EPROTO,
				 "monitor: answer is not an object");
	if (json_object_get(message, "event"))
		return -EAGAIN;
	/* A refusal without id is about the connection (too many clients, say): it is for us. */
	if (json_integer_value(answer_id) != (json_int_t)id && !(error && !answer_id))
		return -EAGAIN;
	if (value) {
		*ret = json_incref(value);
		return 0;
	}
	if (!desc)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EPROTO,
				 "monitor: answer has neither \"return\" nor \"error\"");
	i = class_of(json_integer_value(json_object_get(error, "exit")));
	return error_set(err, classes[i].exit_code, classes[i].ret, "%s", desc);
}

char *control_line(const json_t *message, size_t *len)
{
	char *line;
	size_t n;

	if (!message)
		return NULL;
	n = json_dumpb(message, NULL, 0, JSON_COMPACT);
	line = n ? malloc(n + 1) : NULL;
	if (!line)
		return NULL;
	json_dumpb(message, line, n, JSON_COMPACT);
	line[n] = '\n';
	*len = n + 1;
	return line;
}
