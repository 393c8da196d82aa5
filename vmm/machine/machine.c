// SPDX-License-Identifier: GPL-2.0-only
/* The machine: choice of backend, RAM, page tables, threads; creation to destruction. */
#include "machine/machine_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine/paging.h"

static const struct backend_ops *backend_table[] = {
	[MACHINE_KVM] = &backend_kvm,
	[MACHINE_PROCESS] = &backend_process,
};

const char *machine_backend_name(enum machine_backend backend)
{
	return backend == MACHINE_KVM ? "kvm" : backend == MACHINE_PROCESS ? "process" : "auto";
}

static int choose_backend(enum machine_backend asked, enum machine_backend *out, struct error *err)
{
	struct error kvm = {0}, process = {0};
	int ret;

	if (asked == MACHINE_KVM || asked == MACHINE_PROCESS) {
		*out = asked;
		return backend_table[asked]->probe(err);
	}
	if (asked != MACHINE_AUTO)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "no such machine backend");
	*out = MACHINE_KVM;
	if (!backend_kvm.probe(&kvm))
		return 0;
	*out = MACHINE_PROCESS;
	ret = backend_process.probe(&process);
	if (!ret)
		return 0;
	return error_set(err, process.exit_code, ret,
			 "no backend works here. kvm: %.130s; process: %.130s", kvm.text,
			 process.text);
}

int machine_probe(enum machine_backend backend, struct error *err)
{
	enum machine_backend chosen;

	return choose_backend(backend, &chosen, err);
}
/* --- creation and destruction --- */

static int check_config(const struct machine_config *c, struct error *err)
{
	if (c->vcpus < 1 || c->vcpus > HOTRAIL_MAX_VCPUS)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "%u vCPUs asked for; 1 to %d are possible", c->vcpus,
				 HOTRAIL_MAX_VCPUS);
	if (c->cpl != MACHINE_CPL_AUTO && c->cpl != MACHINE_CPL_0 && c->cpl != MACHINE_CPL_3)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "guests run at privilege level 0 or 3, not %d", (int)c->cpl);
	return c->pc ? machine_pc_check(c, err) : 0;
}

static int copy_config(struct machine *m, const struct machine_config *c, struct error *err)
{
	m->config = *c;
	m->config.backend = m->backend;
	m->maps = calloc(c->maps_count ? c->maps_count : 1, sizeof(*m->maps));
	if (!m->maps)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "out of memory for guest maps");
	if (c->maps_count)
		memcpy(m->maps, c->maps, c->maps_count * sizeof(*m->maps));
	m->config.maps = m->maps;
	if (c->pc) {
		m->pc = *c->pc;
		m->config.pc = &m->pc;
	}
	return 0;
}

static int build_tables(struct machine *m, bool user, struct error *err)
{
	return paging_build(m->mem.base, m->mem.size, m->maps, m->config.maps_count, user, &m->root,
			    err);
}

static int create_memory(struct machine *m, struct error *err)
{
	/* Hugetlbfs can only be mapped in whole huge pages; the process backend maps segments. */
	enum memory_huge huge = !m->config.huge_pages	    ? MEMORY_HUGE_NONE
				: m->backend == MACHINE_KVM ? MEMORY_HUGE_ANY
							    : MEMORY_HUGE_THP;

	return m->config.pc ? memory_create_private(&m->mem, m->config.ram_bytes,
						    m->config.huge_pages, err)
			    : memory_create(&m->mem, m->config.ram_bytes, huge, err);
}

static int create_backend(struct machine *m, struct error *err)
{
	bool user = m->config.cpl != MACHINE_CPL_0 && !m->config.pc;
	int ret;

	ret = create_memory(m, err);
	if (ret)
		return ret;
	if (m->config.pc)
		memory_set_hole(&m->mem, PC_HOLE_START, PC_HOLE_END);
	else
		ret = build_tables(m, user, err);
	if (ret)
		return ret;
	ret = m->ops->create(&m->config, m->mem.fd, m->mem.base, m->root, &m->state, &m->cpl, err);
	if (ret) {
		m->state = NULL;
		return ret;
	}
	/* "auto" ended at level 0: nothing ran yet, so the user bits can still be dropped. */
	if (user && m->cpl == 0)
		ret = build_tables(m, false, err);
	return ret;
}

static int start_thread(struct machine *m, unsigned index, struct error *err)
{
	struct machine_vcpu *v = &m->vcpu[index];
	int ret;

	v->m = m;
	v->index = index;
	v->create_err = err;
	ret = pthread_create(&v->thread, NULL, machine_vcpu_main, v);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ret,
				 "cannot start the thread of vCPU %u: %s", index, strerror(ret));
	m->threads++;
	pthread_mutex_lock(&m->lock);
	while (!v->created)
		pthread_cond_wait(&m->cond, &m->lock);
	ret = v->create_ret;
	v->create_err = NULL;
	pthread_mutex_unlock(&m->lock);
	return ret;
}

static void init_locks(struct machine *m)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->slot_lock, NULL);
	pthread_rwlock_init(&m->hook_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->cond, &attr);
	pthread_condattr_destroy(&attr);
}

int machine_create(const struct machine_config *config, struct machine **out, struct error *err)
{
	enum machine_backend backend;
	struct machine *m;
	unsigned i;
	int ret;

	*out = NULL;
	ret = check_config(config, err);
	if (!ret)
		ret = choose_backend(config->pc ? MACHINE_KVM : config->backend, &backend, err);
	if (ret)
		return ret;
	/* struct pause keeps each vCPU on its own cache line. */
	m = aligned_alloc(64, (sizeof(*m) + 63) & ~63ul);
	if (!m)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "out of memory for a machine");
	memset(m, 0, sizeof(*m));
	m->backend = backend;
	m->ops = backend_table[backend];
	init_locks(m);
	pause_init(&m->pause, &machine_pause_ops, m, config->vcpus);
	ret = copy_config(m, config, err);
	if (!ret)
		ret = create_backend(m, err);
	for (i = 0; !ret && i < config->vcpus; i++)
		ret = start_thread(m, i, err);
	if (ret) {
		machine_destroy(m);
		return ret;
	}
	*out = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	unsigned i;

	if (!m)
		return;
	pause_stop(&m->pause); /* also lets vCPUs go that were never started */
	pthread_mutex_lock(&m->lock);
	while (m->finished < m->live)
		pthread_cond_wait(&m->cond, &m->lock);
	m->teardown = true;
	pthread_cond_broadcast(&m->cond);
	pthread_mutex_unlock(&m->lock);
	for (i = 0; i < m->threads; i++)
		pthread_join(m->vcpu[i].thread, NULL);
	if (m->state)
		m->ops->destroy(m->state);
	machine_slot_free_all(m);
	memory_destroy(&m->mem);
	pause_fini(&m->pause);
	pthread_cond_destroy(&m->cond);
	pthread_rwlock_destroy(&m->hook_lock);
	pthread_mutex_destroy(&m->slot_lock);
	pthread_mutex_destroy(&m->lock);
	free(m->maps);
	free(m);
}

int machine_start(struct machine *m, struct error *err)
{
	if (atomic_load(&m->pause.started))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EALREADY, "the machine runs already");
	if (atomic_load(&m->pause.ended))
		return error_set(err, HOTRAIL_EXIT_FAILED, -ESHUTDOWN, "the machine was stopped");
	pause_start(&m->pause);
	return 0;
}

void machine_stop(struct machine *m)
{
	pause_stop(&m->pause);
	if (!pause_on_vcpu(&m->pause)) /* a vCPU thread cannot wait for itself */
		pause_wait_dead(&m->pause);
}
/* --- what is known of a machine --- */

enum machine_backend machine_backend(const struct machine *m)
{
	return m->backend;
}

int machine_cpl(const struct machine *m)
{
	return m->cpl;
}

unsigned machine_vcpus(const struct machine *m)
{
	return m->config.vcpus;
}

gpa_t machine_page_table_root(const struct machine *m)
{
	return m->root;
}

void *machine_ram_range(const struct machine *m, gpa_t gpa, uint64_t len)
{
	void *p = memory_range(&m->mem, gpa, len);

	return p ? p : machine_slot_range(m, gpa, len);
}

uint64_t machine_ram_bytes(const struct machine *m)
{
	return m->mem.size;
}
