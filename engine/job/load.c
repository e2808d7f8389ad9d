/* Load: nodes -> sections, by the option tables.
 *
 * A section is a table of options (one scalar each) and a table of forms (what is more than a
 * scalar, with a function that reads it). This file reads any section by its tables and tells of
 * unknown and missing keys; what a key means is in the tables of sections.c, of the operators, the
 * windows and the statistics.
 *
 * Reading goes on after each fault, so one pass finds them all. A value that could not be read
 * keeps its fallback, and checks that would only repeat a fault are left out. */
#include "engine/job/load.h"
#include <errno.h>
#include <stdlib.h>

/* Words of later versions: a person who has read of them deserves more than "unknown". */
static const char *const later[] = {
    "session", "zone", "rekey", "postgres", "dashboard", NULL,
};

bool mr_is_for_later(const char *word) {
    for (const char *const *known = later; *known; known++) {
        if (strcmp(word, *known) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- Faults --------------------------------------------------------------------------------- */

static void add_at_node(struct mr_loader *loader, enum mr_severity severity,
                        const struct mr_node *node, const char *suggestion, const char *format,
                        va_list arguments) __attribute__((format(printf, 5, 0)));
static void add_at_node(struct mr_loader *loader, enum mr_severity severity,
                        const struct mr_node *node, const char *suggestion, const char *format,
                        va_list arguments) {
    if (node->broken) {
        loader->source.bad = true;
    } else if (node->variable) {
        mr_fault_add(&loader->source, node->place, NULL,
                     "the value of `%s` does not fit here (it is not shown)", node->variable);
    } else {
        mr_fault_add_list(&loader->source, severity, node->place, suggestion, format, arguments);
    }
}

void mr_node_fault(struct mr_loader *loader, const struct mr_node *node, const char *suggestion,
                   const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_at_node(loader, MR_ERROR, node, suggestion, format, arguments);
    va_end(arguments);
}

void mr_node_warning(struct mr_loader *loader, const struct mr_node *node, const char *suggestion,
                     const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!node->variable) {
        add_at_node(loader, MR_WARNING, node, suggestion, format, arguments);
    }
    va_end(arguments);
}

/* Only where the file has the text as it is: not in escapes, folded lines or variables. */
struct mr_node mr_node_part(const struct mr_loader *loader, const struct mr_node *scalar, size_t at,
                            size_t length) {
    struct mr_node part = *scalar;
    size_t whole = strlen(scalar->text);
    size_t start = scalar->place.at; /* of what is quoted: behind the quote */
    struct mr_slice file = loader->source.text;
    if (!scalar->variable && at + length <= whole && start + whole <= file.length &&
        memcmp(file.data + start, scalar->text, whole) == 0) {
        part.place = (struct mr_place_in_file){start + at, length > 0 ? length : 1};
    }
    return part;
}

const char *mr_did_you_mean(struct mr_loader *loader, const char *word, const char *const *names) {
    const char *near = mr_nearest(word, names);
    return near ? mr_source_format(&loader->source, "did you mean `%s`?", near) : NULL;
}

bool mr_expect(struct mr_loader *loader, const struct mr_node *node, enum mr_node_kind kind,
               const char *what) {
    if (node->kind != kind) {
        mr_node_fault(loader, node, NULL, "expected %s", what);
    }
    return node->kind == kind;
}

/* ---- Keys ----------------------------------------------------------------------------------- */

static bool is_among(const char *word, const char *const *names) {
    for (; *names; names++) {
        if (strcmp(word, *names) == 0) {
            return true;
        }
    }
    return false;
}

void mr_keys_check(struct mr_loader *loader, const struct mr_node *map, const char *const *names) {
    for (const struct mr_node *child = map->first; child; child = child->next) {
        const char *key = child->key->text;
        if (is_among(key, names)) {
            continue;
        }
        if (mr_is_for_later(key)) {
            mr_node_fault(loader, child->key, NULL, "this version does not have `%s` yet", key);
        } else {
            mr_node_fault(loader, child->key, mr_did_you_mean(loader, key, names),
                          "unknown key `%s`", key);
        }
    }
}

const char *const *mr_section_names(struct mr_loader *loader, const struct mr_option *options,
                                    const struct mr_form *forms) {
    size_t count = 1;
    for (const struct mr_option *o = options; o && o->name; o++) {
        count++;
    }
    for (const struct mr_form *f = forms; f && f->name; f++) {
        count++;
    }
    const char **names = mr_arena_take(loader->source.memory, count * sizeof *names);
    size_t used = 0;
    for (const struct mr_option *o = options; o && o->name; o++) {
        names[used++] = o->name;
    }
    for (const struct mr_form *f = forms; f && f->name; f++) {
        names[used++] = f->name;
    }
    names[used] = NULL;
    return names;
}

/* A key that was misspelt, or is of a later version, is one fault, not two. */
static bool is_explained(const struct mr_loader *loader, const struct mr_node *map,
                         const char *name) {
    const char *const names[] = {name, NULL};
    for (const struct mr_node *child = map->first; child; child = child->next) {
        const char *key = child->key->text;
        if (mr_nearest(key, names) || (map != loader->root && mr_is_for_later(key))) {
            return true;
        }
    }
    return false;
}

static void missing(struct mr_loader *loader, const struct mr_node *map, const char *name,
                    const char *suggestion) {
    if (loader->source.bad && is_explained(loader, map, name)) {
        return;
    }
    struct mr_place_in_file place = map->key ? map->key->place : map->place;
    mr_fault_add(&loader->source, map == loader->root ? MR_WHOLE_FILE : place, suggestion,
                 "`%s` is missing", name);
}

/* ---- Options -------------------------------------------------------------------------------- */

bool mr_option_load(struct mr_loader *loader, const struct mr_option *option,
                    const struct mr_node *node, void *options) {
    if (node->kind != MR_NODE_SCALAR) {
        mr_node_fault(loader, node, NULL, "`%s` is one value", option->name);
        return false;
    }
    struct mr_error err = {0};
    if (option->type == MR_OPTION_TEXT && !option->fallback && !*node->text) {
        mr_node_fault(loader, node, NULL, "`%s` is empty", option->name);
        return false;
    }
    if (mr_option_parse(option, mr_slice_of(node->text), options, loader->source.memory, &err) !=
        MR_OK) {
        if (node->variable && !node->broken) { /* err.text never quotes the value */
            mr_fault_add(&loader->source, node->place, NULL,
                         "`%s`: the value of `%s` does not fit: %s", option->name, node->variable,
                         err.text);
        } else {
            mr_node_fault(loader, node, NULL, "`%s`: %s", option->name, err.text);
        }
        return false;
    }
    return true;
}

void mr_options_load(struct mr_loader *loader, const struct mr_option *table,
                     const struct mr_node *map, void *options) {
    mr_option_defaults(table, options, loader->source.memory);
    for (const struct mr_option *option = table; option->name; option++) {
        const struct mr_node *node = mr_node_find(map, option->name);
        if (node) {
            mr_option_load(loader, option, node, options);
        } else if (!option->fallback) {
            missing(loader, map, option->name, option->help);
        }
    }
}

void mr_forms_load(struct mr_loader *loader, const struct mr_form *forms,
                   const struct mr_node *map) {
    for (const struct mr_form *form = forms; form->name; form++) {
        const struct mr_node *node = mr_node_find(map, form->name);
        if (node) {
            form->load(loader, node);
        } else if (form->required && (!form->of_windows || mr_has_window(loader))) {
            missing(loader, map, form->name, form->missing);
        }
    }
}

void mr_section_load(struct mr_loader *loader, const struct mr_section *section,
                     const struct mr_node *map, void *options) {
    if (map->kind != MR_NODE_MAP) {
        mr_node_fault(loader, map, NULL, "expected `key: value` pairs");
        return;
    }
    mr_keys_check(loader, map, mr_section_names(loader, section->options, section->forms));
    if (section->options) {
        mr_options_load(loader, section->options, map, options);
    }
    if (section->forms) {
        mr_forms_load(loader, section->forms, map);
    }
}

/* ---- The file ------------------------------------------------------------------------------- */

static const char *const *root_names(struct mr_loader *loader) {
    const char *names[128];
    size_t count = 0;
    for (const struct mr_option *o = mr_job_options; o->name; o++) {
        names[count++] = o->name;
    }
    for (const struct mr_form *f = mr_input_forms; f->name; f++) {
        names[count++] = f->name;
    }
    for (const struct mr_operator_type *const *o = mr_operator_types; *o; o++) {
        if ((*o)->place < MR_PLACE_WINDOW && count < 100) {
            names[count++] = (*o)->name;
        }
    }
    for (const struct mr_form *f = mr_result_forms; f->name; f++) {
        names[count++] = f->name;
    }
    names[count++] = NULL;
    const char **copy = mr_arena_take(loader->source.memory, count * sizeof *names);
    memcpy(copy, names, count * sizeof *names);
    return copy;
}

static void load_root(struct mr_loader *loader) {
    mr_sections_defaults(loader);
    mr_keys_check(loader, loader->root, root_names(loader));
    mr_options_load(loader, mr_job_options, loader->root, loader->plan);
    mr_forms_load(loader, mr_input_forms, loader->root);
    mr_operators_load(loader);
    mr_forms_load(loader, mr_result_forms, loader->root);
    mr_hold_finish(loader);
    mr_columns_check(loader);
    mr_topics_check(loader);
    if (!mr_has_window(loader)) {
        mr_rows_load(loader);
    }
}

static bool is_readable(struct mr_source *source) {
    if (source->text.length > MR_JOB_FILE_MAX) {
        mr_fault_add(source, MR_WHOLE_FILE, NULL, "a job file is at most 256 KiB");
    } else if (!mr_valid_utf8(source->text)) {
        mr_fault_add(source, MR_WHOLE_FILE, NULL, "the file is not UTF-8 text");
    } else if (memchr(source->text.data, '\0', source->text.length)) {
        mr_fault_add(source, MR_WHOLE_FILE, NULL, "the file has NUL bytes: it is not a text");
    }
    return !source->bad;
}

enum mr_status mr_job_load_text(const char *name, struct mr_slice text, struct mr_plan **plan,
                                struct mr_faults *faults) {
    struct mr_arena *memory = mr_arena_create();
    struct mr_loader *loader = mr_allocate(sizeof *loader);
    loader->plan = mr_allocate(sizeof *loader->plan);
    loader->plan->memory = memory;
    loader->source =
        (struct mr_source){.name = name, .text = text, .memory = memory, .faults = faults};
    loader->plan->file = mr_source_copy(&loader->source, mr_slice_of(name));
    if (is_readable(&loader->source)) {
        loader->root = mr_yaml_read(&loader->source);
    }
    if (loader->root) {
        load_root(loader);
    }
    enum mr_status status = loader->source.bad ? MR_REJECT : MR_OK;
    if (status == MR_OK) {
        mr_plan_finish(loader);
        *plan = loader->plan;
    } else {
        mr_plan_destroy(loader->plan);
        *plan = NULL;
    }
    free(loader);
    return status;
}

/* At most one byte more than is allowed is read, whatever the file is. */
static bool read_file(const char *path, char *text, size_t *length) {
    FILE *file = fopen(path, "rbe");
    if (!file) {
        return false;
    }
    *length = fread(text, 1, MR_JOB_FILE_MAX + 1, file);
    bool good = !ferror(file);
    fclose(file);
    return good;
}

enum mr_status mr_job_load(const char *path, struct mr_plan **plan, struct mr_faults *faults) {
    char *text = mr_allocate(MR_JOB_FILE_MAX + 1);
    size_t length = 0;
    enum mr_status status = MR_REJECT;
    *plan = NULL;
    if (read_file(path, text, &length)) {
        status = mr_job_load_text(path, (struct mr_slice){text, length}, plan, faults);
    } else {
        struct mr_source source = {.name = path, .faults = faults};
        mr_fault_add(&source, MR_WHOLE_FILE, NULL, "cannot be read: %s", strerror(errno));
    }
    free(text);
    return status;
}

void mr_plan_destroy(struct mr_plan *plan) {
    if (plan) {
        mr_arena_destroy(plan->memory);
        free(plan);
    }
}
