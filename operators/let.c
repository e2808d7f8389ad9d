/* let: new fields from expressions.
 *
 *   let:
 *     power: current * voltage
 *
 * In the order of the job file, so a later line may use an earlier one. */
#include <millrace/expression.h>
#include <millrace/operator.h>

struct options {
    struct mr_assignments assignments;
};

static const struct mr_option options[] = {
    {"", MR_OPTION_ASSIGNMENTS, .help = "New fields: a map of name and expression",
     .offset = offsetof(struct options, assignments)},
    {0},
};

static enum mr_status process(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err) {
    const struct options *let = op->options;
    for (size_t i = 0; i < let->assignments.count; i++) {
        const struct mr_assignment *item = &let->assignments.items[i];
        mr_expression_value(item->expression, record, mr_batch_arena(op),
                            &record->values[item->slot]);
    }
    return mr_emit(op, record, err);
}

const struct mr_operator_type mr_let_operator = {
    .name = "let",
    .summary = "Computes new fields from the fields of a record",
    .place = MR_PLACE_LET,
    .options = options,
    .options_size = sizeof(struct options),
    .process = process,
};
