// SPDX-License-Identifier: GPL-2.0-only
/* One process a CPU does the same for some seconds; see load.h. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define LINE	    64 /* a cache line each, or the workers would measure each other */

struct tally {
	uint64_t done, errors, ns;
	int failed; /* errno of the worker's start */
} __attribute__((aligned(LINE)));

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static int work(struct tally *t, unsigned worker, double seconds, load_open_fn open,
		load_turn_fn turn)
{
	void *state = open(worker);
	uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9);

	if (!state) {
		t->failed = errno ? errno : EIO;
		return 1;
	}
	do {
		t->errors += turn(state, &t->done);
		t->ns = now_ns() - begin;
	} while (begin + t->ns < end);
	return 0;
}

static int report(const struct tally *tally, unsigned workers)
{
	uint64_t errors = 0;
	double rate = 0;
	unsigned i;

	for (i = 0; i < workers; i++) {
		if (tally[i].failed) {
			fprintf(stderr, "worker %u: %s\n", i, strerror(tally[i].failed));
			return 1;
		}
		if (tally[i].ns)
			rate += tally[i].done / (tally[i].ns / 1e9);
		errors += tally[i].errors;
	}
	printf("%.1f %llu\n", rate, (unsigned long long)errors);
	return 0;
}

int load_main(int argc, char **argv, load_open_fn open, load_turn_fn turn)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned workers = cpus < 1 ? 1 : cpus > WORKERS_MAX ? WORKERS_MAX : (unsigned)cpus, i;
	double seconds = argc == 2 ? atof(argv[1]) : 0;
	struct tally *tally;
	pid_t pid;
	int status, bad = 0;

	if (seconds <= 0) {
		fprintf(stderr, "usage: %s SECONDS\n", argv[0]);
		return 2;
	}
	tally = mmap(NULL, workers * sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (i = 0; i < workers; i++) {
		pid = fork();
		if (!pid)
			_exit(work(&tally[i], i, seconds, open, turn));
		if (pid < 0)
			tally[i].failed = errno;
	}
	while (wait(&status) > 0)
		bad += status != 0; /* a worker that was killed counts for itself */
	if (report(tally, workers))
		return 1;
	return bad ? 1 : 0;
}
