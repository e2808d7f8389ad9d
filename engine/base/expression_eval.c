/* Expressions: from a record to a value or a mask.
 *
 * Two ways. Where no operand is an array, the tree is walked once and yields one value. Otherwise
 * it is walked once per block of 1,024 samples, and every node works on a row of doubles (or of
 * mask bytes) that stays in the first-level cache:
 *
 *      power / (a + 2)          row 0: power, then the quotient
 *                               row 1: a, then the sum
 *                               row 2: 2
 *
 * A node writes the row of its level; its left operand uses the same row, its right one the next.
 * So a tree of height h needs h rows. What kinds the operands have is asked of the record, not of
 * the plan: a field may be absent in one record and an array in the next.
 *
 * Two shapes are common enough to have loops of their own, both with the same result as the
 * general way. The product of two float32 arrays: it is exact in double, so rounding it to float32
 * is the float32 product. And a float32 array compared with a number: the number is first rounded
 * to a float32 in the direction that keeps the comparison's answer for every float32.
 *
 * These loops vectorise (built with -O3 -fno-trapping-math) and are branch-free; `restrict` is
 * needed because mask bytes could otherwise alias anything. */
#include "engine/base/base.h"
#include "engine/base/expression_tree.h"

#include <math.h>

#define BLOCK ((size_t)1024)

typedef const struct mr_expression *node;

static bool is_array(const struct mr_value *value) {
    return value->kind == MR_F32 || value->kind == MR_F64;
}

/* ---- One value ----------------------------------------------------------------------------- */

static const struct mr_value absent = {.kind = MR_ABSENT};

static struct mr_value number_value(double x) {
    return (struct mr_value){.kind = MR_NUMBER, .number = x};
}

static struct mr_value boolean_value(bool yes) {
    return (struct mr_value){.kind = MR_BOOLEAN, .number = yes};
}

static bool is_number(const struct mr_value *value) {
    return value->kind == MR_NUMBER || value->kind == MR_INTEGER;
}

static bool holds(const struct mr_value *value) {
    return value->kind == MR_BOOLEAN && value->number != 0;
}

static struct mr_value calculate(enum expression_op op, const struct mr_value *a,
                                 const struct mr_value *b) {
    if (!is_number(a) || !is_number(b)) {
        return absent;
    }
    switch (op) {
    case OP_ADD:
        return number_value(a->number + b->number);
    case OP_SUBTRACT:
        return number_value(a->number - b->number);
    case OP_MULTIPLY:
        return number_value(a->number * b->number);
    default:
        return number_value(a->number / b->number);
    }
}

/* A NaN makes every comparison false, != too. */
static bool compare_numbers(enum expression_op op, double a, double b) {
    switch (op) {
    case OP_EQUAL:
        return a == b;
    case OP_UNEQUAL:
        return a < b || a > b;
    case OP_LESS:
        return a < b;
    case OP_AT_MOST:
        return a <= b;
    case OP_MORE:
        return a > b;
    default:
        return a >= b;
    }
}

/* Absent operands, and operands of different kinds, make it false. */
static bool compare(enum expression_op op, const struct mr_value *a, const struct mr_value *b) {
    if (is_number(a) && is_number(b)) {
        return compare_numbers(op, a->number, b->number);
    }
    if (a->kind != MR_TEXT || b->kind != MR_TEXT) {
        return false;
    }
    bool equal = mr_slice_equal(a->text, b->text);
    return (op == OP_EQUAL && equal) || (op == OP_UNEQUAL && !equal);
}

static struct mr_value evaluate(node e, const struct mr_record *record) {
    switch (e->op) {
    case OP_CONSTANT:
        return number_value(e->number);
    case OP_TEXT:
        return (struct mr_value){.kind = MR_TEXT, .text = e->text};
    case OP_FIELD:
        return record->values[e->slot];
    default:
        break;
    }
    struct mr_value a = evaluate(e->left, record);
    if (e->op == OP_NEGATE) {
        return is_number(&a) ? number_value(-a.number) : absent;
    }
    if (e->op == OP_NOT) {
        return boolean_value(!holds(&a));
    }
    if (e->op == OP_AND || e->op == OP_OR) {
        bool decided = holds(&a) == (e->op == OP_OR);
        struct mr_value b = decided ? a : evaluate(e->right, record);
        return boolean_value(holds(&b));
    }
    struct mr_value b = evaluate(e->right, record);
    return e->kind == MR_BOOLEAN ? boolean_value(compare(e->op, &a, &b)) : calculate(e->op, &a, &b);
}

/* ---- What the operands are in this record -------------------------------------------------- */

enum { SOME_F32 = 1, SOME_F64 = 2 };

static unsigned find_arrays(node e, const struct mr_record *record) {
    if (!e || e->op == OP_CONSTANT || e->op == OP_TEXT) {
        return 0;
    }
    if (e->op == OP_FIELD) {
        enum mr_kind kind = record->values[e->slot].kind;
        return kind == MR_F32 ? SOME_F32 : kind == MR_F64 ? SOME_F64 : 0;
    }
    return find_arrays(e->left, record) | find_arrays(e->right, record);
}

/* Whether arithmetic lacks an operand: what is neither number nor array counts as absent. */
static bool lacks_operand(node e, const struct mr_record *record) {
    if (!e || e->op == OP_CONSTANT) {
        return false;
    }
    if (e->op == OP_FIELD) {
        const struct mr_value *value = &record->values[e->slot];
        return !is_number(value) && !is_array(value);
    }
    return e->op == OP_TEXT || lacks_operand(e->left, record) || lacks_operand(e->right, record);
}

/* ---- Loops --------------------------------------------------------------------------------- */

#define EACH(statement)                                                                            \
    for (size_t i = 0; i < n; i++) {                                                               \
        statement;                                                                                 \
    }

static void multiply_f32(float *restrict out, const float *restrict a, const float *restrict b,
                         size_t n) {
    EACH(out[i] = a[i] * b[i])
}

static void widen(double *restrict out, const float *restrict x, size_t n) {
    EACH(out[i] = (double)x[i])
}

static void narrow(float *restrict out, const double *restrict x, size_t n) {
    EACH(out[i] = (float)x[i])
}

static void fill(double *out, double x, size_t n) {
    EACH(out[i] = x)
}

static void negate(double *x, size_t n) {
    EACH(x[i] = -x[i])
}

static void calculate_row(enum expression_op op, double *restrict a, const double *restrict b,
                          size_t n) {
    switch (op) {
    case OP_ADD:
        EACH(a[i] += b[i])
        return;
    case OP_SUBTRACT:
        EACH(a[i] -= b[i])
        return;
    case OP_MULTIPLY:
        EACH(a[i] *= b[i])
        return;
    default:
        EACH(a[i] /= b[i])
        return;
    }
}

static void compare_row(enum expression_op op, uint8_t *restrict out, const double *restrict a,
                        const double *restrict b, size_t n) {
    switch (op) {
    case OP_EQUAL:
        EACH(out[i] = a[i] == b[i])
        return;
    case OP_UNEQUAL:
        EACH(out[i] = (uint8_t)((a[i] < b[i]) | (a[i] > b[i])))
        return;
    case OP_LESS:
        EACH(out[i] = a[i] < b[i])
        return;
    case OP_AT_MOST:
        EACH(out[i] = a[i] <= b[i])
        return;
    case OP_MORE:
        EACH(out[i] = a[i] > b[i])
        return;
    default:
        EACH(out[i] = a[i] >= b[i])
        return;
    }
}

static void compare_f32_row(enum expression_op op, uint8_t *restrict out, const float *restrict x,
                            float limit, size_t n) {
    switch (op) {
    case OP_LESS:
        EACH(out[i] = x[i] < limit)
        return;
    case OP_AT_MOST:
        EACH(out[i] = x[i] <= limit)
        return;
    case OP_MORE:
        EACH(out[i] = x[i] > limit)
        return;
    default:
        EACH(out[i] = x[i] >= limit)
        return;
    }
}

static void and_row(uint8_t *restrict out, const uint8_t *restrict other, size_t n) {
    EACH(out[i] &= other[i])
}

static void or_row(uint8_t *restrict out, const uint8_t *restrict other, size_t n) {
    EACH(out[i] |= other[i])
}

static void not_row(uint8_t *out, size_t n) {
    EACH(out[i] ^= 1)
}

static void mask_to_f32(float *restrict out, const uint8_t *restrict mask, size_t n) {
    EACH(out[i] = mask[i])
}

/* ---- One block ----------------------------------------------------------------------------- */

struct block {
    const struct mr_record *record;
    size_t from, n;
    size_t stride; /* of a row: BLOCK, or fewer for a short record */
    double *numbers;
    uint8_t *masks;
};

static struct block first_block(node e, const struct mr_record *record, struct mr_arena *arena) {
    size_t stride = record->samples < BLOCK ? record->samples : BLOCK;
    return (struct block){
        .record = record,
        .n = stride,
        .stride = stride,
        .numbers = mr_arena_take(arena, (e->height + 1U) * stride * sizeof(double)),
        .masks = mr_arena_take(arena, (e->height + 1U) * stride),
    };
}

static void next_block(struct block *b) {
    size_t left = b->record->samples - b->from - b->n;
    b->from += b->n;
    b->n = left < BLOCK ? left : BLOCK;
}

static double *number_row(const struct block *b, size_t level) {
    return b->numbers + level * b->stride;
}

static void field_row(const struct block *b, node e, double *out) {
    const struct mr_value *value = &b->record->values[e->slot];
    if (value->kind == MR_F32) {
        widen(out, value->f32 + b->from, b->n);
    } else if (value->kind == MR_F64) {
        memcpy(out, value->f64 + b->from, b->n * sizeof *out);
    } else {
        fill(out, value->number, b->n);
    }
}

/* Nothing that it reaches is absent: lacks_operand was asked. */
static void number_block(const struct block *b, node e, size_t level) {
    double *out = number_row(b, level);
    if (e->op == OP_CONSTANT) {
        fill(out, e->number, b->n);
    } else if (e->op == OP_FIELD) {
        field_row(b, e, out);
    } else if (e->op == OP_NEGATE) {
        number_block(b, e->left, level);
        negate(out, b->n);
    } else {
        number_block(b, e->left, level);
        number_block(b, e->right, level + 1);
        calculate_row(e->op, out, number_row(b, level + 1), b->n);
    }
}

/* The float32 that divides the float32 numbers as x does: for < and >= the least that is not below
 * x, for > and <= the greatest that is not above. */
static float round_limit(enum expression_op op, double x) {
    float limit = (float)x;
    bool up = op == OP_LESS || op == OP_AT_LEAST;
    if (up && (double)limit < x) {
        return nextafterf(limit, INFINITY);
    }
    if (!up && (double)limit > x) {
        return nextafterf(limit, -INFINITY);
    }
    return limit;
}

/* A float32 field compared with a number, in this order and not for (in)equality. */
static bool compare_f32_block(const struct block *b, node e, uint8_t *out) {
    if (e->op == OP_EQUAL || e->op == OP_UNEQUAL || e->left->op != OP_FIELD ||
        e->right->op != OP_CONSTANT) {
        return false;
    }
    const struct mr_value *value = &b->record->values[e->left->slot];
    if (value->kind != MR_F32 || isnan(e->right->number)) {
        return false;
    }
    compare_f32_row(e->op, out, value->f32 + b->from, round_limit(e->op, e->right->number), b->n);
    return true;
}

static void compare_block(const struct block *b, node e, size_t level, uint8_t *out) {
    if (compare_f32_block(b, e, out)) {
        return;
    }
    if (lacks_operand(e, b->record)) {
        memset(out, 0, b->n);
        return;
    }
    number_block(b, e->left, level);
    number_block(b, e->right, level + 1);
    compare_row(e->op, out, number_row(b, level), number_row(b, level + 1), b->n);
}

static void mask_block(const struct block *b, node e, size_t level, uint8_t *out) {
    if (find_arrays(e, b->record) == 0) {
        struct mr_value value = evaluate(e, b->record);
        memset(out, holds(&value), b->n);
    } else if (e->op == OP_FIELD) { /* an array that `let` made of a condition */
        field_row(b, e, number_row(b, level));
        fill(number_row(b, level + 1), 0, b->n);
        compare_row(OP_UNEQUAL, out, number_row(b, level), number_row(b, level + 1), b->n);
    } else if (e->op == OP_NOT) {
        mask_block(b, e->left, level, out);
        not_row(out, b->n);
    } else if (e->op == OP_AND || e->op == OP_OR) {
        uint8_t *other = b->masks + level * b->stride;
        mask_block(b, e->left, level, out);
        mask_block(b, e->right, level + 1, other);
        (e->op == OP_AND ? and_row : or_row)(out, other, b->n);
    } else {
        compare_block(b, e, level, out);
    }
}

static uint8_t *whole_mask(node e, const struct mr_record *record, struct mr_arena *arena) {
    uint8_t *mask = mr_arena_take(arena, record->samples);
    for (struct block b = first_block(e, record, arena); b.n > 0; next_block(&b)) {
        mask_block(&b, e, 0, mask + b.from);
    }
    return mask;
}

/* ---- The two questions --------------------------------------------------------------------- */

static const float *f32_field(node e, const struct mr_record *record) {
    const struct mr_value *value = e->op == OP_FIELD ? &record->values[e->slot] : &absent;
    return value->kind == MR_F32 ? value->f32 : NULL;
}

static struct mr_value f32_array(node e, const struct mr_record *record, struct mr_arena *arena) {
    float *out = mr_arena_take(arena, record->samples * sizeof *out);
    struct mr_value value = {.kind = MR_F32, .f32 = out};
    if (e->op == OP_MULTIPLY) {
        const float *left = f32_field(e->left, record), *right = f32_field(e->right, record);
        if (left && right) {
            multiply_f32(out, left, right, record->samples);
            return value;
        }
    }
    for (struct block b = first_block(e, record, arena); b.n > 0; next_block(&b)) {
        number_block(&b, e, 0);
        narrow(out + b.from, number_row(&b, 0), b.n);
    }
    return value;
}

static struct mr_value f64_array(node e, const struct mr_record *record, struct mr_arena *arena) {
    double *out = mr_arena_take(arena, record->samples * sizeof *out);
    for (struct block b = first_block(e, record, arena); b.n > 0; next_block(&b)) {
        number_block(&b, e, 0);
        memcpy(out + b.from, number_row(&b, 0), b.n * sizeof *out);
    }
    return (struct mr_value){.kind = MR_F64, .f64 = out};
}

void mr_expression_value(const struct mr_expression *expression, const struct mr_record *record,
                         struct mr_arena *arena, struct mr_value *out) {
    unsigned arrays = expression->op == OP_FIELD ? 0 : find_arrays(expression, record);
    if (arrays == 0) {
        *out = evaluate(expression, record);
    } else if (expression->kind == MR_BOOLEAN) {
        const uint8_t *mask = whole_mask(expression, record, arena);
        float *ones = mr_arena_take(arena, record->samples * sizeof *ones);
        mask_to_f32(ones, mask, record->samples);
        *out = (struct mr_value){.kind = MR_F32, .f32 = ones};
    } else if (lacks_operand(expression, record)) {
        *out = absent;
    } else if (arrays == SOME_F32) {
        *out = f32_array(expression, record, arena);
    } else {
        *out = f64_array(expression, record, arena);
    }
}

/* A condition of comparisons between number fields and numbers: what nearly every `where` on events
 * is. False: it is something else. */
static bool holds_plainly(node e, const struct mr_record *record, bool *yes) {
    if (e->op == OP_AND || e->op == OP_OR) {
        return holds_plainly(e->left, record, yes) &&
               (*yes == (e->op == OP_OR) || holds_plainly(e->right, record, yes));
    }
    if (e->op < OP_EQUAL || e->op > OP_AT_LEAST || e->left->op != OP_FIELD ||
        e->right->op != OP_CONSTANT || !is_number(&record->values[e->left->slot])) {
        return false;
    }
    *yes = compare_numbers(e->op, record->values[e->left->slot].number, e->right->number);
    return true;
}

bool mr_expression_keeps(const struct mr_expression *expression, const struct mr_record *record,
                         struct mr_arena *arena, const uint8_t **mask) {
    *mask = record->mask;
    bool yes;
    if (record->samples == 1 && holds_plainly(expression, record, &yes)) {
        return yes;
    }
    if (find_arrays(expression, record) == 0) {
        struct mr_value value = evaluate(expression, record);
        return holds(&value);
    }
    size_t n = record->samples;
    uint8_t *kept = whole_mask(expression, record, arena);
    if (record->mask) {
        and_row(kept, record->mask, n);
    }
    bool all = memchr(kept, 0, n) == NULL;
    *mask = all ? NULL : kept;
    return all || memchr(kept, 1, n) != NULL;
}
