/* pass: the end of the chain in a job without a window. What has come so far is a row: the fields
 * of the record, its key and its time. Rows stand in the order of the records, and there is nothing
 * to remember: a row is made in the transaction that moves the offset past its record. */
#include <millrace/operator.h>

static enum mr_status process(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err) {
    mr_account(op, MR_USED, record->samples);
    return mr_row(op, record, err);
}

const struct mr_operator_type mr_pass_operator = {
    .name = "pass",
    .summary = "Writes the record as a row",
    .place = MR_PLACE_ROWS,
    .process = process,
};
