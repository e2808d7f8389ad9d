/* Private to base: the tree that the parser of expressions makes and the evaluator walks. */
#ifndef ENGINE_BASE_EXPRESSION_TREE_H
#define ENGINE_BASE_EXPRESSION_TREE_H

#include <millrace/expression.h>

enum expression_op {
    OP_CONSTANT,
    OP_TEXT,
    OP_FIELD,
    OP_NEGATE,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_EQUAL,
    OP_UNEQUAL,
    OP_LESS,
    OP_AT_MOST,
    OP_MORE,
    OP_AT_LEAST,
    OP_AND,
    OP_OR,
    OP_NOT,
};

struct mr_expression {
    enum expression_op op;
    enum mr_kind
        kind;        /* MR_NUMBER, MR_F32 (any array), MR_TEXT, MR_BOOLEAN; MR_ABSENT: any scalar */
    uint16_t slot;   /* OP_FIELD                                        */
    uint16_t height; /* 1 for a leaf; bounds recursion and scratch rows */
    size_t at;       /* where it begins in the text                     */
    double number;   /* OP_CONSTANT                                     */
    struct mr_slice text;                     /* OP_TEXT                                         */
    const struct mr_expression *left, *right; /* one operand: right is NULL   */
};

#endif
