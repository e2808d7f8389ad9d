/* Expressions of a job file (`let`, `where`): or and not, one comparison (= != < <= > >=, not
 * chained), + - * /, unary minus, parentheses, numbers, 'quoted' text, field names.
 *
 * Scalars and arrays mix: with any array operand the result is an array (a scalar stands for
 * every sample). Arithmetic is done in double and rounded once, at the end of the expression, to
 * the array's type: float32 when every array operand is float32, else double. For one product of
 * two float32 this is the float32 product.
 * An absent operand makes arithmetic absent and a comparison false; a NaN sample makes a
 * comparison false for that sample; text compares with = and != only, and with text only. */
#ifndef MILLRACE_EXPRESSION_H
#define MILLRACE_EXPRESSION_H

#include <millrace/record.h>
#include <millrace/status.h>

struct mr_expression; /* read-only after the plan was made: any thread may evaluate it */
struct mr_arena;      /* memory of the batch, freed as a whole after it */

/* Evaluates on a record; arrays come from `arena`. Thread: the task's worker. */
void mr_expression_value(const struct mr_expression *expression, const struct mr_record *record,
                         struct mr_arena *arena, struct mr_value *out);

/* Evaluates a condition. For an event: returns whether it holds (*mask is set to NULL). For a
 * record with samples: returns whether any sample is kept; *mask is NULL when all are, else one
 * byte per sample from `arena`, and 0 where record->mask already was 0. */
bool mr_expression_keeps(const struct mr_expression *expression, const struct mr_record *record,
                         struct mr_arena *arena, const uint8_t **mask);

#endif
