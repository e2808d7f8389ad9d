/* All that a job may name, list by list. A new operator, window, aggregate or codec is one file,
 * one line here (and one in operators.h), one test. */
#include "operators/operators.h"

const struct mr_operator_type *const mr_operator_types[] = {
    &mr_duplicates_operator, &mr_asof_operator,        &mr_let_operator,
    &mr_where_operator,      &mr_transitions_operator, &mr_hold_operator,
    &mr_window_operator,     &mr_pass_operator,        NULL,
};

const struct mr_window_type *const mr_window_types[] = {
    &mr_hopping_window, /* before the kind whose options it adds to */
    &mr_tumbling_window,
    NULL,
};

const struct mr_aggregate_type *const mr_aggregate_types[] = {
    &mr_count_aggregate,    &mr_moments_aggregate,
    &mr_extremes_aggregate, &mr_ends_aggregate,
    &mr_integral_aggregate, &mr_digest_aggregate,
    &mr_distinct_aggregate, &mr_held_aggregate,
    &mr_rises_aggregate,    NULL,
};

const struct mr_codec_type *const mr_codec_types[] = {
    &mr_json_codec,
    &mr_waveform_codec,
    NULL,
};
