/* operators: what this room offers. table.c lists it; the engine walks the lists. */
#ifndef OPERATORS_OPERATORS_H
#define OPERATORS_OPERATORS_H

#include <millrace/aggregate.h>
#include <millrace/codec.h>
#include <millrace/operator.h>
#include <millrace/window.h>

extern const struct mr_operator_type mr_duplicates_operator, mr_asof_operator, mr_let_operator,
    mr_where_operator, mr_transitions_operator, mr_hold_operator, mr_window_operator,
    mr_pass_operator;

extern const struct mr_window_type mr_hopping_window, mr_tumbling_window;
/* The span of one length that event_ns lies in. */
struct mr_span mr_span_of(int64_t length_ns, int64_t event_ns);

extern const struct mr_aggregate_type mr_count_aggregate, mr_moments_aggregate,
    mr_extremes_aggregate, mr_ends_aggregate, mr_integral_aggregate, mr_digest_aggregate,
    mr_distinct_aggregate, mr_held_aggregate, mr_rises_aggregate;

extern const struct mr_codec_type mr_json_codec, mr_waveform_codec;

#endif
