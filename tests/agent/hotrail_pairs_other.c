// SPDX-License-Identifier: GPL-2.0-only
/* A program for the pairs of hotrail_pairs_test, in a module that may leave. */
#include <linux/export.h>
#include <linux/linkage.h>
#include <linux/module.h>
#include <linux/objtool.h>

asm(".pushsection .text\n\t"
    ".balign 16\n\t"
    ".type hotrail_pairs_other, @function\n\t"
    ".globl hotrail_pairs_other\n"
    "hotrail_pairs_other:\n\t" ANNOTATE_NOENDBR "mov $3, %eax\n\t" ASM_RET
    ".size hotrail_pairs_other, . - hotrail_pairs_other\n\t"
    ".popsection\n");
int hotrail_pairs_other(int unused);
EXPORT_SYMBOL_GPL(hotrail_pairs_other);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A program for hotrail_pairs_test");
