// SPDX-License-Identifier: GPL-2.0-only
/*
 * A dispatcher whose pairs the agent's tests change, called without pause on every CPU. Each call
 * says which way it went. `other`: its third pair may lead to a function of another module, which
 * comes and goes.
 */
#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/linkage.h>
#include <linux/module.h>
#include <linux/objtool.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <asm/ibt.h>
#include <asm/nops.h>

#include "hotrail_pairs.h"

enum way { SLOW, ONE, TWO, OTHER, WAYS, BROKEN = 99 };

/*
 * The slow way has a frame, as the code between the slots takes it away. The branch over the bypass
 * is never taken: it only tells objtool how the stack looks there. Behind the target's nop lies
 * what only (nop, nop) comes to.
 */
#define DISPATCHER(name)                                                                           \
	asm(".pushsection .text\n\t"                                                               \
	    ".balign 16\n\t"                                                                       \
	    ".type " #name ", @function\n\t"                                                       \
	    ".globl " #name "\n" #name ":\n\t"                                                     \
	    "push %rbx\n\t"                                                                        \
	    "test %edi, %edi\n\t"                                                                  \
	    "js 1f\n\t"                                                                            \
	    ".balign 8\n\t" ANNOTATE_NOENDBR ".globl " #name "_bypass\n" #name "_bypass:\n\t"      \
	    ".byte 0xe9\n\t"                                                                       \
	    ".long " #name "_slow - . - 4\n\t" ANNOTATE_NOENDBR ".globl " #name "_unwind\n" #name  \
	    "_unwind:\n"                                                                           \
	    "1:\n\t"                                                                               \
	    "pop %rbx\n\t"                                                                         \
	    ".balign 8\n\t" ANNOTATE_NOENDBR ".globl " #name "_target\n" #name                     \
	    "_target:\n\t" ASM_NOP5 "\n\t"                                                         \
	    "mov $99, %eax\n\t" ASM_RET ANNOTATE_NOENDBR ".globl " #name "_slow\n" #name           \
	    "_slow:\n\t"                                                                           \
	    "mov $0, %eax\n\t"                                                                     \
	    "pop %rbx\n\t" ASM_RET ".size " #name ", . - " #name "\n\t"                            \
	    ".popsection\n");                                                                      \
	int name(int never_negative);                                                              \
	extern const char name##_bypass[], name##_unwind[], name##_target[], name##_slow[]

#define SINGLE(name)                                                                               \
	asm(".pushsection .text\n\t"                                                               \
	    ".balign 16\n\t"                                                                       \
	    ".type " #name ", @function\n\t"                                                       \
	    ".globl " #name "\n" #name ":\n\t" ANNOTATE_NOENDBR ".globl " #name "_target\n" #name  \
	    "_target:\n\t"                                                                         \
	    ".byte 0xe9\n\t"                                                                       \
	    ".long " #name "_slow - . - 4\n\t"                                                     \
	    ".balign 8\n\t" ANNOTATE_NOENDBR ".globl " #name "_slow\n" #name "_slow:\n\t"          \
	    "mov $0, %eax\n\t" ASM_RET ".size " #name ", . - " #name "\n\t"                        \
	    ".popsection\n");                                                                      \
	int name(int unused);                                                                      \
	extern const char name##_target[], name##_slow[]

#define PROGRAM(name, way)                                                                         \
	asm(".pushsection .text\n\t"                                                               \
	    ".balign 16\n\t"                                                                       \
	    ".type " #name ", @function\n\t"                                                       \
	    ".globl " #name "\n" #name ":\n\t" ANNOTATE_NOENDBR "mov $" #way ", %eax\n\t" ASM_RET  \
	    ".size " #name ", . - " #name "\n\t"                                                   \
	    ".popsection\n");                                                                      \
	extern const char name[]

DISPATCHER(pairs_first);
DISPATCHER(pairs_third);
SINGLE(pairs_second);
PROGRAM(pairs_one, 1);
PROGRAM(pairs_two, 2);

static bool other;
module_param(other, bool, 0444);
static int wrong_declaration;
module_param(wrong_declaration, int, 0444);

static atomic_long_t calls[WAYS], wrong;
static struct task_struct *threads[2];

static int went_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%ld %ld %ld %ld %ld\n", atomic_long_read(&calls[SLOW]),
			  atomic_long_read(&calls[ONE]), atomic_long_read(&calls[TWO]),
			  atomic_long_read(&calls[OTHER]), atomic_long_read(&wrong));
}
static const struct kernel_param_ops went_ops = {.get = went_get};
module_param_cb(went, &went_ops, NULL, 0444); /* calls by each way, and wrong ones */

/* The tracer puts no probes on functions that it cannot trace, so this does. */
static struct kprobe kp;

static int probe_set(const char *text, const struct kernel_param *param)
{
	static const char *const where[] = {NULL, pairs_first_target, pairs_first_bypass,
					    pairs_first_unwind};
	unsigned int n;
	int r = kstrtouint(text, 0, &n);

	if (r || n >= ARRAY_SIZE(where))
		return -EINVAL;
	if (kp.addr)
		unregister_kprobe(&kp);
	kp = (struct kprobe){.addr = (kprobe_opcode_t *)where[n]};
	r = n ? register_kprobe(&kp) : 0;
	if (r)
		kp.addr = NULL;
	return r;
}
static const struct kernel_param_ops probe_ops = {.set = probe_set};
module_param_cb(probe, &probe_ops, NULL, 0200); /* on the target, the bypass, behind the bypass */

static const struct hotrail_pair own_pairs[] = {
	{pairs_first_bypass, pairs_first_target, pairs_first_slow},
	{NULL, pairs_second_target, pairs_second_slow},
};
static const void *const own_programs[] = {pairs_one, pairs_two};
static const struct hotrail_pairs own = {THIS_MODULE, own_pairs, ARRAY_SIZE(own_pairs),
					 own_programs, ARRAY_SIZE(own_programs)};

static const struct hotrail_pair shared_pair = {pairs_third_bypass, pairs_third_target,
						pairs_third_slow};
static const void *shared_program;
static const struct hotrail_pairs shared = {THIS_MODULE, &shared_pair, 1, &shared_program, 1};

static void count(int way)
{
	atomic_long_inc(way >= 0 && way < WAYS ? &calls[way] : &wrong);
}

static int call(void *unused)
{
	unsigned int i;

	while (!kthread_should_stop()) {
		for (i = 0; i < 100; i++) {
			count(pairs_first(0));
			count(pairs_second(0));
			count(pairs_third(0));
		}
		cond_resched_tasks_rcu_qs(); /* or grace periods would wait for this thread */
	}
	return 0;
}

/* What must be refused: the test reads the error. */
static int declare_wrongly(void)
{
	struct hotrail_pair p = own_pairs[0];
	const void *program = pairs_one;
	const struct hotrail_pairs set = {THIS_MODULE, &p, 1, &program, 1};

	switch (wrong_declaration) {
	case 1: /* another slow way than its jump has */
		p.slow = pairs_third_slow;
		break;
	case 2: /* no slot */
		p.target = pairs_first_target + 8;
		break;
	case 3:
		p.bypass = pairs_first_bypass + 1;
		break;
	case 4: /* somebody else's text */
		p.bypass = NULL;
		p.target = (const void *)kthread_stop;
		p.slow = p.target + 64;
		break;
	case 5: /* data */
		program = &wrong;
		break;
	case 6:
		program = pairs_one + 8;
		break;
	case 7: /* twice */
		break;
	}
	return hotrail_pairs_register(&set);
}

static int declare(void)
{
	int r;

	if (wrong_declaration && wrong_declaration != 7)
		return declare_wrongly();
	r = hotrail_pairs_register(&own);
	if (r || !wrong_declaration)
		return r;
	r = declare_wrongly();
	hotrail_pairs_unregister(&own);
	return r;
}

static int declare_shared(void)
{
	shared_program = __symbol_get("hotrail_pairs_other");
	if (!shared_program)
		return -ENOENT;
	__symbol_put("hotrail_pairs_other");
	return hotrail_pairs_register(&shared);
}

static void stop(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(threads); i++)
		if (threads[i])
			kthread_stop(threads[i]);
}

static int start(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		struct task_struct *t = kthread_create(call, NULL, "pairs/%u", i);

		if (IS_ERR(t)) {
			stop();
			return PTR_ERR(t);
		}
		kthread_bind(t, i % num_online_cpus());
		threads[i] = t;
		wake_up_process(t);
	}
	return 0;
}

static int __init pairs_test_init(void)
{
	int r = declare();

	if (r)
		return r;
	r = other ? declare_shared() : 0;
	if (r)
		goto out_own;
	r = start();
	if (r)
		goto out_shared;
	return 0;

out_shared:
	hotrail_pairs_unregister(&shared);
out_own:
	hotrail_pairs_unregister(&own);
	return r;
}

/* The pairs go first, while the dispatchers are still being called. */
static void __exit pairs_test_exit(void)
{
	hotrail_pairs_unregister(&shared);
	hotrail_pairs_unregister(&own);
	stop();
	pr_info("hotrail_pairs_test: %ld wrong\n", atomic_long_read(&wrong));
}

module_init(pairs_test_init);
module_exit(pairs_test_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Pairs that the tests of hotrail_agent change");
