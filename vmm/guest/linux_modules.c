// SPDX-License-Identifier: GPL-2.0-only
/*
 * Modules: text that comes and goes. Nobody has a list of the retpoline calls in it, so it is
 * decoded from end to end; init text is no part of it. Where modules are, an agent in the guest
 * says, and only an agent may write there: it knows of a module's leaving before its memory goes,
 * while the host would go on writing into whatever has taken its place.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/linux_state.h"

#define PAGE 4096
/* Of one module, of which the largest of Linux 6.12 has a fifth, and of all: a guest that maps one
 * page everywhere would have us decode the whole gigabyte again and again. */
#define TEXT_MAX (32ull << 20)
#define CHUNK	 32768

void linux_modules_init(struct linux_guest *l)
{
	pthread_mutex_init(&l->modules.lock, NULL);
}

static void free_functions(struct linux_module *m)
{
	while (m->functions_count)
		free(m->functions[--m->functions_count].name);
	free(m->functions);
	m->functions = NULL;
}

void linux_modules_free(struct linux_guest *l)
{
	struct linux_modules *ms = &l->modules;

	while (ms->count)
		free_functions(&ms->list[--ms->count]);
	while (ms->names_count)
		free(ms->names[--ms->names_count]);
	free(ms->names);
	free(ms->list);
	pthread_mutex_destroy(&ms->lock);
}

/* --- the list; with its lock held --- */

/* Index of the first module that ends above addr. */
static size_t first_above(const struct linux_modules *ms, gva_t addr)
{
	size_t i;

	for (i = 0; i < ms->count && ms->list[i].text + ms->list[i].size <= addr; i++)
		;
	return i;
}

static struct linux_module *module_at(const struct linux_modules *ms, gva_t addr)
{
	size_t i = first_above(ms, addr);

	return i < ms->count && addr >= ms->list[i].text ? &ms->list[i] : NULL;
}

/* What users select sites by has no brackets, spaces or plus signs of its own. */
static void clean(char *name)
{
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("_-.$", *name))
			*name = '_';
}

/* Names come again with each load and are shown by others later: each is kept once. */
static const char *keep_name(struct linux_modules *ms, const char *name)
{
	size_t i;

	for (i = 0; i < ms->names_count; i++)
		if (!strcmp(ms->names[i], name))
			return ms->names[i];
	if (i == LINUX_MODULES_MAX)
		return "module";
	ms->names[i] = strdup(name);
	if (!ms->names[i])
		return "module";
	clean(ms->names[i]);
	ms->names_count++;
	return ms->names[i];
}

static int allocate(struct linux_modules *ms, struct error *err)
{
	if (!ms->list)
		ms->list = calloc(LINUX_MODULES_MAX, sizeof(*ms->list));
	if (!ms->names)
		ms->names = calloc(LINUX_MODULES_MAX, sizeof(*ms->names));
	if (ms->list && ms->names)
		return 0;
	return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the guest's modules");
}

/* All together. */
static uint64_t text_bytes(const struct linux_modules *ms)
{
	uint64_t all = 0;
	size_t i;

	for (i = 0; i < ms->count; i++)
		all += ms->list[i].size;
	return all;
}

static int insert(struct linux_modules *ms, const struct guest_module *m, struct error *err)
{
	size_t at;

	if (allocate(ms, err))
		return -ENOMEM;
	if (ms->count == LINUX_MODULES_MAX)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOSPC,
				 "the guest has more than %d modules", LINUX_MODULES_MAX);
	at = first_above(ms, m->text);
	if (at < ms->count && ms->list[at].text < m->text + m->text_size)
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EEXIST,
				 "module %s is said to be where module %s is", m->name,
				 ms->list[at].name);
	if (text_bytes(ms) + m->text_size > TEXT_MAX)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOSPC,
				 "with module %s there are more than %llu MiB of module text",
				 m->name, TEXT_MAX >> 20);
	memmove(ms->list + at + 1, ms->list + at, (ms->count++ - at) * sizeof(*ms->list));
	ms->list[at] = (struct linux_module){
		.text = m->text, .size = m->text_size, .id = m->id, .name = keep_name(ms, m->name)};
	return 0;
}

static void remove_id(struct linux_modules *ms, uint32_t id, struct linux_module *out)
{
	size_t i;

	*out = (struct linux_module){0};
	for (i = 0; i < ms->count && ms->list[i].id != id; i++)
		;
	if (i == ms->count)
		return;
	free_functions(&ms->list[i]);
	*out = ms->list[i];
	memmove(ms->list + i, ms->list + i + 1, (--ms->count - i) * sizeof(*ms->list));
}

/* --- looking through its text --- */

struct search {
	struct linux_guest *l;
	struct guest_found *found;
};

static void take(void *ctx, const struct site *site)
{
	struct search *s = ctx;
	uint32_t index;

	if (site_table_put(&s->l->guest.sites, site, &index)) {
		s->found->left++;
		return;
	}
	s->found->sites++;
}

static int search_text(struct search *s, const struct guest_module *m, uint8_t *buf)
{
	struct site_search f = {.take = take, .ctx = s};
	struct target *t = s->l->guest.target;
	uint64_t at, len, used;
	unsigned reg;

	for (reg = 0; reg < HOTRAIL_REGS; reg++)
		if (s->l->k->thunks[reg])
			f.thunks[reg] = s->l->k->thunks[reg] + s->l->info.offset;
	for (at = 0; at < m->text_size; at += used) {
		len = m->text_size - at < CHUNK ? m->text_size - at : CHUNK;
		if (t->ops->read(t, m->text + at, buf, len))
			return -EFAULT;
		used = site_search(&f, buf, len, m->text + at, at + len == m->text_size);
	}
	s->found->odd = (unsigned)f.odd;
	return 0;
}

#define AT_ONCE 512

/* The next slots of [from, end), ascending by address; how many. */
static size_t slots_in(const struct site_table *t, gva_t from, gva_t end, uint32_t sites[AT_ONCE])
{
	size_t i, n = 0;

	for (i = 0; i < t->filled && n < AT_ONCE; i++)
		if (t->sites[t->by_addr[i]].addr >= from && t->sites[t->by_addr[i]].addr < end)
			sites[n++] = t->by_addr[i];
	return n;
}

static void tell_slots(struct site_table *t, gva_t from, gva_t end, guest_sites_fn fn, void *ctx)
{
	uint32_t sites[AT_ONCE];
	size_t n;

	while (fn && (n = slots_in(t, from, end, sites))) {
		fn(ctx, sites, n);
		from = t->sites[sites[n - 1]].addr + 1;
	}
}

/* Its sites' slots, told and emptied. */
static void empty_slots(struct site_table *t, gva_t text, gva_t end, guest_sites_fn fn, void *ctx)
{
	uint32_t sites[AT_ONCE];
	size_t i, n;

	while ((n = slots_in(t, text, end, sites))) {
		if (fn)
			fn(ctx, sites, n);
		for (i = 0; i < n; i++)
			site_table_empty(t, sites[i]);
	}
}

/* Modules lie in pages of their own between the image and the fixed mappings. */
static int check_place(const struct guest_module *m, struct error *err)
{
	if (m->text >= LINUX_MODULES && m->text < LINUX_MODULES_END && !(m->text % PAGE) &&
	    m->text_size && m->text_size <= TEXT_MAX && m->text_size <= LINUX_MODULES_END - m->text)
		return 0;
	return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
			 "module %s is said to be at 0x%llx, 0x%llx bytes: no module can be there",
			 m->name, (unsigned long long)m->text, (unsigned long long)m->text_size);
}

int linux_module_add(struct guest *g, const struct guest_module *m, struct guest_found *found,
		     guest_sites_fn fn, void *ctx, struct error *err)
{
	struct linux_guest *l = linux_guest(g);
	struct search s = {.l = l, .found = found};
	uint8_t *buf;
	int ret = check_place(m, err);

	*found = (struct guest_found){0};
	if (ret)
		return ret;
	buf = malloc(CHUNK);
	if (!buf)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for module %s",
				 m->name);
	pthread_mutex_lock(&l->modules.lock);
	ret = insert(&l->modules, m, err);
	pthread_mutex_unlock(&l->modules.lock);
	if (!ret && search_text(&s, m, buf)) {
		linux_module_remove(g, m->id, NULL, NULL); /* nobody has heard of its sites */
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT,
				"the text of module %s cannot be read", m->name);
		*found = (struct guest_found){0};
	}
	if (!ret)
		tell_slots(&g->sites, m->text, m->text + m->text_size, fn, ctx);
	free(buf);
	return ret;
}

void linux_module_remove(struct guest *g, uint32_t id, guest_sites_fn fn, void *ctx)
{
	struct linux_guest *l = linux_guest(g);
	struct linux_module m;

	pthread_mutex_lock(&l->modules.lock);
	remove_id(&l->modules, id, &m);
	pthread_mutex_unlock(&l->modules.lock);
	if (m.size)
		empty_slots(&g->sites, m.text, m.text + m.size, fn, ctx);
}

/* --- names --- */

/* The function that addr is in, or the first one behind it; index. */
static size_t function_at(const struct linux_module *m, gva_t addr)
{
	size_t low = 0, high = m->functions_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->functions[mid].start + m->functions[mid].size <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

#define FUNCTIONS_MORE 16 /* most modules have few functions with sites */

static bool room_for_one(struct linux_module *m)
{
	struct linux_function *grown;

	if (m->functions_count % FUNCTIONS_MORE)
		return true;
	grown = reallocarray(m->functions, m->functions_count + FUNCTIONS_MORE, sizeof(*grown));
	if (grown)
		m->functions = grown;
	return grown != NULL;
}

static void add_function(struct linux_module *m, const struct guest_function *f)
{
	size_t at = function_at(m, f->start), n = m->functions_count;
	char *name;

	if (!f->size || f->start < m->text || f->start - m->text >= m->size ||
	    f->size > m->size - (f->start - m->text))
		return;
	if (at < n && m->functions[at].start < f->start + f->size)
		return; /* known, or a lie */
	if (n == LINUX_FUNCTIONS_MAX || !room_for_one(m) || !(name = strdup(f->name)))
		return;
	clean(name);
	memmove(m->functions + at + 1, m->functions + at, (n - at) * sizeof(*m->functions));
	m->functions[at] = (struct linux_function){f->start, f->size, name};
	m->functions_count++;
}

void linux_module_functions(struct guest *g, const struct guest_function *f, size_t n)
{
	struct linux_guest *l = linux_guest(g);
	struct linux_module *m;
	size_t i;

	pthread_mutex_lock(&l->modules.lock);
	for (i = 0; i < n; i++) {
		m = module_at(&l->modules, f[i].start);
		if (m)
			add_function(m, &f[i]);
	}
	pthread_mutex_unlock(&l->modules.lock);
}

static void write_name(const struct linux_module *m, gva_t addr, char *buf, size_t len)
{
	size_t at = function_at(m, addr);
	const struct linux_function *f = &m->functions[at];
	unsigned long long offset;

	if (at == m->functions_count || addr < f->start) {
		snprintf(buf, len, "[%s]+0x%llx", m->name, (unsigned long long)(addr - m->text));
		return;
	}
	offset = addr - f->start;
	if (offset)
		snprintf(buf, len, "[%s] %s+0x%llx", m->name, f->name, offset);
	else
		snprintf(buf, len, "[%s] %s", m->name, f->name);
}

bool linux_module_symbol(struct linux_guest *l, gva_t addr, char *buf, size_t len)
{
	const struct linux_module *m;

	pthread_mutex_lock(&l->modules.lock);
	m = module_at(&l->modules, addr);
	if (m)
		write_name(m, addr, buf, len);
	pthread_mutex_unlock(&l->modules.lock);
	return m != NULL;
}

const char *linux_module_name(struct linux_guest *l, gva_t addr)
{
	const struct linux_module *m;
	const char *name;

	pthread_mutex_lock(&l->modules.lock);
	m = module_at(&l->modules, addr);
	name = m ? m->name : NULL;
	pthread_mutex_unlock(&l->modules.lock);
	return name;
}
