/* transitions: of each key's states, keeps the changes that are listed.
 *
 *   transitions: {by: device, field: status, allow: [[enter, exit], [exit, enter]]}
 *
 *   device d   enter   enter   exit   exit   enter
 *              kept    -       kept   -      kept        the first state of a key is always kept
 *
 * The last *kept* state of a key is what the next one is compared with: a refused one changes
 * nothing. It lies in a keyed cell (key: the text of `by`; body: the text of the state), so it
 * outlives restarts and goes with the partition; it is never forgotten, because an exit may follow
 * its enter after a year. What is refused counts as filtered; `refused: dead_letter` also keeps a
 * copy with the reason. States are compared as text, so they may be numbers or booleans.
 *
 * Records are taken in the order of the log, not of their times: a change is a change when it
 * arrives, and waiting for earlier ones would delay every row. */
#include <millrace/json.h>
#include <millrace/operator.h>
#include <millrace/text.h>

#define TEXT_MAX 1000 /* bytes of a key or a state: within MR_KEY_MAX, with the place before it */

enum refused { FILTER, DEAD_LETTER };

struct options {
    struct mr_field_name by, field;
    struct mr_pairs allow;
    int refused;
};

static const struct mr_option options[] = {
    {"by", MR_OPTION_KEY, .help = "The field whose values each have a state of their own",
     .offset = offsetof(struct options, by)},
    {"field", MR_OPTION_FIELD, .help = "The field that holds the state",
     .offset = offsetof(struct options, field)},
    {"allow", MR_OPTION_PAIRS,
     .help = "The changes to keep, each as [from, to]; the first state of a key is always kept",
     .offset = offsetof(struct options, allow)},
    {"refused", MR_OPTION_CHOICE, "filter|dead_letter", "filter",
     .help = "What becomes of other changes, also from a state to itself: they are left out, or "
             "left out and copied to the dead letters",
     .offset = offsetof(struct options, refused)},
    {0},
};

/* A key or a state as text; it must be there and is no document. */
static enum mr_status take_text(const struct mr_record *record, const struct mr_field_name *field,
                                char room[MR_JSON_NUMBER_MAX], struct mr_slice *text,
                                struct mr_error *err) {
    const struct mr_value *value = &record->values[field->slot];
    if (value->kind == MR_ABSENT) {
        return mr_error_set(err, MR_REJECT, "field `%s`: is missing, and `transitions` goes by it",
                            field->name);
    }
    *text = mr_value_text(value, room);
    if (text->length > TEXT_MAX) {
        return mr_error_set(err, MR_REJECT,
                            "field `%s`: is longer than %d bytes, too long for `transitions`",
                            field->name, TEXT_MAX);
    }
    return MR_OK;
}

static bool is_allowed(const struct mr_pairs *allow, struct mr_slice from, struct mr_slice to) {
    for (size_t i = 0; i < allow->count; i++) {
        if (mr_slice_equal(allow->items[i].first, from) &&
            mr_slice_equal(allow->items[i].second, to)) {
            return true;
        }
    }
    return false;
}

static struct mr_slice printable(struct mr_slice text) {
    return mr_has_control(text) ? mr_slice_of("(control characters)") : text;
}

static enum mr_status refuse(struct mr_operator *op, const struct mr_record *record,
                             struct mr_slice from, struct mr_slice to, struct mr_error *err) {
    const struct options *self = op->options;
    struct mr_error reason;
    mr_account(op, MR_FILTERED, record->samples);
    if (self->refused == FILTER) {
        return MR_OK;
    }
    from = printable(from);
    to = printable(to);
    mr_error_set(&reason, MR_REJECT,
                 "field `%s`: `transitions` does not allow the change from `%.*s` to `%.*s`",
                 self->field.name, mr_shown(from), from.data, mr_shown(to), to.data);
    return mr_dead_letter(op, reason.text, err);
}

static void remember(struct mr_accumulator *cell, struct mr_slice state) {
    mr_accumulator_reserve(cell, (uint32_t)state.length);
    if (state.length > 0) {
        memcpy(cell->body, state.data, state.length);
    }
    cell->length = (uint32_t)state.length;
}

static enum mr_status process(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err) {
    const struct options *self = op->options;
    char rooms[2][MR_JSON_NUMBER_MAX];
    struct mr_slice key, state;
    enum mr_status status = take_text(record, &self->by, rooms[0], &key, err);
    if (status == MR_OK) {
        status = take_text(record, &self->field, rooms[1], &state, err);
    }
    if (status != MR_OK) {
        return status;
    }
    struct mr_accumulator *cell = mr_keyed_cell(op, key, false);
    if (cell) {
        struct mr_slice last = {(const char *)cell->body, cell->length};
        if (!is_allowed(&self->allow, last, state)) {
            return refuse(op, record, last, state, err);
        }
    } else {
        cell = mr_keyed_cell(op, key, true);
    }
    remember(cell, state);
    mr_keyed_touch(op, key);
    return mr_emit(op, record, err);
}

const struct mr_operator_type mr_transitions_operator = {
    .name = "transitions",
    .summary = "Keeps the changes of a state that are listed, key by key",
    .place = MR_PLACE_TRANSITIONS,
    .options = options,
    .options_size = sizeof(struct options),
    .process = process,
};
