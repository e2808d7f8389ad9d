/* where: keeps what a condition holds for. The model file to copy for a new operator.
 *
 *   where: power > -1000 and power < 1000
 *
 * An event is kept or filtered as a whole. Of a frame the condition is asked for each sample: what
 * it refuses is refused for all fields, and a frame with nothing left goes no further. The mask
 * stays with the record; the window takes the refused samples out. */
#include <millrace/expression.h>
#include <millrace/operator.h>

struct options {
    struct mr_expression *condition;
};

static const struct mr_option options[] = {
    {"", MR_OPTION_EXPRESSION, .help = "A condition; records and samples that fail it are left out",
     .offset = offsetof(struct options, condition)},
    {0},
};

static enum mr_status process(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err) {
    const struct options *where = op->options;
    const uint8_t *mask = NULL;
    if (!mr_expression_keeps(where->condition, record, mr_batch_arena(op), &mask)) {
        mr_account(op, MR_FILTERED, record->samples);
        return MR_OK;
    }
    record->mask = mask;
    return mr_emit(op, record, err);
}

const struct mr_operator_type mr_where_operator = {
    .name = "where",
    .summary = "Keeps the records and samples for which a condition holds",
    .place = MR_PLACE_WHERE,
    .options = options,
    .options_size = sizeof(struct options),
    .process = process,
};
