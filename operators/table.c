/* All that a job may name, list by list. A new operator, window, aggregate or codec is one file,
 * one line here, one test. */
#include <millrace/aggregate.h>
#include <millrace/codec.h>
#include <millrace/operator.h>
#include <millrace/window.h>

extern const struct mr_operator_type mr_duplicates_operator, mr_let_operator, mr_where_operator;
extern const struct mr_codec_type mr_waveform_codec;

const struct mr_operator_type *const mr_operator_types[] = {
    &mr_duplicates_operator,
    &mr_let_operator,
    &mr_where_operator,
    NULL,
};

const struct mr_window_type *const mr_window_types[] = {
    NULL,
};

const struct mr_aggregate_type *const mr_aggregate_types[] = {
    NULL,
};

const struct mr_codec_type *const mr_codec_types[] = {
    &mr_waveform_codec,
    NULL,
};
