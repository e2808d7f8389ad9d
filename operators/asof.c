/* join: looks up what a table says of a record's key at the record's time. A frame during which
 * that changes is cut there, and nowhere else: cutting moves blocks, and so the last bits of sums.
 *
 *   algorithm    A A A A A A A A|A A A A A B B B B|B B       entries: x, x (the same again), x
 *                x              x         x
 *   frame             |...............|.............|        one record
 *   parts             |...............|                      first = 0
 *                                      |............|        first = where B begins
 *
 * A part is a record by itself, with values of its own, because later steps write theirs into them;
 * its arrays are those of the frame, from its first sample on, and mr_record.first keeps its times.
 *
 * Where there is no entry the joined fields are absent; `missing` says what becomes of the samples.
 * With dead_letter the whole frame goes, so it is looked through before anything is handed on, by
 * the first join for all that follow it. */
#include <millrace/join.h>

static const struct mr_option options[] = {
    {"topic", MR_OPTION_TEXT,
     .help = "The topic of its entries, JSON objects keyed by the table's "
             "key; best a compacted one",
     .offset = offsetof(struct mr_join, topic)},
    {"missing", MR_OPTION_CHOICE, .choices = "pass|drop|dead_letter", .fallback = "pass",
     .help = "What becomes of samples for which there is no entry: they go on without the joined "
             "fields, they are filtered, or their record goes to the dead letters",
     .offset = offsetof(struct mr_join, missing)},
    {"wait", MR_OPTION_CHOICE, .choices = "caught_up", .fallback = "caught_up",
     .help = "At the start the table is read to its end before the first record",
     .offset = offsetof(struct mr_join, wait)},
    {"history", MR_OPTION_DURATION, .fallback = "30d",
     .help = "How far behind the newest record entries are kept; the newest one before that is "
             "always kept",
     .offset = offsetof(struct mr_join, history_ns), .minimum = 1e9, .maximum = 3660 * 86400e9},
    {0},
};

struct instance {
    bool follows; /* another join, which looks for both                       */
    bool looks;   /* this table, or one behind it, rejects what has no entry */
};

static void fill(const struct mr_join *join, const struct mr_version *version,
                 struct mr_value *values) {
    for (size_t i = 0; i < join->slot_count; i++) {
        values[join->slots[i]] =
            version->there ? version->values[i] : (struct mr_value){.kind = MR_ABSENT};
    }
}

/* The first sample at or after time_ns, from sample `begin` on. */
static size_t find_sample(const struct mr_record *record, size_t begin, int64_t time_ns) {
    size_t low = begin, high = record->samples;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mr_sample_ns(record, middle) < time_ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* What holds for the samples from `begin` on, and up to which one. */
static size_t look_up(struct mr_operator *op, const struct mr_record *record, size_t begin,
                      struct mr_version *version) {
    const struct mr_join *join = op->options;
    mr_table_asof(op, &record->values[join->key_slot], mr_sample_ns(record, begin), record->last_ns,
                  version);
    return version->until_ns > record->last_ns ? record->samples
                                               : find_sample(record, begin, version->until_ns);
}

static enum mr_status hand_on(struct mr_operator *op, struct mr_record *record,
                              const struct mr_version *version, struct mr_error *err) {
    const struct mr_join *join = op->options;
    if (!version->there && join->missing == MR_MISSING_DROP) {
        mr_account(op, MR_FILTERED, record->samples);
        return MR_OK;
    }
    fill(join, version, record->values);
    return mr_emit(op, record, err);
}

/* The samples [begin, end) of the record as one of its own. */
static struct mr_record part_of(struct mr_operator *op, const struct mr_record *record,
                                size_t begin, size_t end) {
    size_t count = mr_field_count(op);
    struct mr_record part = *record;
    part.values = mr_arena_take(mr_batch_arena(op), count * sizeof *part.values);
    memcpy(part.values, record->values, count * sizeof *part.values);
    for (size_t i = 0; i < count; i++) {
        struct mr_value *value = &part.values[i];
        if (value->kind == MR_F32) {
            value->f32 += begin;
        } else if (value->kind == MR_F64) {
            value->f64 += begin;
        }
    }
    part.samples = end - begin;
    part.first = record->first + begin;
    part.last_ns = end < record->samples ? mr_sample_ns(record, end - 1) : record->last_ns;
    return part;
}

static enum mr_status hand_on_parts(struct mr_operator *op, struct mr_record *record,
                                    struct mr_error *err) {
    enum mr_status status = MR_OK;
    struct mr_version version;
    for (size_t begin = 0, end; begin < record->samples && status == MR_OK; begin = end) {
        end = look_up(op, record, begin, &version);
        struct mr_record part = part_of(op, record, begin, end);
        status = hand_on(op, &part, &version, err);
    }
    return status;
}

/* ---- dead_letter ------------------------------------------------------------------------------
 */

static bool is_join(const struct mr_operator *op) {
    return op && op->type->place == MR_PLACE_JOIN;
}

static bool rejects(const struct mr_operator *op) {
    return ((const struct mr_join *)op->options)->missing == MR_MISSING_DEAD_LETTER;
}

/* Every sample has its entry in this table and in those behind it, whose keys may come from this
 * one. What this one drops is not looked for any further. */
static enum mr_status look_through(struct mr_operator *op, const struct mr_record *record,
                                   struct mr_error *err) {
    const struct mr_join *join = op->options;
    enum mr_status status = MR_OK;
    struct mr_version version;
    for (size_t begin = 0, end; begin < record->samples && status == MR_OK; begin = end) {
        end = look_up(op, record, begin, &version);
        if (!version.there && join->missing == MR_MISSING_DEAD_LETTER) {
            return mr_error_set(err, MR_REJECT,
                                "table `%s` has no entry for this record's key and time "
                                "(join.%s.missing is dead_letter)",
                                join->name, join->name);
        }
        if (is_join(op->next) && (version.there || join->missing == MR_MISSING_PASS)) {
            struct mr_record part = part_of(op, record, begin, end);
            fill(join, &version, part.values);
            status = look_through(op->next, &part, err);
        }
    }
    return status;
}

static enum mr_status open_join(struct mr_operator *op, struct mr_error *err) {
    struct instance *self = op->instance;
    for (struct mr_operator *join = op; !self->follows && is_join(join); join = join->next) {
        struct instance *other = join->instance;
        other->follows = join != op;
        self->looks = self->looks || rejects(join);
    }
    return MR_OK;
}

/* ---- The operator -----------------------------------------------------------------------------
 */

static enum mr_status process(struct mr_operator *op, struct mr_record *record,
                              struct mr_error *err) {
    const struct instance *self = op->instance;
    struct mr_version version;
    enum mr_status status = self->looks ? look_through(op, record, err) : MR_OK;
    if (status != MR_OK) {
        return status;
    }
    if (look_up(op, record, 0, &version) < record->samples) {
        return hand_on_parts(op, record, err);
    }
    return hand_on(op, record, &version, err);
}

const struct mr_operator_type mr_asof_operator = {
    .name = "join",
    .summary = "Looks up what a table says of a record's key at the record's time",
    .place = MR_PLACE_JOIN,
    .options = options,
    .options_size = sizeof(struct mr_join),
    .instance_size = sizeof(struct instance),
    .open = open_join,
    .process = process,
};
