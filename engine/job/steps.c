/* Steps: the operators of the job, in the order of enum mr_place, whatever their order in the
 * file. The key of an operator in the file is its name; its option table says what may stand
 * there. A table of one row without a name means that the section is the value (`where: x > 0`).
 *
 * The last step has no section of its own: windows, or in a job without `window` the rows of the
 * records. Frames are checked for duplicates without being asked: a frame that was sent twice is
 * found by its identity. */
#include "engine/job/load.h"
#include <millrace/json.h>

#define PAIRS_MAX 256

static const char *const frame_identity[] = {"device", "stream", "sequence"};

/* ---- One option -------------------------------------------------------------------------------
 */

/* A field with one value per record. */
static bool load_field(struct mr_loader *loader, const struct mr_node *node, uint16_t *slot) {
    if (!mr_expect(loader, node, MR_NODE_SCALAR, "the name of a field") ||
        !mr_field_use(loader, node, slot)) {
        return false;
    }
    if (mr_kind_is_array(loader->fields[*slot].kind)) {
        mr_node_fault(loader, node, NULL,
                      "`%s` has a value per sample; only a field with one "
                      "value per record can stand here",
                      node->text);
        return false;
    }
    return true;
}

static void load_fields(struct mr_loader *loader, const struct mr_node *node,
                        struct mr_slots *slots) {
    if (!mr_expect(loader, node, MR_NODE_LIST, "a list of fields, such as [device, id]")) {
        return;
    }
    if (node->count == 0) {
        mr_node_fault(loader, node, NULL, "the list names no field");
    }
    uint16_t *items = mr_arena_take(loader->source.memory, (node->count + 1) * sizeof *items);
    slots->slots = items;
    for (const struct mr_node *item = node->first; item; item = item->next) {
        if (load_field(loader, item, &items[slots->count])) {
            slots->count++;
        }
    }
}

static void use_frame_identity(struct mr_loader *loader, struct mr_slots *slots) {
    size_t count = sizeof frame_identity / sizeof frame_identity[0];
    uint16_t *items = mr_arena_take(loader->source.memory, count * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i] = (uint16_t)mr_field_find(loader, frame_identity[i]);
    }
    *slots = (struct mr_slots){count, items};
}

static void load_condition(struct mr_loader *loader, const struct mr_node *node,
                           struct mr_expression **out) {
    enum mr_kind kind;
    if (mr_expression_load(loader, node, out, &kind) && kind != MR_BOOLEAN) {
        mr_node_fault(loader, node, "such as `power > 0`",
                      "expected a condition: this is a value, not true or false");
    }
}

static bool is_word(const char *name) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return name[0] && strchr(letters, name[0]) && name[length] == '\0';
}

static void load_assignment(struct mr_loader *loader, const struct mr_node *line,
                            struct mr_assignment *out, size_t *count) {
    struct mr_field field = {.name = line->key->text, .derived = true};
    struct mr_expression *expression;
    if (!is_word(field.name)) {
        mr_node_fault(loader, line->key, NULL,
                      "a new field is named by letters, digits and _, not by a digit first");
    }
    if (!mr_expression_load(loader, line, &expression, &field.kind)) {
        return;
    }
    mr_field_declare(loader, line->key, field);
    int slot = mr_field_find(loader, field.name);
    if (slot >= 0) {
        out[(*count)++] = (struct mr_assignment){(uint16_t)slot, expression};
    }
}

static void load_assignments(struct mr_loader *loader, const struct mr_node *node,
                             struct mr_assignments *out) {
    if (!mr_expect(loader, node, MR_NODE_MAP, "`field: expression` pairs")) {
        return;
    }
    struct mr_assignment *items =
        mr_arena_take(loader->source.memory, (node->count + 1) * sizeof *items);
    out->items = items;
    for (const struct mr_node *line = node->first; line; line = line->next) {
        loader->pending = loader->making = line;
        load_assignment(loader, line, items, &out->count);
    }
    loader->pending = loader->making = NULL;
}

/* The one field of the table whose values the pairs are of; NULL: not known. */
static const struct mr_field *find_field_of_pairs(const struct mr_loader *loader,
                                                  const struct mr_option *table,
                                                  const void *options) {
    for (const struct mr_option *row = table; row->name; row++) {
        struct mr_field_name field;
        memcpy(&field, (const char *)options + row->offset, sizeof field);
        if (row->type == MR_OPTION_FIELD) {
            return field.name ? &loader->fields[field.slot] : NULL;
        }
    }
    return NULL;
}

/* One value of a pair, as values of the field become text. */
static bool load_state(struct mr_loader *loader, const struct mr_node *node,
                       const struct mr_field *field, struct mr_slice *out) {
    static const char *const expected[] = {
        [MR_NUMBER] = "a number", [MR_INTEGER] = "an integer", [MR_BOOLEAN] = "true or false"};
    enum mr_kind kind = field ? field->kind : MR_ABSENT;
    struct mr_value value = {.kind = kind};
    char *room = mr_arena_take(loader->source.memory, MR_JSON_NUMBER_MAX);
    if (!mr_expect(loader, node, MR_NODE_SCALAR, "one value")) {
        return false;
    }
    struct mr_slice text = mr_slice_of(node->text);
    bool fits = true;
    if (kind == MR_NUMBER) {
        fits = mr_parse_number(text, &value.number);
    } else if (kind == MR_INTEGER) {
        fits = mr_parse_integer(text, &value.integer);
    } else if (kind == MR_BOOLEAN) {
        value.number = strcmp(node->text, "true") == 0;
        fits = value.number != 0 || strcmp(node->text, "false") == 0;
    } else {
        value = (struct mr_value){.kind = MR_TEXT, .text = text};
    }
    if (!fits) {
        mr_node_fault(loader, node, NULL, "`%s` is %s, so `%s` is none of its values", field->name,
                      expected[kind], node->text);
    }
    *out = mr_value_text(&value, room);
    return fits;
}

static bool is_among(const struct mr_pairs *pairs, const struct mr_pair *pair) {
    for (size_t i = 0; i < pairs->count; i++) {
        if (mr_slice_equal(pairs->items[i].first, pair->first) &&
            mr_slice_equal(pairs->items[i].second, pair->second)) {
            return true;
        }
    }
    return false;
}

static void load_pairs(struct mr_loader *loader, const struct mr_node *node,
                       const struct mr_field *field, struct mr_pairs *out) {
    static const char shape[] = "a list of pairs, such as [[enter, exit], [exit, enter]]";
    if (!mr_expect(loader, node, MR_NODE_LIST, shape)) {
        return;
    }
    if (node->count == 0 || node->count > PAIRS_MAX) {
        mr_node_fault(loader, node, NULL, "expected 1 to %d pairs, such as [enter, exit]",
                      PAIRS_MAX);
        return;
    }
    struct mr_pair *items = mr_arena_take(loader->source.memory, node->count * sizeof *items);
    out->items = items;
    for (const struct mr_node *item = node->first; item; item = item->next) {
        struct mr_pair *pair = &items[out->count];
        if (item->kind != MR_NODE_LIST || item->count != 2) {
            mr_node_fault(loader, item, NULL, "expected a pair, such as [enter, exit]");
        } else if (load_state(loader, item->first, field, &pair->first) &&
                   load_state(loader, item->first->next, field, &pair->second)) {
            if (is_among(out, pair)) {
                mr_node_fault(loader, item, NULL, "this pair is given twice");
            }
            out->count++;
        }
    }
}

static void load_value(struct mr_loader *loader, const struct mr_option *option,
                       const struct mr_node *node, const struct mr_option *table, void *options) {
    void *member = (char *)options + option->offset;
    struct mr_field_name *field = member;
    switch (option->type) {
    case MR_OPTION_FIELDS:
        load_fields(loader, node, member);
        break;
    case MR_OPTION_EXPRESSION:
        load_condition(loader, node, member);
        break;
    case MR_OPTION_ASSIGNMENTS:
        load_assignments(loader, node, member);
        break;
    case MR_OPTION_FIELD:
    case MR_OPTION_KEY:
        field->name = load_field(loader, node, &field->slot) ? node->text : NULL;
        break;
    case MR_OPTION_PAIRS:
        load_pairs(loader, node, find_field_of_pairs(loader, table, options), member);
        break;
    default:
        mr_option_load(loader, option, node, options);
        break;
    }
}

/* ---- One operator -----------------------------------------------------------------------------
 */

/* node == NULL: the job does not have the section; every option takes its fallback. */
static void load_option(struct mr_loader *loader, const struct mr_operator_type *type,
                        const struct mr_option *option, const struct mr_node *section,
                        void *options) {
    const struct mr_node *node = section;
    if (section && *option->name) {
        node = mr_node_find(section, option->name);
    }
    if (node) {
        load_value(loader, option, node, type->options, options);
    } else if (option->type == MR_OPTION_FIELDS && loader->plan->codec &&
               loader->plan->codec->frames) {
        use_frame_identity(loader, (struct mr_slots *)(void *)((char *)options + option->offset));
    } else if (!option->fallback && section) {
        mr_node_fault(loader, section->key, option->help, "`%s` needs `%s`", type->name,
                      option->name);
    }
}

static void *load_options(struct mr_loader *loader, const struct mr_operator_type *type,
                          const struct mr_node *section) {
    void *options = mr_arena_take(loader->source.memory, type->options_size + 1);
    memset(options, 0, type->options_size);
    if (!type->options) {
        return options;
    }
    mr_option_defaults(type->options, options, loader->source.memory);
    bool whole = type->options->name && !*type->options->name;
    if (section && !whole) {
        if (!mr_expect(loader, section, MR_NODE_MAP, "`key: value` pairs")) {
            return options;
        }
        mr_keys_check(loader, section, mr_section_names(loader, type->options, NULL));
    }
    for (const struct mr_option *option = type->options; option->name; option++) {
        load_option(loader, type, option, section, options);
    }
    return options;
}

static bool is_wanted(const struct mr_loader *loader, const struct mr_operator_type *type,
                      const struct mr_node *section) {
    bool frames = loader->plan->codec && loader->plan->codec->frames;
    if (type->place >= MR_PLACE_WINDOW) {
        return (type->place == MR_PLACE_WINDOW) == mr_has_window(loader);
    }
    if (type->place == MR_PLACE_HOLD && !loader->arrays && mr_has_window(loader)) {
        return true; /* mr_hold_finish takes it out where no statistic needs it */
    }
    return section || (type->place == MR_PLACE_DUPLICATES && frames);
}

static void load_operator(struct mr_loader *loader, const struct mr_operator_type *type) {
    const struct mr_node *section =
        type->place >= MR_PLACE_WINDOW ? NULL : mr_node_find(loader->root, type->name);
    if (type->place == MR_PLACE_JOIN) {
        if (section) {
            mr_join_load(loader, type, section);
        }
    } else if (is_wanted(loader, type, section)) {
        void *options = load_options(loader, type, section);
        loader->plan->steps[loader->plan->step_count++] = (struct mr_step){type, options};
    }
}

/* The fields that `let` will make: no earlier step can use them. */
static const struct mr_node *find_assignments(const struct mr_loader *loader) {
    for (const struct mr_operator_type *const *type = mr_operator_types; *type; type++) {
        const struct mr_option *option = (*type)->options;
        if (option && option->name && option->type == MR_OPTION_ASSIGNMENTS) {
            const struct mr_node *section = mr_node_find(loader->root, (*type)->name);
            return section && section->kind == MR_NODE_MAP ? section->first : NULL;
        }
    }
    return NULL;
}

void mr_operators_load(struct mr_loader *loader) {
    size_t count = 0;
    for (const struct mr_operator_type *const *type = mr_operator_types; *type; type++) {
        count++;
    }
    loader->plan->steps =
        mr_arena_take(loader->source.memory, (count + MR_TABLES_MAX) * sizeof *loader->plan->steps);
    loader->tables = mr_arena_take(loader->source.memory, MR_TABLES_MAX * sizeof *loader->tables);
    memset(loader->tables, 0, MR_TABLES_MAX * sizeof *loader->tables);
    loader->pending = find_assignments(loader);
    for (int place = 0; place <= MR_PLACE_ROWS; place++) {
        for (const struct mr_operator_type *const *type = mr_operator_types; *type; type++) {
            if ((int)(*type)->place == place) {
                load_operator(loader, *type);
            }
        }
    }
}
