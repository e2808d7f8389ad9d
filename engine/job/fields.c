/* Fields: names to slots, and the kinds that the job has not said.
 *
 * A JSON field that nothing declares is taken as the job uses it: a number where a statistic or an
 * expression needs one, else any scalar (it is only grouped by, or compared with a text). Whether
 * an expression needs a number is asked of the expression itself: when it does not hold with a
 * text in the field's place but holds with a number, it does.
 *
 * `let` fills its fields from top to bottom: a name that a later line makes (`pending`) is not
 * quietly taken for a field of the record. */
#include "engine/job/load.h"

bool mr_kind_is_array(enum mr_kind kind) {
    return kind == MR_F32 || kind == MR_F64;
}

int mr_field_find(const struct mr_loader *loader, const char *name) {
    for (size_t slot = 0; slot < loader->field_count; slot++) {
        if (strcmp(loader->fields[slot].name, name) == 0) {
            return (int)slot;
        }
    }
    return -1;
}

static bool add(struct mr_loader *loader, struct mr_field field, bool declared) {
    if (loader->field_count == MR_FIELDS_MAX) {
        snprintf(loader->note, sizeof loader->note, "a job uses at most %d fields", MR_FIELDS_MAX);
        return false;
    }
    loader->declared[loader->field_count] = declared;
    loader->fields[loader->field_count++] = field;
    return true;
}

void mr_field_declare(struct mr_loader *loader, const struct mr_node *at, struct mr_field field) {
    if (mr_field_find(loader, field.name) >= 0) {
        mr_node_fault(loader, at, NULL, "there is a field `%s` already", field.name);
    } else if (!add(loader, field, true)) {
        mr_node_fault(loader, at, NULL, "%s", loader->note);
    }
}

static bool is_pending(struct mr_loader *loader, const char *name) {
    for (const struct mr_node *line = loader->pending; line; line = line->next) {
        if (strcmp(line->key->text, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The slot of a name, made if need be; -1 with loader->note. */
static int find_or_add(struct mr_loader *loader, const char *name) {
    loader->note[0] = '\0';
    int slot = mr_field_find(loader, name);
    if (slot >= 0) {
        return slot;
    }
    if (is_pending(loader, name)) {
        bool own = loader->making && strcmp(loader->making->key->text, name) == 0;
        snprintf(loader->note, sizeof loader->note,
                 own ? "`%.100s` is made here: give it a name of its own"
                     : "`%.100s` is made by a line that comes after this one",
                 name);
        return -1;
    }
    bool frames = loader->plan->codec && loader->plan->codec->frames;
    struct mr_field field = {.name = mr_source_copy(&loader->source, mr_slice_of(name)),
                             .kind = frames ? MR_F32 : MR_ABSENT};
    if (!mr_join_field(loader, name, &field)) {
        return -1;
    }
    return add(loader, field, false) ? (int)loader->field_count - 1 : -1;
}

/* A misspelt field gives nulls, or one group of everything: say so while it costs nothing. */
static void warn_of_slip(struct mr_loader *loader, const struct mr_node *at, const char *name) {
    const char *names[MR_FIELDS_MAX + 1];
    size_t count = 0;
    for (size_t slot = 0; slot < loader->field_count; slot++) {
        if (loader->declared[slot]) {
            names[count++] = loader->fields[slot].name;
        }
    }
    names[count] = NULL;
    const char *near = mr_nearest(name, names);
    if (near) {
        mr_node_warning(loader, at, mr_did_you_mean(loader, name, names),
                        "`%s` is used nowhere else; it is taken for a field of the record", name);
    }
}

bool mr_field_use(struct mr_loader *loader, const struct mr_node *name, uint16_t *slot) {
    if (name->broken) {
        return false;
    }
    if (!*name->text) {
        mr_node_fault(loader, name, NULL, "expected the name of a field");
        return false;
    }
    if (mr_field_find(loader, name->text) < 0) {
        warn_of_slip(loader, name, name->text);
    }
    int found = find_or_add(loader, name->text);
    if (found < 0) {
        mr_node_fault(loader, name, NULL, "%s", loader->note);
        return false;
    }
    *slot = (uint16_t)found;
    return true;
}

/* ---- Expressions ------------------------------------------------------------------------------
 */

static bool find_in_scope(void *arg, struct mr_slice name, uint16_t *slot, enum mr_kind *kind) {
    struct mr_loader *loader = arg;
    int found = find_or_add(loader, mr_source_copy(&loader->source, name));
    if (found < 0) {
        return false;
    }
    loader->used[found] = true;
    *slot = (uint16_t)found;
    *kind = loader->fields[found].kind;
    return true;
}

struct attempt {
    enum mr_status status;
    struct mr_expression *expression;
    enum mr_kind kind;
    size_t at;
    struct mr_error err;
};

static struct attempt parse(struct mr_loader *loader, const char *text) {
    struct attempt attempt = {0};
    struct mr_scope scope = {find_in_scope, loader};
    attempt.status =
        mr_expression_parse(mr_slice_of(text), &scope, loader->source.memory, &attempt.expression,
                            &attempt.kind, &attempt.at, &attempt.err);
    return attempt;
}

static bool holds_with(struct mr_loader *loader, const char *text, size_t slot, enum mr_kind kind) {
    loader->fields[slot].kind = kind;
    bool holds = parse(loader, text).status == MR_OK;
    loader->fields[slot].kind = MR_ABSENT;
    return holds;
}

static void settle_kinds(struct mr_loader *loader, const char *text) {
    for (size_t slot = 0; slot < loader->field_count; slot++) {
        bool open = loader->used[slot] && loader->fields[slot].kind == MR_ABSENT;
        if (open && !holds_with(loader, text, slot, MR_TEXT) &&
            holds_with(loader, text, slot, MR_NUMBER)) {
            loader->fields[slot].kind = MR_NUMBER;
        }
    }
}

bool mr_expression_load(struct mr_loader *loader, const struct mr_node *node,
                        struct mr_expression **out, enum mr_kind *kind) {
    if (!mr_expect(loader, node, MR_NODE_SCALAR, "an expression, such as current * voltage")) {
        return false;
    }
    if (strlen(node->text) > MR_EXPRESSION_MAX) {
        mr_node_fault(loader, node, NULL, "an expression is at most %d bytes long",
                      MR_EXPRESSION_MAX);
        return false;
    }
    memset(loader->used, 0, sizeof loader->used);
    loader->note[0] = '\0';
    struct attempt attempt = parse(loader, node->text);
    if (attempt.status == MR_OK) {
        settle_kinds(loader, node->text);
        attempt = parse(loader, node->text);
    }
    if (attempt.status != MR_OK) {
        bool at_end = attempt.at >= strlen(node->text);
        struct mr_node part = mr_node_part(loader, node, attempt.at, at_end ? 0 : 1);
        mr_node_fault(loader, &part, NULL, "%s", loader->note[0] ? loader->note : attempt.err.text);
        return false;
    }
    *out = attempt.expression;
    *kind = attempt.kind;
    return true;
}
